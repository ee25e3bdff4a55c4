"""What Hydra's stock sweeper does for its users, `hydra/sweeper=docclf` does in its place.

Both run with the same sampler, its options and its seed, and one job at a time.
"""

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import OmegaConf

from docclf.sweeper.space.grammar import decode

RANDOM = ("hydra/sweeper/sampler=random",)
TPE = (
    "hydra/sweeper/sampler=tpe",
    "hydra.sweeper.sampler.multivariate=false",
    "hydra.sweeper.sampler.constant_liar=false",
    "hydra.sweeper.sampler.n_startup_trials=3",
)
TWO = ("two_objectives=true", "hydra.sweeper.direction=[minimize, maximize]")


def jobs(folder: Path) -> dict[int, Any]:
    """Number of each job to the config that its task got."""
    found = {}
    for path in folder.iterdir():
        if path.name.isdigit():
            found[int(path.name)] = OmegaConf.to_container(OmegaConf.load(path / ".hydra" / "config.yaml"))
    return found


def results(folder: Path) -> Any:
    """The results file, whose solutions have no order; lists and mappings, there as text, are read."""
    found = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    if "solutions" in found:
        found["solutions"].sort(key=str)
    else:
        found["best_params"] = {key: decode(value) for key, value in found["best_params"].items()}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(
            [
                *TPE,
                "x=interval(-0.5, 1)",
                "n=int(interval(0, 4))",
                "+a=tag(log, interval(1e-5, 1e-2))",
                "+b=tag(log, int(interval(1, 100)))",
                "+c=range(0, 10, 5)",
                "+d=range(0.0, 0.3, 0.1)",
                "+e=choice(true, false)",
                "+f=16, 32",
                "+g=choice([8, 16], [32])",
                "+h=choice({a: 1}, {a: 2})",
                "shape=choice(round, square)",
                "note=fixed",
                "sizes=[1,2]",
                "~limit",
                "n_trials=6",
            ],
            id="every kind of sweep",
        ),
        pytest.param([*RANDOM, "n_trials=3"], id="the space of the config file", marks=pytest.mark.slow),
        pytest.param([*RANDOM, "x=0.25", "colour=choice(red)", "n_trials=3"], id="fixed", marks=pytest.mark.slow),
        pytest.param([*RANDOM, *TWO, "n_trials=6"], id="several objectives", marks=pytest.mark.slow),
        pytest.param(
            [*RANDOM, "hydra.sweeper.custom_search_space=hooks.draw_radius", "n_trials=6"],
            id="custom search space",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["hydra/sweeper/sampler=nsgaii", "hydra.sweeper.sampler.population_size=3", *TWO, "n_trials=7"],
            id="nsgaii",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [*RANDOM, "hydra.sweeper.params.x='range(0,1,0.25)'", "+hydra.sweeper.params.radius='1,2'", "n_trials=3"],
            id="space on the command line",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_search_is_that_of_the_stock_sweeper(overrides: list[str], toy: Any) -> None:
    one_job = "hydra.sweeper.n_jobs=1"
    toy.run("hydra/sweeper=optuna", *overrides, one_job, "hydra.sweep.dir=multirun/stock")
    # Nothing is told instead of run there.
    toy.run(*overrides, one_job, "hydra.sweeper.skip_duplicates=false")
    stock = toy.cwd / "multirun" / "stock"
    assert jobs(toy.folder) == jobs(stock)
    assert len(jobs(stock)) == len(toy.trials) > 2
    assert results(toy.folder) == results(stock)


@pytest.mark.slow
def test_a_grid_has_the_points_of_the_stock_sweeper(toy: Any) -> None:
    grid = ("hydra/sweeper/sampler=grid", "x=range(0.1, 0.4, 0.1)", "n=range(1, 3)", "colour=choice(blue, red)")
    toy.run("hydra/sweeper=optuna", *grid, "hydra.sweeper.n_jobs=1", "n_trials=99", "hydra.sweep.dir=multirun/stock")
    toy.run(*grid, "n_trials=99")
    stock, ours = jobs(toy.cwd / "multirun" / "stock"), jobs(toy.folder)
    key = str
    assert sorted(stock.values(), key=key) == sorted(ours.values(), key=key)
    assert len(ours) == 3 * 2 * 2
    assert results(toy.folder)["best_value"] == results(toy.cwd / "multirun" / "stock")["best_value"]


@pytest.mark.slow
def test_where_the_stock_sweeper_begins_anew_ours_goes_on(toy: Any) -> None:
    storage = f"sqlite:///{toy.cwd}/stock.db"
    stock = ("hydra/sweeper=optuna", "hydra.sweeper.study_name=s", f"hydra.sweeper.storage='{storage}'")
    for _ in range(2):
        toy.run(*stock, "n_trials=2", "hydra.sweeper.n_jobs=1", "hydra.sweep.dir=multirun/stock")
    study = optuna.load_study(study_name="s", storage=storage)
    assert len(study.trials) == 4, "n_trials is what each run adds"
    assert sorted(jobs(toy.cwd / "multirun" / "stock")) == [0, 1], "the second run overwrote the first one's folders"
    for _ in range(2):
        toy.run("n_trials=2")
    assert toy.folders() == [t.number for t in toy.trials] == [0, 1]


@pytest.mark.slow
def test_where_the_stock_sweeper_ends_at_the_first_failure_ours_goes_on_and_says_why_all_failed(toy: Any) -> None:
    failing = ("n_trials=3", "colour=choice(pink, rose)", *RANDOM)
    output = toy.run(
        "hydra/sweeper=optuna", *failing, "hydra.sweeper.n_jobs=1", "hydra.sweep.dir=multirun/stock", code=1
    ).output
    assert "KeyError" in output
    assert sorted(jobs(toy.cwd / "multirun" / "stock")) == [0]
    output = toy.run(*failing, code=1).output
    assert toy.states() == 3 * ["FAIL"]
    assert toy.folders() == [0, 1, 2]
    assert "All 3 trials failed:" in output
    assert "Traceback" not in output
