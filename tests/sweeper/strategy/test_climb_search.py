"""Whole searches that climb."""

from collections import Counter
from typing import Any

import pytest
from slowly import slowly

CLIMB = ("--config-name", "climb")


def rungs(toy: Any) -> list[str]:
    return [trial.user_attrs["rung"] for trial in toy.counted()]


@pytest.fixture(scope="module")
def climbed(new_toy: Any) -> Any:
    toy = new_toy()
    toy.output = toy.run(*CLIMB, "n_trials=9", "hydra.sweeper.finalists.top_k=1").output
    return toy


def test_cheap_trials_come_first_and_the_dear_ones_take_over_the_best(climbed: Any) -> None:
    assert rungs(climbed) == 5 * ["round"] + 4 * ["square"]
    assert climbed.trials[0].user_attrs["role"] == "baseline"
    assert climbed.trials[0].params == {"shape": "round", "n": 1, "colour": "green"}
    below = sorted(climbed.trials[:5], key=lambda t: t.value)
    ns = list(dict.fromkeys(t.params["n"] for t in below))
    first, *others = climbed.trials[5:]
    assert first.params == {"shape": "square", "n": ns[0], "x": 0.5, "radius": 0.0}
    assert [t.params["n"] for t in others] == [ns[1], ns[0], ns[2]]
    assert all(t.params["x"] != 0.5 and "colour" not in t.params for t in others)
    assert [climbed.config(t.number).shape.centre for t in climbed.trials] == 5 * [0.3] + 4 * [-0.3]


def test_the_lines_of_a_trial_say_which_rung_it_is_on(climbed: Any) -> None:
    assert "trial 0/9  round  n=1 colour=green" in climbed.output
    assert "trial 0/9  round  value 0.640 (best" in climbed.output
    assert "trial 5/9  square  n=" in climbed.output
    best = min(climbed.trials[1:], key=lambda t: t.value)
    assert f"  trial {best.number}: {best.user_attrs['rung']}  n=" in climbed.output


