"""Conditional spaces, groups and values of every kind, compared with what the jobs' tasks get."""

from functools import partial
from typing import Any

import pytest
from omegaconf import OmegaConf
from slowly import slowly

from docclf.sweeper.space.grammar import decode
from docclf.sweeper.space.parameters import key_of

CENTRES = {"round": 0.3, "square": -0.3}
# What a job has where no branch sets it
DEFAULTS = {"limit": None, "sizes": [8, 16], "corner": "sharp", "radius": 0.0}


def searched(trial: Any) -> dict[str, Any]:
    return {key_of(name): decode(value) for name, value in trial.params.items()}


@pytest.fixture(scope="module")
def branches(new_toy: Any) -> Any:
    toy = new_toy()
    toy.run("--config-name", "branches", "n_trials=14", "hydra/sweeper/sampler=random")
    assert toy.states() == 14 * ["COMPLETE"]
    return toy


def test_a_trial_draws_the_keys_of_its_branch_and_no_others(branches: Any) -> None:
    common = {"x", "n", "colour", "shape", "note"}
    seen = set()
    for trial in branches.trials[1:]:
        own = {
            ("round", None): {"limit", "sizes"},
            ("square", "sharp"): {"limit", "corner"},
            ("square", "soft"): {"limit", "corner", "radius"},
        }
        values = searched(trial)
        branch = values["shape"], values.get("corner")
        assert set(values) == common | own[branch]
        assert f"limit [shape={values['shape']}]" in trial.params
        seen.add(branch)
    assert len(seen) == 3


def test_a_job_gets_what_was_drawn_as_the_value_itself_and_else_the_defaults(branches: Any) -> None:
    notes, limits, sizes = [], [], []
    for trial in branches.trials:
        values = searched(trial)
        config = OmegaConf.to_container(branches.config(trial.number))
        assert isinstance(config, dict)
        assert config["shape"] == {"centre": CENTRES[values.pop("shape")]}
        given = {"corner": "none at all"} if "sizes" in values else {}
        for key, value in {**DEFAULTS, **given, **values}.items():
            assert (config[key], type(config[key])) == (value, type(value)), key
        notes.append(config["note"])
        limits.append(config["limit"])
        sizes.append(config["sizes"])
    assert {"c,d", "two words", "1", 1, None} == set(notes[1:])
    assert {None, 1} < set(limits)
    assert [8, None] in sizes
    assert [] in sizes


def test_what_is_searched_and_what_the_conditions_set_is_in_the_overrides_of_the_job(branches: Any) -> None:
    for trial in branches.trials:
        overrides = OmegaConf.load(branches.folder / str(trial.number) / ".hydra" / "overrides.yaml")
        shape = trial.params["shape"]
        assert f"shape={shape}" in overrides
        assert ("corner=none at all" in overrides) is (shape == "round")


@pytest.mark.slow
def test_a_condition_on_a_key_that_is_not_searched_asks_the_config(toy: Any) -> None:
    command = ("--config-name", "branches", "shape=square", "note=plain", "hydra/sweeper/sampler=random")
    toy.run(*command, "n_trials=4", "hydra.sweeper.baseline=true")
    assert toy.trials[0].params == {
        "x": 0.5,
        "n": 1,
        "colour": "green",
        "limit [shape=square]": None,
        "corner [shape=square]": "sharp",
    }
    assert toy.trials[0].user_attrs["role"] == "baseline"
    for trial in toy.trials:
        assert ("radius" in trial.params) is (searched(trial)["corner"] == "soft")
        assert not {"shape", "note", "sizes", "limit [shape=round]"} & set(trial.params)
        assert toy.config(trial.number).shape.centre == CENTRES["square"]


@pytest.fixture
def ovals(toy: Any) -> Any:
    """A toy that has a third shape, with a key that the others have not, and its search."""
    (toy.cwd / "more" / "shape").mkdir(parents=True)
    (toy.cwd / "more" / "shape" / "oval.yaml").write_text("{centre: 0.1, stretch: 1.0}")
    return partial(
        toy.run, "--config-dir", "more", "shape=choice(round, oval)", "hydra/sweeper/sampler=random", "n_trials=5"
    )


def conditional(when: str, key: str) -> str:
    return f"hydra.sweeper.conditional=[{{when: {{shape: {when}}}, params: {{{key}: 'interval(1, 2)'}}}}]"


