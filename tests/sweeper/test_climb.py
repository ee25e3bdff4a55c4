"""Searches that climb: cheap trials first, then dear ones that take over the best of them."""

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.run.asker import Asker
from docclf.sweeper.screen.forecast import seconds_left
from docclf.sweeper.screen.plan import Cost, Plan
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.climb import Climb, RungView

CLIMB = ("--config-name", "climb")
SPACE = parse_space(
    {"tune": "choice(head, last, all)", "size": "choice(1, 2, 3, 4)", "name": "choice(a, b)"},
    [],
    [
        {"when": {"tune": "head"}, "params": {"c": "interval(0, 1)"}},
        {"when": {"tune": ["last", "all"]}, "params": {"lr": "interval(0, 1)", "decay": "interval(0, 1)"}},
    ],
)
DEFAULTS = {"tune": "head", "size": 2, "name": "a", "c": 0.5, "lr": 0.1, "decay": 0.2}


def climb(**changes: Any) -> Climb:
    given = {"total": 20, "defaults": DEFAULTS, "directions": (StudyDirection.MAXIMIZE,), **changes}
    return Climb("tune", ("head", "last"), 0.5, ("size",), SPACE, **given)


def done(rung: str, value: float = 0.0, size: int = 1, **attributes: Any) -> FrozenTrial:
    return create_trial(
        value=value,
        params={"tune": rung, "size": size},
        distributions={key: SPACE.distributions[key] for key in ("tune", "size")},
        user_attrs={"rung": rung, **attributes},
    )


def rungs(toy: Any) -> list[str]:
    return [trial.user_attrs["rung"] for trial in toy.counted()]


# What is next, by the trials of the study


def test_half_of_the_trials_are_on_the_first_rung_the_baseline_among_them() -> None:
    heads = [done("head", role="baseline"), *[done("head")] * 8]
    assert climb().due(heads) == 0
    assert climb().due([*heads, done("head")]) == 1


def test_what_runs_counts_and_what_was_interrupted_does_not() -> None:
    heads = [done("head")] * 9
    running = create_trial(state=TrialState.RUNNING, user_attrs={"rung": "head"})
    interrupted = create_trial(state=TrialState.FAIL, user_attrs={"rung": "head", "interrupted": "process"})
    assert climb().due([*heads, running]) == 1
    assert climb().due([*heads, interrupted]) == 0


@pytest.mark.parametrize(("total", "expected"), [(1, [1]), (2, [1, 1]), (3, [2, 1]), (8, [4, 4]), (20, [10, 10])])
def test_no_total_leaves_a_rung_empty(total: int, expected: list[int]) -> None:
    assert [n for _, n in climb(total=total).coming({}, "", total)] == expected


def test_of_three_rungs_each_gets_its_fraction_of_what_is_left() -> None:
    three = Climb("tune", ("head", "last", "all"), 0.5, (), SPACE, total=20)
    assert three.coming({}, "", 20) == [("head", 10), ("last", 5), ("all", 5)]
    assert three.coming({"head": 4}, "head", 16) == [("head", 6), ("last", 5), ("all", 5)]


def test_a_rung_that_was_left_is_not_gone_back_to_when_the_total_is_raised() -> None:
    trials = [*[done("head")] * 2, done("last", carried_from=0)]
    assert climb(total=40).due(trials) == 1
    assert climb(total=40).due([*trials[:2], done("last", enqueued="tune=last")]) == 0, "an entry may be anywhere"


def test_a_slow_rung_ends_with_its_fraction_of_the_time() -> None:
    assert climb().due([done("head")], spent=0.49) == 0
    assert climb().due([done("head")], spent=0.51) == 1


def test_a_rung_that_brings_nothing_better_is_left_and_not_the_search() -> None:
    heads = [done("head", 1.0), *[done("head", 0.5)] * 3]
    assert climb(patience=3).due(heads) == 1
    assert climb(patience=4).due(heads) == 0


def test_a_search_without_a_total_goes_on_by_time_and_patience_alone() -> None:
    heads = [done("head", value) for value in range(200)]
    assert climb(total=float("inf")).due(heads, spent=0.4) == 0
    assert climb(total=float("inf")).due(heads, spent=0.6) == 1


def test_the_first_trial_of_a_rung_has_the_best_size_below_and_the_config_s_values_for_the_rest() -> None:
    heads = [done("head", value, size) for value, size in ((0.1, 1), (0.9, 3), (0.5, 4), *[(0.0, 2)] * 7)]
    draws, attributes = climb().place(numbered(heads), {})
    assert draws == {"tune": "last", "size": 3, "name": "a", "lr": 0.1, "decay": 0.2}
    assert attributes == {"rung": "last", "carried_from": 1}


