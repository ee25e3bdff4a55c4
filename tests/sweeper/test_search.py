"""The search with a toy application, compared with what the study's storage holds."""

import random
import re
import runpy
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from docclf.sweeper import current_trial
from docclf.sweeper.samplers import make_pruner, make_sampler

APP = Path(__file__).parent / "toy" / "app.py"
TOY = runpy.run_path(str(APP))
SPACE = {
    "x": FloatDistribution(-1, 1),
    "n": IntDistribution(0, 4),
    "colour": CategoricalDistribution(["blue", "green", "red"]),
}
Outcome = tuple[dict[str, Any], str, float | None, dict[int, float]]


def outcomes(study: optuna.Study) -> list[Outcome]:
    """Parameters, state, value and reports of every trial."""
    return [(t.params, t.state.name, t.value, t.intermediate_values) for t in study.trials]


def by_hand(
    n_trials: int,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner | None = None,
    space: dict[str, Any] | None = SPACE,
) -> list[Outcome]:
    """The toy's search in plain Optuna, without pruning where no pruner is named.

    Args:
        space: What is asked for at once; None to draw one parameter after the other.
    """
    study = optuna.create_study(study_name="toy", sampler=sampler, pruner=pruner or optuna.pruners.NopPruner())
    for _ in range(n_trials):
        trial = study.ask(space)
        if not space:
            trial.suggest_float("x", -1, 1)
            trial.suggest_int("n", 0, 4)
            trial.suggest_categorical("colour", ["blue", "green", "red"])
        value = TOY["distance"](trial.params["x"] - 0.3, trial.params["n"], trial.params["colour"])
        for step in range(3):
            trial.report(TOY["reported"](value, step), step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
    return outcomes(study)


# One search in which everything happens


@pytest.fixture(scope="module")
def eventful(new_toy: Any) -> Any:
    """Baseline, five bad ends, and then trials of which the pruner stops some."""
    toy = new_toy()
    toy.result = toy.run(
        "n_trials=14",
        "hydra.sweeper.baseline=true",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.pruner.n_startup_trials=2",
        "raise_at=[1]",
        "nan_at=[2]",
        "text_at=[3]",
        "pair_at=[4]",
        "prune_at=[5]",
    )
    return toy


def test_each_end_of_a_trial_is_recorded_as_what_it_is(eventful: Any) -> None:
    assert eventful.states()[:6] == ["COMPLETE", "FAIL", "FAIL", "FAIL", "FAIL", "PRUNED"]
    assert len(eventful.trials) == 14
    assert {"COMPLETE", "PRUNED"} == set(eventful.states()[6:])


def test_a_failed_trial_keeps_its_cause_and_no_other_has_one(eventful: Any) -> None:
    causes = {trial.number: trial.user_attrs["cause"] for trial in eventful.trials if "cause" in trial.user_attrs}
    assert causes == {
        1: "ArithmeticError: asked to fail, number 1",
        2: "The objective is not a number: nan",
        3: "Expected the task to return a number, got 'blue'",
        4: "Expected 1 objective values, got 2",
    }
    for cause in causes.values():
        assert f"failed: {cause}" in eventful.result.output
    assert "Traceback" not in eventful.result.output
    assert "in misbehave" in (eventful.folder / "1" / "app.log").read_text(), "the traceback is in the trial's folder"


def test_the_value_and_what_the_task_kept_are_on_the_trial(eventful: Any) -> None:
    complete = [trial for trial in eventful.trials if trial.state.name == "COMPLETE"]
    assert complete
    for trial in complete:
        expected = TOY["distance"](trial.params["x"] - 0.3, trial.params["n"], trial.params["colour"])
        assert trial.value == pytest.approx(expected, abs=1e-12)
        assert trial.user_attrs["colour"] == trial.params["colour"]
        assert trial.intermediate_values == {step: TOY["reported"](trial.value, step) for step in range(3)}


def test_a_trial_that_followed_the_pruner_has_stopped_early_and_without_an_error(eventful: Any) -> None:
    pruned = [t for t in eventful.trials if t.state.name == "PRUNED" and t.number != 5]
    assert pruned
    for trial in pruned:
        assert trial.user_attrs["pruned_at_step"] == trial.last_step
        text = (eventful.folder / str(trial.number) / "app.log").read_text()
        assert "Error" not in text
        assert f"trial {trial.number}/14  pruned at value" in eventful.result.output
    assert "Error" not in (eventful.folder / "5" / "app.log").read_text(), "TrialPruned was raised"


def test_the_baseline_is_trial_0_with_the_values_of_the_config(eventful: Any) -> None:
    assert eventful.trials[0].params == {"x": 0.5, "n": 1, "colour": "green"}
    assert [t.user_attrs.get("role") for t in eventful.trials] == ["baseline"] + 13 * [None]


def test_number_of_trial_folder_and_job_are_one(eventful: Any) -> None:
    folders = sorted(int(path.name) for path in eventful.folder.iterdir() if path.is_dir())
    assert folders == [trial.number for trial in eventful.trials] == list(range(14))
    for trial in eventful.trials:
        hydra = yaml.safe_load((eventful.folder / str(trial.number) / ".hydra" / "hydra.yaml").read_text())["hydra"]
        config = OmegaConf.load(eventful.folder / str(trial.number) / ".hydra" / "config.yaml")
        assert hydra["job"]["num"] == trial.number
        assert {key: config[key] for key in trial.params} == trial.params
        assert config.raise_at == [1]


def test_every_trial_has_a_line_at_its_start_and_one_at_its_end_with_the_best_so_far(eventful: Any) -> None:
    lines = re.findall(r"trial (\d+)/14  (\S+)", eventful.result.output)
    assert [int(number) for number, _ in lines] == [number for n in range(14) for number in (n, n)]
    best = re.findall(r"\(best ([0-9.]+), trial (\d+)\)", eventful.result.output)[-1]
    assert best == (f"{eventful.study.best_value:.3f}", str(eventful.study.best_trial.number))


# Totals


def test_n_trials_is_a_total_and_what_was_finished_is_left_alone(toy: Any) -> None:
    toy.run("n_trials=3")
    first, files = outcomes(toy.study), toy.files(0, 1, 2)

    assert "3 of 3 trials done" in toy.run("n_trials=3").output
    assert outcomes(toy.study) == first

    toy.run("n_trials=5", "hydra/sweeper/sampler=random")
    assert outcomes(toy.study)[:3] == first
    assert toy.states() == 5 * ["COMPLETE"]
    assert toy.files(0, 1, 2) == files
    xs = [trial.params["x"] for trial in toy.trials]
    assert len(set(xs)) == 5, "a continued study draws the random numbers of its first trials again"


def test_failed_and_pruned_trials_count_towards_the_total(toy: Any) -> None:
    toy.run("n_trials=3", "raise_at=[0]", "prune_at=[1]", "nan_at=[2]")
    assert toy.states() == ["FAIL", "PRUNED", "FAIL"]
    toy.run("n_trials=3")
    assert len(toy.trials) == 3


def test_trials_asked_for_together_keep_their_numbers(toy: Any) -> None:
    toy.run("n_trials=5", "hydra.sweeper.n_jobs=3", "raise_at=[1]")
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    for trial in toy.trials:
        config = OmegaConf.load(toy.folder / str(trial.number) / ".hydra" / "config.yaml")
        assert config.x == trial.params["x"]


def test_trials_in_several_processes_find_themselves(toy: Any) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs hydra-joblib-launcher")
    toy.run("n_trials=5", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2", "nan_at=[3]")
    assert toy.states() == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    for trial in toy.trials:
        assert trial.user_attrs["colour"] == trial.params["colour"]
        assert len(trial.intermediate_values) == 3


def test_a_search_out_of_time_stops_and_says_so_and_goes_on_later(toy: Any) -> None:
    output = toy.run("hydra.sweeper.timeout=2.5", "seconds=0.5", "n_trials=100").output
    done = len(toy.trials)
    assert 1 <= done < 10
    assert set(toy.states()) == {"COMPLETE"}
    assert "Stopped by" in output
    assert "timeout=2.5 seconds" in output
    toy.run(f"n_trials={done + 1}")
    assert len(toy.trials) == done + 1


# Samplers and pruners

SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "nsgaiii": optuna.samplers.NSGAIIISampler,
    "gp": optuna.samplers.GPSampler,
    "qmc": optuna.samplers.QMCSampler,
}
# Sooner at work than by default, so that few trials show it
SAMPLER_OPTIONS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 4},
    "gp": {"n_startup_trials": 4},
    "nsgaii": {"population_size": 2},
    "nsgaiii": {"population_size": 2},
}
PRUNERS = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": partial(optuna.pruners.PercentilePruner, percentile=25),
    "successive_halving": partial(optuna.pruners.SuccessiveHalvingPruner, min_resource=1, reduction_factor=3),
    "hyperband": optuna.pruners.HyperbandPruner,
    "patient": partial(optuna.pruners.PatientPruner, None, patience=3),
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}
PRUNER_OPTIONS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 2},
    "percentile": {"n_startup_trials": 2},
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_draws_what_it_draws_with_the_defaults_of_optuna(name: str, compose_config: Any) -> None:
    options = SAMPLER_OPTIONS.get(name, {})
    sweeper = compose_config(
        f"hydra/sweeper/sampler={name}",
        *(f"hydra.sweeper.sampler.{key}={value}" for key, value in options.items()),
        config="config",
        folder=APP.parent / "conf",
        hydra=True,
    ).hydra.sweeper
    ours, plain = make_sampler(sweeper.sampler, SPACE, 0), SAMPLERS[name](seed=1, **options)
    assert type(ours) is type(plain)
    assert by_hand(8, ours) == by_hand(8, plain)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_stops_the_trials_that_it_stops_in_plain_optuna(name: str, compose_config: Any) -> None:
    options = PRUNER_OPTIONS.get(name, {})
    sweeper = compose_config(
        f"hydra/sweeper/pruner={name}",
        *(f"hydra.sweeper.pruner.{key}={value}" for key, value in options.items()),
        config="config",
        folder=APP.parent / "conf",
        hydra=True,
    ).hydra.sweeper
    ours, plain = make_pruner(sweeper.pruner), PRUNERS[name](**options)
    assert type(ours) is type(plain)
    outcome = by_hand(12, optuna.samplers.RandomSampler(seed=1), ours)
    assert outcome == by_hand(12, optuna.samplers.RandomSampler(seed=1), plain)
    can_stop = name not in ("none", "patient", "wilcoxon")  # these need more than the toy's three steps
    assert any(state == "PRUNED" for _, state, *_ in outcome) is can_stop


