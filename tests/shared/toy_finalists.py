"""Searches of the toy with finalists, and what these came to."""

from typing import Any

import optuna

AGAIN = (
    "n_trials=6",
    "hydra.sweeper.baseline=true",
    "hydra.sweeper.finalists.top_k=2",
    "hydra.sweeper.finalists.overrides={steps: 2}",
)


def finalists(toy: Any) -> list[Any]:
    study = optuna.load_study(study_name="toy-finalists", storage=toy.storage)
    return study.get_trials(deepcopy=False)
