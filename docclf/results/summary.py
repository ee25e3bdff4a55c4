"""What a search came to, in a few lines on the screen."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState


def summary(study: optuna.Study, folder: Path, metric: str, continue_command: str) -> str:
    """The best parameters, the gain over the baseline, and the commands for what one does next.

    Args:
        study: With one objective or several.
        folder: The search's folder.
        metric: Name of the objective.
        continue_command: Searches on from here.
    """
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name for trial in trials)
    lines = ["", ", ".join(f"{n} {state.lower()}" for state, n in sorted(counts.items())) + f", all in {folder}"]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        causes = Counter(trial.user_attrs.get("cause", "stopped early") for trial in trials)
        return "\n".join([*lines, "No trial came to its end:", *(f"  {n} x {cause}" for cause, n in causes.items())])
    if len(study.directions) > 1:
        return "\n".join([*lines, f"{len(study.best_trials)} trials on the Pareto front, see trials.csv"])
    best = study.best_trial
    lines += [f"best {metric} {_score(best)}, trial {best.number}", *_params(best.params), *_gain(trials, best, metric)]
    where = shlex.quote(str(folder / "best"))
    train = f"python -m docclf.train --config-dir {where} --config-name config"
    return "\n".join(
        [
            *lines,
            "What next:",
            "  # train the winner on all pages, score it on the test pages",
            f"  {train} refit=all",
            "  # score it on more folds and epochs",
            f"  {train} validation=full",
            "  # search on from here",
            f"  {continue_command}",
        ]
    )


def _score(trial: FrozenTrial) -> str:
    folds = trial.user_attrs.get("folds")
    return f"{trial.value:.3f}" + (f" (folds {', '.join(f'{score:.3f}' for score in folds)})" if folds else "")


def _params(params: Mapping[str, Any]) -> list[str]:
    return [f"  {key}: {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in params.items()]


def _gain(trials: list[FrozenTrial], best: FrozenTrial, metric: str) -> list[str]:
    baseline = next((t for t in trials if t.user_attrs.get("role") == "baseline" and t.value is not None), None)
    if baseline is None or best.value is None or baseline.value is None:
        return []
    if best.number == baseline.number:
        return [f"The baseline, trial {baseline.number}, is the best: no trial beats the config as it was."]
    gain = f"{best.value - baseline.value:+.3f} {metric} over the baseline"
    return [f"{gain}, trial {baseline.number}: {_score(baseline)}"]
