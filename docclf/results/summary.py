"""What a search came to, in a few lines on the screen."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from docclf.results.verdict import Verdict
from docclf.sweeper.attributes import CAUSE, ROLE
from docclf.sweeper.record import plain_params
from docclf.sweeper.study import best_trial


def summary(
    study: optuna.Study, folder: Path, objectives: Sequence[str], continue_command: str, verdict: Verdict | None = None
) -> str:
    """The best parameters, the gain over the baseline, and the commands for what one does next.

    Args:
        study: With one objective or several.
        folder: The search's folder.
        objectives: Their names.
        continue_command: Searches on from here.
        verdict: On the finalists; None where none was scored again.
    """
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name for trial in trials)
    lines = ["", ", ".join(f"{n} {state.lower()}" for state, n in sorted(counts.items())) + f", all in {folder}"]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = best_trial(trials, study.directions[0])
    if not complete:
        causes = Counter(trial.user_attrs.get(CAUSE, "stopped early") for trial in trials)
        return "\n".join([*lines, "No trial came to its end:", *(f"  {n} x {cause}" for cause, n in causes.items())])
    if best is None:
        return "\n".join([*lines, "No trial keeps to the constraints; see trials.csv for the nearest."])
    if len(objectives) > 1:
        steps = next_steps(folder, len(objectives), continue_command)
        return "\n".join([*lines, *_front(study.best_trials, objectives), *_what_next(steps)])
    lines.append(f"best {objectives[0]} {_score(best)}, trial {best.number}")
    chosen = best if verdict is None else trials[verdict.number]
    lines += _gain(trials, best, objectives[0]) if verdict is None else _finals(verdict)
    lines += _params(plain_params(chosen))
    if (folder / "report.html").is_file():
        lines.append(f"report: {folder / 'report.html'}")
    return "\n".join([*lines, *_what_next(next_steps(folder, len(objectives), continue_command))])


def next_steps(folder: Path, n_objectives: int, continue_command: str) -> dict[str, str]:
    """What one does after a search, each with its command.

    Args:
        folder: The search's folder, the winner exported.
        n_objectives: Of its study.
        continue_command: Searches on from here.
    """
    where = shlex.quote(str(folder / "best"))
    train = "python -m docclf.train --config-dir {} --config-name config"
    if n_objectives > 1:
        return {"train the trial that you choose": f"{train.format(f'{where}/NUMBER')} refit=all"}
    steps = {
        "train the winner; scored on test pages that have labels": train.format(where),
        "the same as one model of all training pages": f"{train.format(where)} refit=all",
        "search on from here": continue_command,
    }
    if (folder / "best" / "model").is_dir():
        predict = f"python -m docclf.predict run={shlex.quote(str(folder))} data.root=DIR"
        steps = {"predict other pages with the winner's folds": predict, **steps}
    return steps


def _what_next(steps: Mapping[str, str]) -> list[str]:
    return ["What next:", *(line for what, command in steps.items() for line in (f"  # {what}", f"  {command}"))]


def _finals(verdict: Verdict) -> list[str]:
    """What scoring the finalists again came to, and in a line of its own what that means."""
    winner, baseline = verdict.winner, verdict.baseline
    lines = [verdict.how, f"  trial {verdict.number}: {_score(winner, pooled=True)}"]
    if baseline is not None and baseline.number != winner.number:
        lines.append(f"  baseline: {_score(baseline, pooled=True)}")
    text = str(verdict)
    return [*lines, f"{text[0].upper()}{text[1:]}"]


def _front(trials: Sequence[FrozenTrial], objectives: Sequence[str]) -> list[str]:
    """The trials that no other one beats in every objective."""
    lines = [f"{len(trials)} trials on the Pareto front, by {objectives[0]}:"]
    for trial in sorted(trials, key=lambda t: t.values[0], reverse=True):
        values = ", ".join(f"{name} {value:.4g}" for name, value in zip(objectives, trial.values, strict=True))
        lines.append(f"  trial {trial.number}: {values}")
    return lines


def _score(trial: FrozenTrial, *, pooled: bool = False) -> str:
    folds = trial.user_attrs.get("folds")
    together = trial.user_attrs.get("macro_f1_pooled") if pooled else None  # which a difference is taken of
    more = "" if together is None else f"; pooled {together:.3f}"
    return f"{trial.value:.3f}" + (f" (folds {', '.join(f'{score:.3f}' for score in folds)}{more})" if folds else "")


def _params(params: Mapping[str, Any]) -> list[str]:
    return [f"  {key}: {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in params.items()]


def _gain(trials: list[FrozenTrial], best: FrozenTrial, metric: str) -> list[str]:
    baseline = next((t for t in trials if t.user_attrs.get(ROLE) == "baseline" and t.value is not None), None)
    if baseline is None or best.value is None or baseline.value is None:
        return []
    if best.number == baseline.number:
        return [f"The baseline, trial {baseline.number}, is the best: no trial beats the config as it was."]
    gain = f"{best.value - baseline.value:+.3f} {metric} over the baseline"
    return [f"{gain}, trial {baseline.number}: {_score(baseline)}"]
