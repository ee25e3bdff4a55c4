"""What the sweeper costs a trial, in short and in long studies.

    python benchmarks/sweeper_scale.py [trials before ...]        about 4 min on 2 cores

Beside it runs the same ask, compose, run and tell by hand: plain Optuna, TPE and median pruner, SQLite with the same
pragmas, Hydra's own launcher, the same config. Both start from the same study of so many trials. A trial does nothing
but report its value and ask for pruning. Prints the median time from one trial's start to the next one's, over 3 runs
of 20 trials each in turn.
"""

import itertools
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import hydra
import optuna
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig

from docclf.sweeper import current_trial
from docclf.sweeper.storage.places import open_storage

SIZES = (10, 100, 500, 2000)
RUNS, TRIALS = 3, 20
SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "lr": optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True),
    "batch_size": optuna.distributions.CategoricalDistribution([16, 32, 64, 128]),
    "weight_decay": optuna.distributions.FloatDistribution(0.0, 0.1),
    "drop_rate": optuna.distributions.FloatDistribution(0.0, 0.3),
}
PARAMS = {
    "lr": "tag(log, interval(1e-5, 1e-2))",
    "batch_size": "choice(16, 32, 64, 128)",
    "weight_decay": "interval(0.0, 0.1)",
    "drop_rate": "interval(0.0, 0.3)",
}
by_hand: list[optuna.Trial] = []


class HandSweeper(Sweeper):
    """What one would write."""

    def __init__(self, **settings: Any) -> None:
        self.url = settings["storage"]

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        study = optuna.load_study(
            study_name="scale",
            storage=open_storage(self.url),
            sampler=optuna.samplers.TPESampler(seed=1),
            pruner=optuna.pruners.MedianPruner(),
        )
        for _ in range(TRIALS):
            trial = study.ask(SPACE)
            by_hand[:] = [trial]
            overrides = [f"{key}={value}" for key, value in trial.params.items()]
            assert self.launcher is not None
            (job,) = self.launcher.launch([overrides], initial_job_idx=trial.number)
            pruned = job.return_value is None
            study.tell(
                trial, None if pruned else job.return_value, state=optuna.trial.TrialState.PRUNED if pruned else None
            )


Plugins.instance().register(HandSweeper)
ConfigStore.instance().store(name="scale", node={"lr": 1e-3, "batch_size": 32, "weight_decay": 0.0, "drop_rate": 0.0})


@hydra.main(
    config_path=None, config_name="scale", execution_whitelist=("__main__.*", "docclf.*", "optuna.*", "logging.*")
)
def task(cfg: DictConfig) -> float | None:
    trial: Any = by_hand[0] if by_hand else current_trial()
    value = value_of(cfg)
    trial.report(value, 0)
    return None if trial.should_prune() else value


def value_of(params: Any) -> float:
    return float((params["lr"] - 1e-3) ** 2 + params["weight_decay"] + params["drop_rate"] / params["batch_size"])


def prefill(path: Path, n_trials: int) -> None:
    """A study of so many random trials."""
    study = optuna.create_study(study_name="scale", storage=f"sqlite:///{path}")
    draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = []
    for _ in range(n_trials):
        params = draws.ask(SPACE).params
        value = value_of(params)
        trials.append(
            optuna.create_trial(params=params, distributions=SPACE, value=value, intermediate_values={0: value})
        )
    study.add_trials(trials)


def measure(side: str, filled: Path, n_before: int) -> list[float]:
    """Milliseconds from each trial's start to the next one's."""
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    shutil.copy(filled, folder / "study.db")
    url = f"sqlite:///{folder / 'study.db'}"
    ours = [
        "hydra/sweeper=docclf",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.study_name=scale",
        "hydra.sweeper.sampler.seed=1",
        f"hydra.sweeper.n_trials={n_before + TRIALS}",
        *(f"{key}={sweep}" for key, sweep in PARAMS.items()),
    ]
    hand = ["hydra.sweeper._target_=__main__.HandSweeper", f"hydra.sweeper.storage='{url}'"]
    command = [sys.executable, __file__, "-m", f"hydra.sweep.dir={folder}", *ours, *(hand if side == "hand" else [])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SCALE_TASK": "1"})
    trials = optuna.load_study(study_name="scale", storage=url).trials[n_before:]
    starts = [trial.datetime_start.timestamp() for trial in trials if trial.datetime_start]
    shutil.rmtree(folder)
    return [1000 * (b - a) for a, b in itertools.pairwise(starts)]


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("trials before  by hand  docclf  ratio", flush=True)
    for n_before in map(int, sys.argv[1:] or SIZES):
        filled = Path(tempfile.mkdtemp(prefix="scale-")) / "study.db"
        prefill(filled, n_before)
        times: dict[str, list[float]] = {"hand": [], "docclf": []}
        for _ in range(RUNS):
            for side, found in times.items():
                found += measure(side, filled, n_before)
        hand, ours = (statistics.median(found) for found in times.values())
        print(f"{n_before:13}  {hand:4.0f} ms  {ours:3.0f} ms  {ours / hand:5.2f}", flush=True)


if __name__ == "__main__":
    if "SCALE_TASK" in os.environ:
        logging.getLogger("optuna").setLevel(logging.WARNING)
        task()
    else:
        main()