def test_a_branch_may_search_a_key_that_its_option_alone_has(toy: Any, ovals: Any) -> None:
    ovals(
        conditional("oval", "shape.stretch"),
        "hydra.sweeper.baseline=true",
        "hydra.sweeper.enqueue=[{shape: oval, shape.stretch: 1.5}]",
    )
    assert [trial.params.get("shape.stretch") for trial in toy.trials[:2]] == [None, 1.5]
    for trial in toy.trials:
        assert trial.params.get("shape.stretch") == toy.config(trial.number).shape.get("stretch")


@pytest.mark.parametrize(
    ("when", "key"),
    [("oval", "shape.stretsh"), *slowly(("[oval, round]", "shape.stretch"), ("round", "shape.stretch"))],
)
def test_a_key_that_no_option_of_its_condition_has_is_refused(toy: Any, ovals: Any, when: str, key: str) -> None:
    output = ovals(conditional(when, key), code=1).output
    assert f"Expected keys of the config in the search space, got `{key}`, which it does not have." in output
    assert ("Nearest: shape.stretch" in output) is (when == "oval")
    assert f"It comes from the search space, with `shape={'oval' if when == 'oval' else 'round'}`." in output
    assert not (toy.folder / "0").exists()


@pytest.mark.slow
def test_a_branch_is_continued_and_an_entry_names_its_keys_without_the_condition(toy: Any) -> None:
    command = ("--config-name", "branches", "note=plain")
    toy.run(*command, "n_trials=1")
    toy.run(
        *command,
        "n_trials=3",
        "hydra.sweeper.enqueue=[{shape:square,limit:1,corner:soft,radius:0.25},{shape:round,limit:2.5}]",
    )
    soft, round_ = (searched(trial) for trial in toy.trials[1:])
    assert {key: soft[key] for key in ("shape", "limit", "corner", "radius")} == {
        "shape": "square",
        "limit": 1,
        "corner": "soft",
        "radius": 0.25,
    }
    assert (round_["shape"], round_["limit"]) == ("round", 2.5)
    message = "`limit` of `enqueue` within its search range null, 1, got 2.5"
    output = toy.run(*command, "n_trials=4", "hydra.sweeper.enqueue=[{shape:square,limit:2.5}]", code=1).output
    assert message in output


@pytest.mark.slow
def test_a_glob_is_a_choice_of_the_options_of_a_group_and_a_deletion_takes_a_key_out(toy: Any) -> None:
    toy.run(
        "n_trials=4",
        "shape=glob(*)",
        "~limit",
        "+extra=choice(1, 2)",
        "colour=blue,red",
        "x=tag(log, interval(0.01, 1))",
        "n=sort(choice(3, 1))",
        "hydra/sweeper/sampler=random",
    )
    assert toy.trials[0].distributions["shape"].choices == ("round", "square")
    assert toy.trials[0].distributions["x"].log
    for trial in toy.trials:
        config = toy.config(trial.number)
        assert "limit" not in config
        assert config.shape.centre == CENTRES[trial.params["shape"]]
        assert config.extra == trial.params["+extra"]
    assert {t.params["shape"] for t in toy.trials} == {"round", "square"}


@pytest.mark.slow
def test_a_glob_leaves_out_what_it_excludes_and_one_without_a_match_is_refused(toy: Any) -> None:
    toy.run("n_trials=1", "shape=glob([r*, s*], exclude=ro*)")
    assert toy.trials[0].params["shape"] == "square"
    output = toy.run("shape=glob(z*)", "hydra.sweep.dir=multirun/other", code=1).output
    assert "no option of the group matches" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_hook_draws_more_and_the_job_gets_it(toy: Any) -> None:
    command = ("hydra.sweeper.custom_search_space=hooks.draw_radius", "hydra/sweeper/sampler=random")
    toy.run("n_trials=5", *command)
    assert {t.params["colour"] for t in toy.trials} > {"blue"}
    for trial in toy.trials:
        assert ("radius" in trial.params) is (trial.params["colour"] == "blue")
        assert toy.config(trial.number).radius == trial.params.get("radius", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["hooks.no_such_function", "no_module.of_this_name"])
def test_a_hook_that_is_not_there_is_refused(hook: str, toy: Any) -> None:
    output = toy.run(f"hydra.sweeper.custom_search_space={hook}", code=1).output
    assert f"Expected `hydra.sweeper.custom_search_space` to name a function, got {hook}" in output
    assert "Traceback" not in output
    assert not (toy.folder / "0").exists()
