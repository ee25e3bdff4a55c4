"""What a report is about: a study, its folder, and what is known of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.results.floors import Floor
from docclf.results.report.figures.figure import cut
from docclf.results.study.judging import judge_finalists
from docclf.results.study.summary import warning_of
from docclf.results.study.verdict import Verdict
from docclf.sweeper.study.attributes import CURRENT, FINALIST, INTERRUPTED, NOT_COMPARABLE, read_record
from docclf.sweeper.study.finalists import load_finalists
from docclf.sweeper.study.trials import baseline_of, best_trial, folder_number

# State of a trial to what the report calls it.
WORDS = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Subject:
    """A study as it was when it was read."""

    study: optuna.Study  # finished, running, or of another program
    folder: Path | None  # absolute; None without one
    objectives: Sequence[str]  # what each objective is called
    trials: Sequence[FrozenTrial]  # all, by number
    # trials of the finalists' study that are scored in the way that counts; empty without one
    finalists: Sequence[FrozenTrial]
    all_finalists: Sequence[FrozenTrial]  # those of before, and those that were interrupted, too
    verdict: Verdict | None  # on the finalists; None where none came to its end
    now: datetime  # when it was read

    @property
    def directions(self) -> list[StudyDirection]:
        """Of the objectives."""
        return self.study.directions

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        """The trials that came to their end."""
        return [trial for trial in self.trials if trial.state == TrialState.COMPLETE]

    @cached_property
    def comparable(self) -> list[FrozenTrial]:
        """The trials whose scores can be compared: all but some of a merged study."""
        return [trial for trial in self.trials if NOT_COMPARABLE not in trial.user_attrs]

    @cached_property
    def baseline(self) -> FrozenTrial | None:
        """The config as it was without the search, see `docclf.sweeper.study.trials.baseline_of`."""
        return baseline_of(self.trials)

    @cached_property
    def chosen(self) -> FrozenTrial | None:
        """The winner, or the best by the first objective; None where no trial came to its end."""
        if self.verdict is not None:
            return self.trials[self.verdict.number]
        return best_trial(self.trials, self.directions[0])

    @cached_property
    def warning(self) -> str:
        """What is to be told first where the best trial is below a floor; empty where it is not."""
        return self._floors[0]

    @property
    def floors(self) -> Mapping[str, Floor]:
        """On the folds of the winner, or else of the best trial."""
        return self._floors[1]

    @cached_property
    def _floors(self) -> tuple[str, Mapping[str, Floor]]:
        return warning_of(self.study, self.folder, self.verdict)

    @property
    def epochs(self) -> int | None:
        """Steps a fold that trials report; None where that is not known."""
        config = read_record(self.study.user_attrs.get("config")) or {}  # of a search of docclf
        text = str(config.get("validation.epochs", ""))
        return int(text) if text.isdecimal() and int(text) > 0 else None

    def count(self, state: TrialState) -> int:
        """How many trials are in a state, without those that were interrupted."""
        return sum(trial.state == state and not trial.user_attrs.get(INTERRUPTED) for trial in self.trials)

    def folder_of(self, trial: FrozenTrial) -> Path | None:
        """Folder with what came of a trial, if it is there."""
        folder = self.folder / str(folder_number(trial)) if self.folder else None
        return folder if folder is not None and folder.is_dir() else None


def read_subject(study: optuna.Study, folder: Path | None = None, objectives: Sequence[str] | None = None) -> Subject:
    """Read a study.

    Args:
        objectives: What each is called; None for what the study says.
    """
    trials = study.get_trials(deepcopy=False)
    if objectives is None or len(objectives) != len(study.directions):
        known = list(read_record(study.user_attrs.get("objective")) or ()) or study.metric_names or []
        n = len(study.directions)
        objectives = known if len(known) == n else ["value"] if n == 1 else [f"value {i + 1}" for i in range(n)]
    is_single = len(study.directions) == 1
    # What counts now: all before the first rescoring has ended, else those that are named, and those that run.
    study_of_finalists = load_finalists(study) if is_single else None
    every = study_of_finalists.get_trials(deepcopy=False) if study_of_finalists is not None else []
    finalists = [trial for trial in every if FINALIST in trial.user_attrs]
    current = study_of_finalists.user_attrs.get(CURRENT) if study_of_finalists is not None else None
    return Subject(
        study=study,
        folder=folder.absolute() if folder else None,
        objectives=[cut(str(name), 60) for name in objectives],
        trials=trials,
        finalists=[
            trial
            for trial in finalists
            if not trial.user_attrs.get(INTERRUPTED)
            and (current is None or trial.user_attrs[FINALIST] in current or not trial.state.is_finished())
        ],
        all_finalists=finalists,
        verdict=judge_finalists(study, folder) if is_single and folder else None,
        now=datetime.now(),
    )


def last_value(trial: FrozenTrial, objective: int = 0) -> float | None:
    """Value of a complete trial, last reported one of another; None without a finite one.

    Args:
        objective: Which one; of several, none is reported while a trial runs.
    """
    if trial.state == TrialState.COMPLETE:
        value = trial.values[objective]
    elif trial.intermediate_values and objective == 0:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    else:
        return None
    return value if math.isfinite(value) else None