@pytest.mark.parametrize("multivariate", [True, False])
def test_an_option_of_tpe_that_is_given_is_kept(multivariate: bool, compose_config: Any) -> None:
    given = f"hydra.sweeper.sampler.multivariate={multivariate}"
    sweeper = compose_config(given, config="config", folder=APP.parent / "conf", hydra=True).hydra.sweeper
    plain = optuna.samplers.TPESampler(seed=1, multivariate=multivariate)
    assert by_hand(14, make_sampler(sweeper.sampler, SPACE, 0)) == by_hand(14, plain)


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("tpe", "successive_halving"),
        pytest.param("random", "hyperband", marks=pytest.mark.slow),
        pytest.param("gp", "percentile", marks=pytest.mark.slow),
        pytest.param("nsgaii", "none", marks=pytest.mark.slow),
        pytest.param("nsgaiii", "patient", marks=pytest.mark.slow),
        pytest.param("qmc", "wilcoxon", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_search_is_that_of_plain_optuna(sampler: str, pruner: str, toy: Any) -> None:
    toy.run(f"hydra/sweeper/sampler={sampler}", f"hydra/sweeper/pruner={pruner}", "n_trials=14")
    assert outcomes(toy.study) == by_hand(14, SAMPLERS[sampler](seed=1), PRUNERS[pruner]())


def test_a_grid_tries_every_point_once_also_when_it_is_continued(toy: Any) -> None:
    grid = ("hydra/sweeper/sampler=grid", "x=choice(0.1, 0.2)", "n=range(1, 3)", "colour=blue")
    toy.run(*grid, "n_trials=2")
    toy.run(*grid, "n_trials=20")
    points = [(trial.params["x"], trial.params["n"]) for trial in toy.trials]
    assert sorted(points) == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]
    assert set(toy.states()) == {"COMPLETE"}


