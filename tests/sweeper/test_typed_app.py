"""An application whose config is typed, by classes of its own script."""

from pathlib import Path

import optuna
import pytest
from forked import python
from slowly import slowly

APP = str(Path(__file__).parent / "toy" / "typed.py")
SEARCH = (
    *("kind=choice(SLOW, FAST)", "size=choice(SMALL, LARGE)", "path=choice('a b', c)"),
    *("hydra.sweeper.baseline=true", "hydra.sweeper.n_trials=9", "hydra.sweep.dir=multirun/typed"),
)


@pytest.mark.parametrize("n_jobs", [2, *slowly(1)])
def test_members_of_enumerations_and_paths_are_searched_from_their_defaults_on(n_jobs: int, tmp_path: Path) -> None:
    code, output = python(
        APP, "-m", *SEARCH, "hydra/sweeper/sampler=grid", f"hydra.sweeper.n_jobs={n_jobs}", cwd=tmp_path
    )
    assert code == 0, output
    study = optuna.load_study(study_name="typed", storage=f"sqlite:///{tmp_path}/multirun/typed/study.db")
    assert study.trials[0].params == {"kind": "SLOW", "size": "SMALL", "path": "a b"}
    assert {trial.value for trial in study.trials} == {2.5, 3.5, 4.5}
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 8


def test_a_condition_holds_by_the_name_of_the_default(tmp_path: Path) -> None:
    conditional = "hydra.sweeper.conditional=[{when: {size: SMALL}, params: {x: 'interval(0, 0.25)'}}]"
    code, output = python(APP, "-m", *SEARCH[:1], conditional, *SEARCH[-1:], "hydra.sweeper.n_trials=2", cwd=tmp_path)
    assert code == 0, output
    study = optuna.load_study(study_name="typed", storage=f"sqlite:///{tmp_path}/multirun/typed/study.db")
    assert all(trial.params["x"] <= 0.25 for trial in study.trials)
