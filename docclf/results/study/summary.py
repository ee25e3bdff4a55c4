"""What a search came to, in a few lines on the screen."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from docclf.results.facts import TUNE, macro_f1_of
from docclf.results.floors import Floor, floors_of, floors_text, remedies, search_warning
from docclf.results.quality.shift import is_unlike, read_shift, shift_lines
from docclf.results.study.verdict import Verdict
from docclf.safety.permission import allow_options
from docclf.sweeper.run.limits import seconds_spent
from docclf.sweeper.screen.progress import format_score
from docclf.sweeper.space.duration import read_timeout
from docclf.sweeper.space.grammar import typed
from docclf.sweeper.study.attributes import CAUSE, INTERRUPTED
from docclf.sweeper.study.record import plain_params
from docclf.sweeper.study.trials import baseline_of, best_trial, best_trials, counted, folder_number, front_of

# Part of a time budget after which nothing more was begun.
_SPENT = 0.9


def larger_limits(study: optuna.Study, config: DictConfig) -> list[str]:
    """Overrides that double what a search has come to the end of: its trials, its time budget, or none of both.

    Args:
        config: Its composed config, `hydra` included.
    """
    n_trials, timeout = (OmegaConf.select(config, f"hydra.sweeper.{key}") for key in ("n_trials", "timeout"))
    timeout = read_timeout(timeout)
    found = []
    if n_trials and len(counted(study.get_trials(deepcopy=False))) >= n_trials:
        found.append(f"search.n_trials={2 * n_trials}")
    if timeout and seconds_spent(study) > _SPENT * timeout:
        doubled = 2 * timeout
        found.append(f"search.timeout={doubled:g}" if doubled % 60 else f"search.timeout={doubled / 60:g}m")
    return found


def summary(
    study: optuna.Study, folder: Path, objectives: Sequence[str], command: str | None, verdict: Verdict | None
) -> str:
    """The best parameters, the gain over the baseline, and the commands for what one does next.

    Args:
        study: With one objective or several.
        command: That searches on; None where it is not known.
        verdict: On the finalists; None where none was re-evaluated.
    """
    trials = study.get_trials(deepcopy=False)
    best = best_trial(trials, study.directions[0])
    warning, floors = warning_of(study, folder, verdict)
    counts = Counter("interrupted" if t.user_attrs.get(INTERRUPTED) else t.state.name.lower() for t in trials)
    lines = [
        "",
        *([warning] if warning else []),
        ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) + f", all in {folder}",
    ]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        causes = Counter(trial.user_attrs.get(CAUSE, "pruned") for trial in trials if trial.state.is_finished())
        return "\n".join([*lines, "No trial finished:", *(f"  {n} x {cause}" for cause, n in causes.items())])
    if best is None:
        return "\n".join([*lines, "No trial keeps to the constraints; see trials.csv for the nearest."])
    report = [f"report: {folder / 'report.html'}"] if (folder / "report.html").is_file() else []
    if len(objectives) > 1:
        front = _front(study, objectives)
        return "\n".join([*lines, *front, *report, *_what_next(next_steps(folder, len(objectives), command))])
    chosen = best if verdict is None else trials[verdict.number]
    if warning:
        lines.insert(2, f"{remedies(floors, chosen.user_attrs.get(TUNE))}.")
    lines.append(f"best {objectives[0]} {_score(best)}, trial {best.number}")
    if verdict is None:
        lines += [*_floors(floors), *_gain(trials, best, objectives[0])]
    else:
        lines += _finals(verdict)
    params = plain_params(chosen).items()
    lines += [f"  {key}: {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in params]
    if (found := read_shift(folder)) and is_unlike(found):
        lines += shift_lines(found)
    lines += report
    return "\n".join([*lines, *_what_next(next_steps(folder, len(objectives), command, verdict))])


def warning_of(study: optuna.Study, folder: Path | None, verdict: Verdict | None) -> tuple[str, Mapping[str, Floor]]:
    """What is to be told first of a search below a floor, empty of any other, and the floors of its best trial.

    Args:
        study: With several objectives there is neither.
        folder: The search's folder; None without one.
        verdict: On the finalists; None where none was re-evaluated.
    """
    if verdict is not None:
        return verdict.warning, verdict.floors
    best = best_trial(study.get_trials(deepcopy=False), study.directions[0]) if len(study.directions) == 1 else None
    if best is None:
        return "", {}
    floors = floors_of(best, folder / str(folder_number(best)) if folder else None)
    return search_warning(best.number, macro_f1_of(best), floors, is_replaced=False), floors


def next_steps(folder: Path, n_objectives: int, command: str | None, verdict: Verdict | None = None) -> dict[str, str]:
    """What one does after a search, each with its command.

    Args:
        folder: The search's folder, the winner exported.
        command: That searches on; None where it is not known.
        verdict: On the finalists; None where none was re-evaluated.
    """
    is_ensemble = verdict is not None and verdict.is_ensemble
    who = verdict.who if verdict is not None and verdict.reference is not None else "the winner"
    whose = "the ensemble" if is_ensemble else f"the folds of {who}"
    where = shlex.quote(str(folder / "best"))
    train = f"python -m docclf.train --config-dir {{}} --config-name config{allow_options()}"
    if n_objectives > 1:
        return {"train the trial that you choose": f"{train.format(f'{where}/NUMBER')} refit=all"}
    steps = {
        f"train {who}; scored on test pages that have labels": train.format(where),
        "the same as one model of all training pages": f"{train.format(where)} refit=all",
        **({"search on from here": command} if command is not None else {}),
    }
    if is_ensemble:
        distill = f"{train.format(where)} refit=distill {typed('teacher', str(folder))} model.tune=last"
        steps = {**steps, "one net that learns from the ensemble; says what that costs in score": distill}
    if (folder / "best" / "model").is_dir():
        predict = f"python -m docclf.predict {typed('run', str(folder))} data.root=DIR{allow_options()}"
        steps = {f"predict other pages with {whose}": predict, **steps}
    return steps


def _what_next(steps: Mapping[str, str]) -> list[str]:
    return ["What next:", *(line for what, command in steps.items() for line in (f"  # {what}", f"  {command}"))]


def _finals(verdict: Verdict) -> list[str]:
    """What scoring the finalists again came to, and in a line of its own what that means."""
    winner, baseline = verdict.winner, verdict.baseline
    lines = [verdict.how, *_floors(verdict.floors), f"  trial {verdict.number}: {_score(winner, pooled=True)}"]
    if verdict.reference is not None:
        lines.append(f"  {verdict.who}, exported in its place: {_score(verdict.reference, pooled=True)}")
    if baseline is not None and baseline.number != winner.number:
        lines.append(f"  baseline: {_score(baseline, pooled=True)}")
    if verdict.expected:
        lines.append(f"  {verdict.expected}")
    texts = [str(verdict), *([str(verdict.ensemble["text"])] if verdict.ensemble else [])]
    return [*lines, *(f"{text[0].upper()}{text[1:]}" for text in texts)]


def _floors(floors: Mapping[str, Floor]) -> list[str]:
    return [f"  floors (same folds): {floors_text(floors)}"] if floors else []


def _front(study: optuna.Study, objectives: Sequence[str]) -> list[str]:
    """The trials that no other one beats in every objective, the best by the first one first."""
    trials = best_trials(front_of(study), study.directions[0])
    lines = [f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'} on the Pareto front, by {objectives[0]}:"]
    for trial in trials:
        values = ", ".join(f"{name} {value:.4g}" for name, value in zip(objectives, trial.values, strict=True))
        lines.append(f"  trial {trial.number}: {values}")
    return lines


def _score(trial: FrozenTrial, *, pooled: bool = False) -> str:
    folds = trial.user_attrs.get("folds")
    together = trial.user_attrs.get("macro_f1_pooled") if pooled else None  # which a difference is taken of
    more = "" if together is None else f"; pooled {together:.3f}"
    shown = "" if trial.value is None else format_score(trial.value)
    return shown + (f" (folds {', '.join(map(format_score, folds))}{more})" if folds else "")


def _gain(trials: list[FrozenTrial], best: FrozenTrial, metric: str) -> list[str]:
    baseline = baseline_of(trials)
    if baseline is None or best.value is None or baseline.value is None:
        return []
    if best.number == baseline.number:
        return [f"The baseline, trial {baseline.number}, is the best: no trial beats the config as it was."]
    gain = f"{format_score(best.value - baseline.value, '+', baseline.value)} {metric} over the baseline"
    return [f"{gain}, trial {baseline.number}: {_score(baseline)}"]
