"""What cannot work is refused, with the way out."""

from typing import Any

import optuna
import pytest
from slowly import slowly


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("x=interval(1, 0)", "low=1.0, high=0.0", marks=pytest.mark.slow),
        ("+hydra.sweeper.params.z='interval(0,1)'", "got `z`, which it does not have"),
        pytest.param("+hydra.sweeper.params.z=1", "Could not override 'z'", marks=pytest.mark.slow),
        ("shape=choice(round, hexagon)", "every value of the search space to compose, but `shape=hexagon` does not"),
        ("n_trials=0", "Expected at least 1 trial, got n_trials=0"),
        ("hydra.sweeper.timeout=-1", "a text such as 90s, 30m or 1h30m, above 0, or null for none, got timeout=-1."),
        *slowly(
            ("hydra.sweeper.timeout=soon", "Expected the timeout to be seconds, or a text such as 90s, 30m or 1h30m"),
            ("hydra.sweeper.timeout=0", "got timeout=0."),
            ("hydra.sweeper.n_trials=null", "Expected a search that ends, got n_trials=null and timeout=null."),
            ("+hydra.sweeper.n_trial=1", "below `hydra.sweeper`, got n_trial. Did you mean hydra.sweeper.n_trials?"),
            ("+hydra.sweeper.zzz=1", "below `hydra.sweeper`, got zzz. Leave out hydra.sweeper.zzz."),
            ("+hydra.sweeper.finalists.top=1", "Did you mean hydra.sweeper.finalists.top_k?"),
            (
                "hydra.sweep.dir=multirun/${hydra.sweeper.study_name}",
                "got null. Say hydra.sweeper.study_name=NAME",
            ),
            ("hydra.sweeper.storage=sqlite:///", ". Say hydra.sweeper.storage=sqlite:///study.db"),
            ("hydra.sweeper.params={x: null, n: null, colour: null}", "or run one trial: hydra.sweeper.n_trials=1"),
            ("hydra.sweeper.params={x: 'choice(0.5)', n: 1, colour: 'choice(green)'}", "got none that varies"),
            ("hydra.sweeper.n_jobs=true", "Expected at least 1 worker, or auto, got n_jobs=True"),
            ("hydra.sweeper.constraints={secs: nan}", "bound of the constraint `secs` to be a number"),
            ("+hydra.sweeper.enqueue=[{x: nan}]", "`x` of `enqueue` within its search range -1.0..1.0, got nan"),
            ("hydra/sweeper/sampler=motpe", "Use 'hydra/sweeper/sampler=tpe' instead"),
            ("hydra/sweeper/sampler=cmaes", "opens no pickles, got optuna.samplers.CmaEsSampler, which runs whatever"),
            (
                "hydra.sweeper.conditional=[{when: {untried: 1}, params: {limit: 1}}]",
                "a value of `untried`, which `when` names",
            ),
            ("hydra.sweeper.n_jobs=0", "Expected at least 1 worker, or auto, got n_jobs=0"),
            ("hydra.sweeper.constraints=abc", "as in '{train_seconds: 60}', or to be null, got abc."),
            ("hydra.sweeper.finalists.overrides=abc", "`hydra.sweeper.finalists.overrides` to map names to values"),
            ("hydra.sweeper.finalists.references=[1]", "`hydra.sweeper.finalists.references` to map names to values"),
            ("hydra/sweeper/sampler=bayes", "Could not find 'hydra/sweeper/sampler/bayes'"),
            pytest.param(
                "hydra/sweeper/pruner=mean", "Could not find 'hydra/sweeper/pruner/mean'", marks=pytest.mark.slow
            ),
            ("hydra.sweeper.sampler.sede=1", "Key 'sede' not in 'SamplerConfig'"),
            ("colour.x=choice(1, 2)", "got `colour.x`"),
            pytest.param("shape=hexagon", "Could not find 'shape/hexagon'", marks=pytest.mark.slow),
            pytest.param("zz=1", "Could not override 'zz'", marks=pytest.mark.slow),
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_trial(override: str, message: str, toy: Any) -> None:
    output = toy.run("hydra.sweeper.baseline=true", override, code=1).output
    assert message in output
    assert "Traceback" not in output
    assert not (toy.folder / "0").exists()


@pytest.mark.parametrize("name", ["..", "''", *slowly("a/b", "'a\\b'")])
def test_a_folder_that_is_called_by_its_study_is_one_of_its_own(name: str, toy: Any) -> None:
    output = toy.run(
        "hydra.sweep.dir='multirun/${hydra.sweeper.study_name}'", f"hydra.sweeper.study_name={name}", code=1
    ).output
    assert "Expected `hydra.sweeper.study_name` to be the name of a folder" in output
    assert ". Say hydra.sweeper.study_name=NAME" in output
    assert list(toy.cwd.rglob("*")) == []


def test_a_study_may_be_called_anything_where_its_folder_is_not(toy: Any) -> None:
    toy.run("hydra.sweeper.study_name=a/b", "n_trials=1")
    assert optuna.get_all_study_names(toy.storage) == ["a/b"] and toy.folders() == [0]


def test_a_storage_that_is_a_folder_leaves_nothing_beside_it(toy: Any) -> None:
    cwd = toy.cwd / "w"
    cwd.mkdir()
    type(toy)(cwd).run("hydra.sweeper.storage=sqlite:///", code=1)
    assert [path.name for path in toy.cwd.iterdir()] == ["w"]


def test_a_search_of_nothing_may_have_one_trial(toy: Any) -> None:
    toy.run("x=0", "n=1", "colour=blue", "n_trials=1")
    assert toy.states() == ["COMPLETE"]


@pytest.mark.slow
def test_a_study_is_not_continued_in_another_space(toy: Any) -> None:
    toy.run("n_trials=1")
    before = toy.outcomes()
    for change, named in {
        "x=interval(-2, 1)": "x: -1.0..1.0, now -2.0..1.0",
        "n=choice(0, 1)": "n: 0..4, now 0, 1",
        "+y=interval(0, 1)": "+y: nothing, now 0.0..1.0",
    }.items():
        output = toy.run("n_trials=3", change, code=1).output
        assert "Expected the search space of study `toy` as it was begun" in output
        assert [line.strip() for line in output.splitlines() if ", now " in line] == [named]
        assert "hydra.sweep.dir=NEW_FOLDER" in output
        assert "Traceback" not in output
        assert toy.outcomes() == before
    toy.run("n_trials=2")
    assert toy.states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.slow
def test_wrong_input_ends_the_search_at_its_first_trial_and_does_not_count_once_it_is_put_right(toy: Any) -> None:
    output = toy.run("n_trials=2", "hydra.sweeper.baseline=true", "refuse_at=[0]", code=1).output
    assert output.rstrip().endswith("asked to refuse")
    assert "Traceback" not in output
    toy.run("n_trials=2", "hydra.sweeper.baseline=true")
    assert toy.states() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert toy.trials[0].user_attrs["cause"] == "InputError: asked to refuse"
    assert [trial.user_attrs.get("role") for trial in toy.trials] == ["baseline", "baseline", None]


@pytest.mark.slow
def test_wrong_input_after_a_trial_that_came_to_its_end_fails_its_trial_alone(toy: Any) -> None:
    toy.run("n_trials=3", "refuse_at=[1]")
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE"]
    toy.run("n_trials=3")
    assert len(toy.trials) == 3


@pytest.mark.slow
def test_fixed_overrides_stay_as_they_were_but_for_those_that_only_set_the_sweeper(toy: Any) -> None:
    strict = ("hydra.sweeper.may_change=null", "steps=3")
    toy.run("n_trials=1", *strict)
    output = toy.run("n_trials=2", *strict, "steps=2", "+note2=a", code=1).output
    assert "Expected the config of study `toy` as it was begun, got another" in output
    changes = [line.strip() for line in output.splitlines() if ", now " in line]
    assert changes == ["+note2: nothing, now a", "steps: 3, now 2"]
    assert toy.states() == ["COMPLETE"]
    toy.run("n_trials=2", *strict)
    assert toy.states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.slow
def test_a_value_of_the_config_that_all_trials_share_stays_as_it_was_unless_it_may_change(toy: Any) -> None:
    toy.run("n_trials=1")
    output = toy.run("n_trials=2", "steps=2", "shape=square", code=1).output
    changes = [line.strip() for line in output.splitlines() if ", now " in line]
    assert changes == ["shape.centre: 0.3, now -0.3", "steps: 3, now 2"]
    toy.run("n_trials=2", "seconds=0.01", "x=interval(-1.0, 1.0)")
    assert toy.states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "what", "named"),
    [
        ("hydra.sweeper.direction=maximize", "the objectives", "value: minimize, now maximize"),
        ("hydra.sweeper.metric=score", "the objectives", "score: nothing, now minimize"),
        ("limit=2", "the config", "limit: nothing, now 2"),
        ("hydra.sweeper.preflight=hooks.other_facts", "the data and the validation", "limit: nothing, now 2"),
    ],
)
def test_a_study_is_not_continued_with_other_objectives_or_facts(change: str, what: str, named: str, toy: Any) -> None:
    command = ("hydra.sweeper.preflight=hooks.facts", "hydra/sweeper/pruner=wilcoxon")
    output = toy.run("n_trials=1", *command).output
    assert "WilcoxonPruner can stop no trial: at the earliest it does so after 4 reports" in output
    assert "a whole trial makes 3" in output
    output = toy.run("n_trials=2", *command, change, code=1).output
    assert f"Expected {what} of study `toy` as it was begun" in output
    assert named in output
    assert "Traceback" not in output
    assert toy.states() == ["COMPLETE"]
