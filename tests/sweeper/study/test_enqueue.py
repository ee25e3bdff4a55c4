"""What is tried first: the config as it is, and what `enqueue` names."""

from typing import Any

import pytest
from omegaconf import OmegaConf

DEFAULTS = {"x": 0.5, "n": 1, "colour": "green"}


@pytest.mark.slow
def test_each_form_of_an_entry_is_tried_once_in_its_order_after_the_baseline(toy: Any) -> None:
    OmegaConf.save({"x": -0.25, "n": 3, "colour": "blue"}, toy.cwd / "params.yaml")
    command = (
        "hydra.sweeper.baseline=true",
        "hydra.sweeper.enqueue=[{x:0.25,n:2,colour:blue},'x=0.75 n=4 colour=red',"
        "['x=-0.5','colour=green'],params.yaml]",
    )
    toy.run("n_trials=2", *command)
    files = toy.files(0, 1)
    toy.run("n_trials=6", *command)
    given = [
        DEFAULTS,
        {"x": 0.25, "n": 2, "colour": "blue"},
        {"x": 0.75, "n": 4, "colour": "red"},
        {"x": -0.5, "n": toy.trials[3].params["n"], "colour": "green"},  # what is left out is drawn
        {"x": -0.25, "n": 3, "colour": "blue"},
    ]
    assert [t.params for t in toy.trials[:5]] == given
    assert toy.states() == 6 * ["COMPLETE"]
    assert [t.user_attrs.get("enqueued") for t in toy.trials] == [
        None,
        "x=0.25 n=2 colour=blue",
        "x=0.75 n=4 colour=red",
        "x=-0.5 colour=green",
        "x=-0.25 n=3 colour=blue",
        None,
    ]
    assert toy.files(0, 1) == files
    for number, params in enumerate(given):
        assert {key: toy.config(number)[key] for key in params} == params

    # The job's whole config is an entry too; one that the study knows is not tried again, whatever its form.
    toy.run("n_trials=8", "hydra.sweeper.baseline=true", f"hydra.sweeper.enqueue=[{toy.folder}/4/.hydra/config.yaml]")
    assert len(toy.trials) == 8
    assert [t.params for t in toy.trials].count(given[4]) == 1


def test_without_a_baseline_the_first_entry_is_the_first_trial(toy: Any) -> None:
    toy.run("n_trials=3", "hydra.sweeper.enqueue=['x=0.25 n=2','x=0.5 n=1 colour=red']")
    assert (toy.trials[0].params["x"], toy.trials[0].params["n"]) == (0.25, 2)
    assert toy.trials[1].params == {"x": 0.5, "n": 1, "colour": "red"}
    assert [t.user_attrs.get("enqueued") for t in toy.trials] == ["x=0.25 n=2", "x=0.5 n=1 colour=red", None]


@pytest.mark.slow
def test_entries_that_a_dead_search_left_in_the_queue_are_tried_once(toy: Any) -> None:
    command = ("n_trials=3", "hydra.sweeper.enqueue=['x=0.25 n=2','x=0.5 n=1']")
    toy.run(*command, "signal_at=[0, 1]", code=-9)
    assert toy.states() == ["RUNNING", "WAITING"]
    toy.run(*command)
    assert toy.states() == ["FAIL", *3 * ["COMPLETE"]]
    assert [t.user_attrs.get("enqueued") for t in toy.trials] == ["x=0.25 n=2", "x=0.5 n=1", "x=0.25 n=2", None]
    assert toy.trials[2].params == toy.trials[0].params
    assert toy.trials[2].user_attrs["retry_of"] == 0


@pytest.mark.slow
def test_a_baseline_outside_its_range_is_refused_before_the_first_trial(toy: Any) -> None:
    narrow = ("n_trials=2", "x=interval(-1.0, 0.0)")
    output = toy.run(*narrow, "hydra.sweeper.baseline=true", code=1).output
    assert "the default of `x` within its search range -1.0..0.0, but it is 0.5" in output
    assert not toy.folder.exists()
    toy.run(*narrow, "hydra.sweeper.baseline=false")
    assert [t.user_attrs.get("role") for t in toy.trials] == [None, None]
    assert all(-1 <= t.params["x"] <= 0 for t in toy.trials)