@pytest.mark.slow
def test_more_trials_are_more_of_the_last_rung(toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=4")
    toy.run(*CLIMB, "n_trials=7")
    assert rungs(toy) == 2 * ["round"] + 5 * ["square"]


@pytest.mark.parametrize("at", [2, *slowly(0, 4, 6)])
def test_a_killed_search_goes_on_where_it_was_to_exactly_the_total(at: int, toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=8", f"signal_at=[{at}, 1]", code=-9)
    toy.run(*CLIMB, "n_trials=8")
    assert len(toy.counted()) == 8 and len(toy.trials) == 9
    assert Counter(rungs(toy)) == {"round": 4, "square": 4}
    again = toy.trials[at + 1]
    assert again.params == toy.trials[at].params
    for key in ("rung", "carried_from"):
        assert again.user_attrs.get(key) == toy.trials[at].user_attrs.get(key)
    (first, *_) = [t for t in toy.counted() if t.user_attrs["rung"] == "square"]
    assert first.params["x"] == 0.5 and "carried_from" in first.user_attrs


@pytest.mark.slow
def test_two_processes_with_two_workers_each_share_the_rungs(toy: Any) -> None:
    processes = [toy.start(*CLIMB, "n_trials=12", "hydra.sweeper.n_jobs=2", "seconds=0.3") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert Counter(rungs(toy)) == {"round": 6, "square": 6}
    assert sum(t.params.get("x") == 0.5 for t in toy.trials) == 1, "one is the first of its rung"


@pytest.mark.slow
def test_entries_go_first_and_keep_their_rung(toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=8", "hydra.sweeper.enqueue=[{shape:square,x:0.25},{x:0.75},{colour:red}]")
    assert rungs(toy) == ["round", "square", "square", "round", "round", "round", "square", "square"]
    assert [t.params.get("x") for t in toy.trials[:4]] == [None, 0.25, 0.75, None]
    assert toy.trials[3].params["colour"] == "red"


@pytest.mark.slow
def test_a_pruner_compares_trials_of_one_rung(toy: Any) -> None:
    """The first square trial is worse than every round one, which would stop it."""
    toy.run(*CLIMB, "n_trials=8", "hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1", "n=2")
    first, *others = toy.trials[4:]
    assert first.state.name == "COMPLETE"
    assert first.intermediate_values[0] > max(t.intermediate_values[0] for t in toy.trials[:4] if t.value is not None)
    for trial in others:
        assert (trial.state.name == "PRUNED") is (trial.intermediate_values[0] > first.intermediate_values[0])


@pytest.mark.parametrize("sampler", ["random", "qmc"])
@pytest.mark.slow
def test_any_sampler_climbs(sampler: str, toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=8", f"hydra/sweeper/sampler={sampler}")
    assert rungs(toy) == 4 * ["round"] + 4 * ["square"]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["shape=square", *slowly("hydra.sweeper.params.shape=null")])
def test_where_the_key_has_one_value_that_rung_is_searched_alone(given: str, toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=4", given)
    shape = "square" if given == "shape=square" else "round"
    keys = {"square": {"n", "x", "radius"}, "round": {"n", "colour"}}[shape]
    for trial in toy.trials:
        assert set(trial.params) == keys and "rung" not in trial.user_attrs
        assert toy.config(trial.number).shape.centre == {"square": -0.3, "round": 0.3}[shape]


@pytest.mark.slow
def test_without_the_climb_the_key_is_drawn_like_any_other(toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=6", "hydra.sweeper.climb=null", "hydra/sweeper/sampler=random")
    assert {t.params["shape"] for t in toy.trials} == {"round", "square"}
    assert not any("rung" in t.user_attrs for t in toy.trials)


@pytest.mark.slow
def test_a_rung_alone_can_be_a_grid_and_a_climb_cannot(toy: Any) -> None:
    toy.run(*CLIMB, "shape=round", "n=1,2", "hydra/sweeper/sampler=grid", "n_trials=20", "hydra.sweeper.baseline=false")
    assert sorted((t.params["n"], t.params["colour"]) for t in toy.trials) == [
        (n, colour) for n in (1, 2) for colour in ("blue", "green", "red")
    ]
    more = ("hydra.sweep.dir=multirun/other", "hydra/sweeper/sampler=grid", "hydra.sweeper.conditional=null")
    output = toy.run(*CLIMB, *more, code=1).output
    assert "Say hydra.sweeper.climb=null, or choose another sampler" in output and "Traceback" not in output


def test_a_portfolio_is_tried_before_the_sampler_draws_on_a_quarter_of_the_trials(toy: Any) -> None:
    known = "hydra.sweeper.climb.portfolio=[{x:0.25},{x:-0.25},{x:0.75}]"
    toy.run(*CLIMB, "n_trials=9", known, "hydra/sweeper/sampler=random")
    squares = [t.params for t in toy.trials[5:]]
    assert [(p["x"], p["radius"]) for p in squares[:3]] == [(0.5, 0.0), (0.25, 0.0), (-0.25, 0.0)]
    assert squares[3]["x"] != 0.75


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("climb.key=shapes", "got `shapes`, which it does not have. Nearest: shape."),
        ("climb.fraction=1", "Expected `hydra.sweeper.climb.fraction` to be above 0 and below 1, got 1.0."),
        *slowly(
            ("climb.carry=[m]", "got `m`, which it does not have."),
            ("climb.order=[[1],[2]]", "that `shape` can have (round, square), got [1]."),
            ("climb.order=[round,oval]", "that `shape` can have (round, square), got oval."),
            ("climb.portfolio=[{colours:red}]", "got `colours`, which it does not have. Nearest: colour, floors."),
            (
                "climb.order=[round]",
                "to list two values of `shape` or more, each once, cheapest first, got [round].",
            ),
            ("climb.key=x", "Move it from `conditional` to `params`."),
        ),
    ],
)
def test_a_climb_that_cannot_be_is_refused(given: str, expected: str, toy: Any) -> None:
    output = toy.run(*CLIMB, f"hydra.sweeper.{given}", code=1).output
    assert expected in output and "Traceback" not in output
    assert not toy.folder.exists()
