"""A Hydra application with a known best configuration: no page, no torch, a second a search.

python tests/sweeper/toy/app.py -m n_trials=5
"""

import math
import os
import signal
import time

import hydra
from omegaconf import DictConfig

from docclf.sweeper import current_trial


@hydra.main(config_path="conf", config_name="config", execution_whitelist=("docclf.*", "optuna.*", "logging.*"))
def main(cfg: DictConfig):
    """The distance from `x = 0.3, n = 2, colour = blue`, reported in steps that come down to it."""
    trial = current_trial()
    value = (cfg.x - cfg.shape.centre) ** 2 + 0.1 * (cfg.n - 2) ** 2 + {"blue": 0.0, "green": 0.5, "red": 1.0}[cfg.colour]
    for step in range(cfg.steps):
        trial.report(value + 0.1 * (cfg.steps - 1 - step), step)
        if trial.should_prune():
            return None
        if [trial.number, step] == cfg.signal_at:
            os.kill(os.getpid(), getattr(signal, cfg.signal))
        time.sleep(cfg.seconds / cfg.steps)
    if trial.number in cfg.prune_at:
        from optuna import TrialPruned

        raise TrialPruned
    if trial.number in cfg.raise_at:
        raise ArithmeticError(f"asked to fail at x={cfg.x}")
    if trial.number in cfg.text_at:
        return "blue"
    if trial.number in cfg.none_at:
        return None
    if cfg.two_objectives:
        return value, abs(cfg.x)
    return math.nan if trial.number in cfg.nan_at else value


if __name__ == "__main__":
    main()