def test_a_grid_with_a_baseline_tries_that_besides(toy: Any) -> None:
    toy.run("hydra/sweeper/sampler=grid", "x=choice(0.5, 0.2)", "n=1", "colour=green", "hydra.sweeper.baseline=true")
    assert [trial.params["x"] for trial in toy.trials][:1] == [0.5]
    assert sorted(trial.params["x"] for trial in toy.trials) == [0.2, 0.5, 0.5]


def test_a_grid_over_an_interval_is_refused(toy: Any) -> None:
    output = toy.run("hydra/sweeper/sampler=grid", code=1).output
    assert "finite set of values of `x` for a grid" in output
    assert "Traceback" not in output


def test_a_sampler_that_needs_a_package_runs_or_names_the_package_before_the_first_trial(toy: Any) -> None:
    run = toy.run("hydra/sweeper/sampler=cmaes", "n_trials=3", "colour=blue", code=None)
    if run.code:
        assert "pip install cmaes" in run.output
        assert "Traceback" not in run.output
        assert not (toy.folder / "0").exists()
    else:
        assert toy.states() == 3 * ["COMPLETE"]


def test_the_stock_sweeper_keeps_its_own_defaults(toy: Any) -> None:
    storage = f"sqlite:///{toy.cwd}/stock.db"
    toy.run(
        "hydra/sweeper=optuna",
        "hydra.sweeper.study_name=stock",
        f"hydra.sweeper.storage='{storage}'",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.sampler.n_startup_trials=4",
        "n_trials=7",
    )
    study = optuna.load_study(study_name="stock", storage=storage)
    sampler = partial(optuna.samplers.TPESampler, seed=1, n_startup_trials=4)
    stock = by_hand(7, sampler(multivariate=False, constant_liar=False), space=None)
    assert [trial.params for trial in study.trials] == [params for params, *_ in stock]
    assert stock != by_hand(7, sampler(), space=None), "the two defaults draw alike"
    assert all(not trial.intermediate_values for trial in study.trials), "no trial of ours behind another sweeper"


