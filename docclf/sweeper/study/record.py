"""optimization_results.yaml, the file that Hydra's stock sweeper leaves."""

from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from docclf.files import replacing
from docclf.sweeper.space.grammar import decode
from docclf.sweeper.space.parameters import key_of
from docclf.sweeper.study.trials import best_trial, front_of


def write_results(study: optuna.Study, folder: Path) -> None:
    """Write best parameters and value, or those of every trial on the Pareto front; nothing before one is complete."""
    results: dict[str, Any] = {"name": "optuna"}
    if len(study.directions) > 1:
        results["solutions"] = [{"params": plain_params(t), "values": list(t.values)} for t in front_of(study)]
    else:
        best = best_trial(study.get_trials(deepcopy=False), study.directions[0])
        if best is None:
            return
        results |= {"best_params": plain_params(best), "best_value": best.value}
    with replacing(folder / "optimization_results.yaml") as partial:  # several processes may end at the same moment
        OmegaConf.save(OmegaConf.create(results), partial)


def plain_params(trial: optuna.Trial | FrozenTrial) -> dict[str, Any]:
    """Config key to value, as the config has it."""
    return {key_of(name): decode(value) for name, value in trial.params.items()}
