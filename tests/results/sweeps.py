"""A finished search with made-up trials, as its export finds it."""

from collections.abc import Callable
from pathlib import Path

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

Compose = Callable[..., DictConfig]

# Score, learning rate and batch size.
TRIALS = [(0.5, 1e-3, 32), (0.6, 3e-3, 16), (0.9, 4.5678901234567e-3, 64), (0.7, 1e-5, 128)]
BEST = 2


class Sweep:
    """A finished search: its folder, its study in SQLite, the config of its best trial as Hydra leaves it."""

    def __init__(self, cwd: Path, compose: Compose, *overrides: str, values: bool = True) -> None:
        self.overrides = ["hparams_search=optuna", "study_name='서류 1'", *overrides]
        self.config = compose(*self.overrides, hydra=True)
        OmegaConf.set_readonly(self.config, False)
        OmegaConf.update(self.config, "hydra.runtime.cwd", str(cwd), force_add=True)
        self.folder = cwd / "multirun" / "서류 1"
        self.folder.mkdir(parents=True)
        (self.folder / "multirun.yaml").touch()
        self.study = optuna.create_study(
            storage=f"sqlite:///{self.folder / 'study.db'}", study_name="서류 1", direction="maximize"
        )
        for number, (value, lr, batch_size) in enumerate(TRIALS):
            params = {"optimizer.lr": lr, "data.batch_size": batch_size}
            self.study.enqueue_trial(params, user_attrs={"role": "baseline"} if number == 0 else None)
            trial = self.study.ask(
                {
                    "optimizer.lr": optuna.distributions.FloatDistribution(1e-6, 1e-1, log=True),
                    "data.batch_size": optuna.distributions.CategoricalDistribution([16, 32, 64, 128]),
                }
            )
            trial.set_user_attr("folds", [value - 0.1, value + 0.1])
            if number == BEST:
                self.trial_config = compose(*self.overrides, *(f"{key}={value}" for key, value in params.items()))
                (self.folder / str(number) / ".hydra").mkdir(parents=True)
                OmegaConf.save(self.trial_config, self.folder / str(number) / ".hydra" / "config.yaml")
            self.study.tell(trial, value if values else None, state=None if values else TrialState.FAIL)