def test_several_objectives_are_recorded_in_their_order(toy: Any) -> None:
    toy.run("two_objectives=true", "hydra.sweeper.direction=[minimize, maximize]", "n_trials=3")
    assert toy.study.directions == [optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE]
    for trial in toy.trials:
        assert trial.values[1] == abs(trial.params["x"])


# Refusals


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("x=interval(1, 0)", "low=1.0, high=0.0", marks=pytest.mark.slow),
        ("n=choice(3, 4)", "Expected the default of `n` within its search range 3, 4, got 1"),
        ("+hydra.sweeper.params.z='interval(0,1)'", "got `z`, which it does not have"),
        pytest.param("+hydra.sweeper.params.z=1", "Could not override 'z'", marks=pytest.mark.slow),
        ("n_trials=0", "Expected at least 1 trial, got n_trials=0"),
        ("hydra/sweeper/sampler=bayes", "Could not find 'hydra/sweeper/sampler/bayes'"),
        pytest.param("hydra/sweeper/pruner=mean", "Could not find 'hydra/sweeper/pruner/mean'", marks=pytest.mark.slow),
        ("hydra.sweeper.sampler.sede=1", "Key 'sede' not in 'SamplerConfig'"),
        ("colour.x=choice(1, 2)", "got `colour.x`"),
        pytest.param("shape=hexagon", "Could not find 'shape/hexagon'", marks=pytest.mark.slow),
        pytest.param("zz=1", "Could not override 'zz'", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_trial(override: str, message: str, toy: Any) -> None:
    output = toy.run("hydra.sweeper.baseline=true", override, code=1).output
    assert message in output
    assert "Traceback" not in output
    assert not (toy.folder / "0").exists()


def test_a_study_is_not_continued_in_another_space(toy: Any) -> None:
    toy.run("n_trials=1")
    before = outcomes(toy.study)
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
        assert outcomes(toy.study) == before
    toy.run("n_trials=2")
    assert toy.states() == ["COMPLETE", "COMPLETE"]


def test_wrong_input_ends_the_search_at_its_first_trial_and_does_not_count_once_it_is_put_right(toy: Any) -> None:
    output = toy.run("n_trials=2", "hydra.sweeper.baseline=true", "refuse_at=[0]", code=1).output
    assert output.rstrip().endswith("asked to refuse")
    assert "Traceback" not in output
    toy.run("n_trials=2", "hydra.sweeper.baseline=true")
    assert toy.states() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert toy.trials[0].user_attrs["cause"] == "InputError: asked to refuse"
    assert [trial.user_attrs.get("role") for trial in toy.trials] == ["baseline", "baseline", None]


def test_wrong_input_after_a_trial_that_came_to_its_end_fails_its_trial_alone(toy: Any) -> None:
    toy.run("n_trials=3", "refuse_at=[1]")
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE"]
    toy.run("n_trials=3")
    assert len(toy.trials) == 3


# Interruptions


@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_search_prints_the_command_that_finishes_it(signal: str, code: int, toy: Any) -> None:
    output = toy.run("n_trials=4", "signal_at=[1, 1]", f"signal={signal}", code=code).output
    assert "Traceback" not in output
    assert toy.states() == ["COMPLETE", "FAIL"], "no trial is left running"
    files, first = toy.files(0, 1), outcomes(toy.study)[:2]

    command = output.partition("Go on with:\n")[2].splitlines()[0].strip()
    toy.paste(command)
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert (toy.files(0, 1), outcomes(toy.study)[:2]) == (files, first)
    assert toy.trials[2].params == toy.trials[1].params


@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_whose_exception_is_dropped_ends_the_search_after_the_trial(signal: str, code: int, toy: Any) -> None:
    output = toy.run("n_trials=4", "signal_at=[1, 1]", f"signal={signal}", "in_finaliser=true", code=code).output
    assert "Exception ignored in" in output
    assert toy.states() == ["COMPLETE", "COMPLETE"]
    assert "Go on with:\n" in output


def test_a_killed_trial_is_marked_and_tried_again_and_the_total_is_exact(toy: Any) -> None:
    command = ("n_trials=4", "hydra.sweeper.baseline=true", "hydra/sweeper/pruner=median")
    toy.run(*command, "signal_at=[0, 1]", code=-9)
    assert toy.states() == ["RUNNING"]
    files = toy.files(0)

    toy.run(*command)
    assert toy.states() == ["FAIL"] + 4 * ["COMPLETE"]
    dead, again = toy.trials[:2]
    assert dead.user_attrs["interrupted"] is True
    assert dead.user_attrs["cause"].startswith("interrupted")
    assert again.params == dead.params == {"x": 0.5, "n": 1, "colour": "green"}
    assert (again.user_attrs["role"], again.user_attrs["retry_of"]) == ("baseline", 0)
    assert toy.files(0) == files


def test_parameters_that_kill_twice_are_given_up_but_for_the_baseline(toy: Any) -> None:
    toy.run("n_trials=3", "signal_at=[1, 0]", code=-9)
    toy.run("n_trials=3", "signal_at=[2, 0]", code=-9)
    toy.run("n_trials=3")
    assert toy.states() == ["COMPLETE", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    killer = toy.trials[1].params
    assert toy.trials[2].params == killer
    assert killer not in [trial.params for trial in toy.trials[3:]]


@pytest.mark.parametrize("state", ["popped", "marked"])
def test_a_trial_that_died_between_two_writes_loses_nothing(state: str, toy: Any) -> None:
    toy.run("n_trials=1")
    params = {"x": 0.25, "n": 2, "colour": "blue"}
    study = toy.study
    if state == "popped":  # taken from the queue, no parameter written yet
        study.enqueue_trial(params, user_attrs={"role": "baseline"})
        study.ask()
    else:  # failed as interrupted, not queued again yet
        trial = study.ask(SPACE)
        params = trial.params
        trial.set_user_attr("interrupted", True)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    toy.run("n_trials=3")
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert toy.trials[2].params == params
    assert toy.trials[2].user_attrs["retry_of"] == 1


# Of searches that are killed: never done before they are, with a baseline
ENDLESS = ("n_trials=1000", "seconds=0.05", "hydra.sweeper.baseline=true")


def kill_at_random(toy: Any, rng: random.Random, latest: float) -> None:
    process = toy.start(*ENDLESS)
    time.sleep(rng.uniform(0.3, latest))
    process.kill()
    process.communicate()
    assert process.returncode == -9


def finish(toy: Any) -> None:
    """Go on for three more trials: then there is exactly the total, none left open or run twice, no folder shared."""
    total = 3
    if (toy.folder / "study.db").exists():
        trials = toy.trials if optuna.get_all_study_names(toy.storage) else []
        total += sum(trial.state.is_finished() and not trial.user_attrs.get("interrupted") for trial in trials)
    toy.run(*ENDLESS, f"n_trials={total}")
    finished = [trial for trial in toy.trials if not trial.user_attrs.get("interrupted")]
    assert len(finished) == total
    assert {trial.state.name for trial in finished} == {"COMPLETE"}
    assert {trial.state.name for trial in toy.trials} <= {"COMPLETE", "FAIL"}
    for trial in finished:
        text = (toy.folder / str(trial.number) / "app.log").read_text()
        assert re.findall("begin x=(.*)", text) == [str(trial.params["x"])]
    baselines = [trial.params for trial in finished if trial.user_attrs.get("role") == "baseline"]
    assert baselines == [{"x": 0.5, "n": 1, "colour": "green"}]


def test_a_search_killed_at_random_moments_ends_with_its_total_and_loses_no_trial(toy: Any) -> None:
    rng = random.Random(7)
    kept: dict[int, Outcome] = {}
    files: dict[Path, tuple[int, bytes]] = {}
    for latest in (1.0, 3.0, 2.0, 3.0, 3.0):
        kill_at_random(toy, rng, latest)
        if (toy.folder / "study.db").exists() and optuna.get_all_study_names(toy.storage):
            now = dict(enumerate(outcomes(toy.study)))
            assert kept.items() <= now.items()
            assert files.items() <= toy.files(*now).items()
            kept = {number: outcome for number, outcome in now.items() if outcome[1] == "COMPLETE"}
            files = toy.files(*kept)
    finish(toy)
    assert kept.items() <= dict(enumerate(outcomes(toy.study))).items()
    assert files.items() <= toy.files(*range(len(toy.trials))).items()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_fresh_searches_killed_at_random_moments_end_with_their_total(seed: int, toy: Any) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        kill_at_random(toy, rng, 2.5)
    finish(toy)


# The job's side


def test_outside_a_search_the_trial_is_a_stand_in() -> None:
    trial = current_trial()
    trial.report(0.5, step=0)
    trial.report(0.5, step=0)
    trial.set_user_attr("key", [1])
    assert trial.should_prune() is False
    assert trial.number is None
    assert trial.params == {}


def test_a_single_run_and_another_sweeper_get_the_stand_in_too(toy: Any) -> None:
    command = [sys.executable, "-W", "error", str(APP)]
    for arguments in ([], ["-m", "--config-name", "plain", "x=0.1,0.2"]):
        done = subprocess.run([*command, *arguments], cwd=toy.cwd, capture_output=True, text=True, check=True)
        assert done.stdout.count("begin x=") == (2 if arguments else 1)
        assert done.stderr == ""
    assert not list(toy.cwd.rglob("study.db"))