@pytest.mark.slow
def test_the_baseline_follows_what_the_command_line_sets(toy: Any) -> None:
    toy.run("n_trials=1", "hydra.sweeper.baseline=true", "n=3", "shape=square", "limit=null,1")
    assert toy.trials[0].params == {"x": 0.5, "colour": "green", "limit": None}
    assert (toy.config(0).n, toy.config(0).shape.centre, toy.config(0).limit) == (3, -0.3, None)


@pytest.mark.slow
def test_an_entry_may_choose_an_option_of_a_group_and_a_null_and_a_list(toy: Any) -> None:
    toy.run(
        "n_trials=2",
        "shape=choice(round, square)",
        "limit=null,1",
        "sizes=choice([8, 16], [4])",
        "hydra.sweeper.enqueue=[{shape:square,limit:null,sizes:[4]},'shape=round sizes=[8,16] limit=1']",
    )
    keys = ("shape", "limit", "sizes")
    assert [[t.params[key] for key in keys] for t in toy.trials] == [["square", None, "[4]"], ["round", 1, "[8,16]"]]
    assert (toy.config(0).shape.centre, toy.config(0).limit, toy.config(0).sizes) == (-0.3, None, [4])


def test_a_value_of_an_entry_may_have_blanks_in_quotes_and_lists(toy: Any) -> None:
    toy.run(
        "n_trials=1", "note=choice('two words', one)", "sizes=choice([8, 16], [4])",
        """hydra.sweeper.enqueue=["note='two words'  sizes=[8, 16] x=0.25"]""",
    )  # fmt: skip
    params = toy.trials[0].params
    assert (params["note"], params["sizes"], params["x"]) == ("two words", "[8,16]", 0.25)


@pytest.mark.parametrize(
    ("entry", "messages"),
    [
        ("{xx:1}", ["got `xx`, which it does not have", "Nearest: x"]),
        ("{radius:1}", ["got `radius` in `radius=1`, which is not searched", "Searched are x, n, colour"]),
        ("'x=2 n=1'", ["`x` of `enqueue` within its search range -1.0..1.0, got 2 in `x=2 n=1`"]),
        ("{colour:pink}", ["`colour` of `enqueue` within its search range blue, green, red, got pink"]),
        ("missing.yaml", ["missing.yaml, which does not exist"]),
        ("list.yaml", ["Expected keys and values in", "list.yaml, got something else"]),
        ("'x'", ["got `x`"]),
        ("1", ["`enqueue` to list mappings, texts of overrides or files, got 1 among them"]),
        ("''", ["give keys one value each, got ``. Write for example 'x=1'"]),
        ("{}", ["give keys one value each, got `{}`"]),
        ("empty.yaml", ["give keys one value each, got `empty.yaml`"]),
        ("'x=0.1 x=0.2'", ["give keys one value each, got `x=0.1 x=0.2`"]),
        ("['x=0.1','x=0.2']", ["give keys one value each, got `x=0.1 x=0.2`"]),
        ("'x=0.1 n=['", ["`enqueue` to list overrides such as 'x=1', got `n=[`"]),
        ("'x=interval(0,1)'", ["to give every key one value, got `x=interval(0,1)`"]),
    ],
)
@pytest.mark.slow
def test_an_entry_that_cannot_be_tried_is_refused_before_the_first_trial(
    entry: str, messages: list[str], toy: Any
) -> None:
    (toy.cwd / "empty.yaml").write_text("steps: 1\n")
    (toy.cwd / "list.yaml").write_text("- 1\n")
    output = toy.run(f"hydra.sweeper.enqueue=[{entry}]", code=1).output
    for message in messages:
        assert message in output
    assert "Traceback" not in output
    assert not toy.folder.exists()