def test_half_take_after_the_best_a_quarter_after_the_second_and_the_rest_after_the_third() -> None:
    heads = [done("head", value, size) for value, size in ((0.9, 3), (0.8, 3), (0.7, 4), (0.6, 1), (0.5, 2))]
    trials, sizes = heads * 2, []
    for _ in range(8):
        draws, attributes = climb().place(numbered(trials), {})
        trials = [*trials, done(size=draws["size"], **attributes)]
        sizes.append(draws["size"])
    assert sizes == [3, 4, 3, 1, 3, 4, 3, 1]
    assert draws == {"tune": "last", "size": 1}, "the sampler draws the rest"


def test_who_breaks_a_constraint_hands_nothing_on_and_without_anyone_the_config_does() -> None:
    def breaking(size: int) -> FrozenTrial:
        trial = done("head", 0.9, size)
        return create_trial(
            value=0.9,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
            constraints={"seconds": 1.0},
        )

    trials = [*[breaking(3)] * 9, done("head", 0.1, 4)]
    assert climb().place(numbered(trials), {})[0]["size"] == 4
    draws, attributes = climb().place(numbered([breaking(3)] * 10), {})
    assert draws["size"] == 2 and attributes["carried_from"] is None


def test_a_default_outside_the_space_is_left_to_the_sampler() -> None:
    draws, _ = climb(defaults={**DEFAULTS, "lr": 7.0}).place(numbered([done("head")] * 10), {})
    assert "lr" not in draws and draws["decay"] == 0.2


def test_what_the_baseline_was_is_not_tried_twice() -> None:
    first, _ = climb().place(numbered([done("head")] * 10), {})
    baseline = create_trial(
        value=0.0,
        params=first,
        distributions={key: SPACE.distributions[key] for key in first},
        user_attrs={"rung": "last", "role": "baseline"},
    )
    draws, _ = climb().place(numbered([baseline, *[done("head")] * 10]), {})
    assert draws == {"tune": "last", "size": 1}


def test_an_entry_keeps_its_rung_and_one_without_gets_that_of_its_keys() -> None:
    assert climb().place([], {"tune": "all", "lr": 0.3}) == ({"tune": "all", "lr": 0.3}, {"rung": "all"})
    assert climb().place([], {"size": 4}) == ({"tune": "head", "size": 4}, {"rung": "head"})
    assert climb().on_a_rung({"lr": 0.3, "size": 1})["tune"] == "last"
    assert climb().on_a_rung({"c": 0.3})["tune"] == "head"
    assert climb().on_a_rung({"tune": "all", "c": 0.3})["tune"] == "all"


# What samplers and pruners see


def test_the_sampler_sees_the_trials_of_the_rung_alone_those_of_another_study_too() -> None:
    class Seeing(optuna.samplers.RandomSampler):
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            seen.append([t.user_attrs["rung"] for t in study.get_trials() if t.state == TrialState.COMPLETE])
            return super().sample_independent(study, trial, name, distribution)

    seen: list[list[str]] = []
    study = optuna.create_study(sampler=Seeing(), direction="maximize")
    study.add_trials([done("head"), done("last")])
    asker = Asker(study, known=[done("last"), done("head")], climb=climb(total=4))
    for _ in range(3):
        asker.ask({"name": CategoricalDistribution(["a", "b"])})
    assert seen == [["head", "head"], ["last", "last"]], "the first trial of a rung has the config's values"
    assert len(study.get_trials()) == 5, "the study itself shows all"


def test_hyperband_s_brackets_are_of_one_rung() -> None:
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    study = optuna.create_study(pruner=pruner)
    study.add_trials([done("head"), done("last")] * 20)
    study._storage = RungView(study._storage, "last")  # type: ignore[assignment]
    view = optuna.pruners._filter_study(study, study.get_trials()[0])
    assert {t.params["tune"] for t in view.get_trials()} == {"last"}


# Forecasts


def test_what_a_trial_costs_says_nothing_of_another_rung() -> None:
    plan = Plan(20, climb=climb())
    heads = [Cost(1.0, 1, True, "head")] * 10
    assert seconds_left(plan, heads, []) is None
    assert seconds_left(plan, [*heads, Cost(30.0, 9, True, "last")], []) == pytest.approx(9 * 30.0)
    dear_baseline = [Cost(30.0, 9, True, "last"), Cost(1.0, 1, True, "head")]
    assert seconds_left(plan, dear_baseline, []) == pytest.approx(9 * 1.0 + 9 * 30.0)


def test_a_running_trial_is_measured_by_its_own_rung() -> None:
    costs = [*[Cost(1.0, 1, True, "head")] * 10, *[Cost(30.0, 9, True, "last")] * 9]
    assert seconds_left(Plan(20, climb=climb()), costs, [Cost(12.0, 3, rung="last")]) == pytest.approx(18.0)


def test_finalists_cost_what_their_rung_does() -> None:
    costs = [Cost(1.0, 1, True, "head"), Cost(30.0, 9, True, "last")]
    plan = Plan(2, n_finalists=2, climb=climb(total=2))
    assert seconds_left(plan, costs, [], finalists=["head", "head"]) == pytest.approx(2.0)
    assert seconds_left(plan, costs, [], finalists=["head", "last"]) == pytest.approx(31.0)


def numbered(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    copies = []
    for number, trial in enumerate(trials):
        copy = create_trial(
            state=trial.state,
            values=trial.values,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
            constraints=trial.constraints,
        )
        copy.number = number
        copies.append(copy)
    return copies


# Whole searches


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


def test_more_trials_are_more_of_the_last_rung(toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=4")
    toy.run(*CLIMB, "n_trials=7")
    assert rungs(toy) == 2 * ["round"] + 5 * ["square"]


@pytest.mark.parametrize("at", [*(pytest.param(at, marks=pytest.mark.slow) for at in (0, 6)), 2, 4])
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


def test_entries_go_first_and_keep_their_rung(toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=8", "hydra.sweeper.enqueue=[{shape:square,x:0.25},{x:0.75},{colour:red}]")
    assert rungs(toy) == ["round", "square", "square", "round", "round", "round", "square", "square"]
    assert [t.params.get("x") for t in toy.trials[:4]] == [None, 0.25, 0.75, None]
    assert toy.trials[3].params["colour"] == "red"


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


@pytest.mark.parametrize("given", ["shape=square", "hydra.sweeper.params.shape=null"])
def test_where_the_key_has_one_value_that_rung_is_searched_alone(given: str, toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=4", given)
    shape = "square" if given == "shape=square" else "round"
    keys = {"square": {"n", "x", "radius"}, "round": {"n", "colour"}}[shape]
    for trial in toy.trials:
        assert set(trial.params) == keys and "rung" not in trial.user_attrs
        assert toy.config(trial.number).shape.centre == {"square": -0.3, "round": 0.3}[shape]


def test_without_the_climb_the_key_is_drawn_like_any_other(toy: Any) -> None:
    toy.run(*CLIMB, "n_trials=6", "hydra.sweeper.climb=null", "hydra/sweeper/sampler=random")
    assert {t.params["shape"] for t in toy.trials} == {"round", "square"}
    assert not any("rung" in t.user_attrs for t in toy.trials)


def test_a_rung_alone_can_be_a_grid_and_a_climb_cannot(toy: Any) -> None:
    toy.run(*CLIMB, "shape=round", "n=1,2", "hydra/sweeper/sampler=grid", "n_trials=20", "hydra.sweeper.baseline=false")
    assert sorted((t.params["n"], t.params["colour"]) for t in toy.trials) == [
        (n, colour) for n in (1, 2) for colour in ("blue", "green", "red")
    ]
    more = ("hydra.sweep.dir=multirun/other", "hydra/sweeper/sampler=grid", "hydra.sweeper.conditional=null")
    output = toy.run(*CLIMB, *more, code=1).output
    assert "Say hydra.sweeper.climb=null, or choose another sampler" in output and "Traceback" not in output


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("climb.key=shapes", "got `shapes`, which it does not have. Nearest: shape."),
        ("climb.carry=[m]", "got `m`, which it does not have."),
        ("climb.fraction=1", "Expected `hydra.sweeper.climb.fraction` to be above 0 and below 1, got 1.0."),
        ("climb.order=[round,oval]", "that `shape` can have (round, square), got oval."),
        ("climb.order=[round]", "to list two values of `shape` or more, each once, from cheap to dear, got [round]."),
        ("climb.key=x", "Move it from `conditional` to `params`."),
    ],
)
def test_a_climb_that_cannot_be_is_refused(given: str, expected: str, toy: Any) -> None:
    output = toy.run(*CLIMB, f"hydra.sweeper.{given}", code=1).output
    assert expected in output and "Traceback" not in output
    assert not toy.folder.exists()
