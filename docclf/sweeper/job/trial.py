"""The Optuna trial of a Hydra job, as its task sees it."""

from __future__ import annotations

import copy
import logging
import math
import time
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docclf.errors import error_text
from docclf.sweeper.optuna_private import id_of, note_report, storage_of, with_storage
from docclf.sweeper.screen.progress_writer import ProgressWriter
from docclf.sweeper.study.attributes import (
    ATTEMPT,
    BUDGET,
    DEADLINE,
    DUPLICATE_OF,
    FINALIST,
    INTERRUPTED,
    PRUNED_AT,
    RUNG,
    read_record,
)

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

# Of a job that runs in a worker process of its search: whether it helps a job that runs in another one.
HELPS: ContextVar[bool | None] = ContextVar("helps", default=None)


class JobTrial:
    """The trial of a job: what a task reports to and asks.

    Outside a search there is no study behind it; then reports go nowhere and nothing is ever stopped.

    Args:
        trial: The trial in its study.
        retries: Numbers of the interrupted trials that had its parameters before, the latest first.
        folder: The search's folder, where files that are kept with the study go; None to keep none.
        may_be_helped: Whether the search lets free workers help.
    """

    def __init__(
        self,
        trial: optuna.Trial | None = None,
        retries: tuple[int, ...] = (),
        folder: Path | None = None,
        *,
        may_be_helped: bool = False,
    ) -> None:
        attributes = trial.user_attrs if trial is not None else {}
        self._trial = trial
        self._progress = None if trial is None else ProgressWriter(trial.storage, id_of(trial))
        self.folder = folder
        self._reported: set[int] = set()
        self._last_step: int | None = None
        # From here on by a clock that nobody sets.
        self._deadline = attributes.get(DEADLINE, math.inf) - time.time() + time.monotonic()
        self.retry_of = retries
        self.is_finalist = FINALIST in attributes
        """Whether it re-evaluates a trial of the search."""
        self.attempt: int = attributes.get(ATTEMPT, 0)
        """How often this job was launched before."""
        self.is_helper = HELPS.get() is True
        """Whether another job has this trial, and this one may do what that has not come to. It must not report."""
        self.may_be_helped = HELPS.get() is False and may_be_helped
        """Whether other jobs of this machine may come to help, see `hydra.sweeper.helpers`."""

    @property
    def number(self) -> int | None:
        """The trial's number in its study; None outside a search."""
        return None if self._trial is None else self._trial.number

    @property
    def params(self) -> dict[str, Any]:
        """Config key to the value that this trial tries; empty outside a search."""
        if self._trial is None:
            return {}
        from docclf.sweeper.study.record import plain_params

        return plain_params(self._trial)

    def began(self, key: str) -> dict[str, Any]:
        """What its search began with: `facts` of the preflight, the `config` of all trials; empty where it has none."""
        return {} if self._trial is None else read_record(self._trial.study.user_attrs.get(key)) or {}

    @property
    def paused(self) -> dict[int, float]:
        """Number of each trial of the search that has paused, or does now, to its last report, better if larger."""
        if self._trial is None:
            return {}
        sign = 1 if self._trial.study.direction.name == "MAXIMIZE" else -1
        trials = self._trial.study.get_trials(deepcopy=False)
        return {
            t.number: sign * t.intermediate_values[t.last_step]
            for t in trials
            if BUDGET in t.user_attrs and PRUNED_AT in t.user_attrs and t.last_step is not None
            if DUPLICATE_OF not in t.user_attrs  # it has kept nothing
        }

    @property
    def source(self) -> int | None:
        """Number of the trial in the search: that of a finalist is another one than its own; None outside a search."""
        if self._trial is None or not self.is_finalist:
            return self.number
        from docclf.sweeper.study.finalists import source_number

        return source_number(self._trial)

    def best_value(self, value: float | None) -> float | None:
        """Best value of the finished trials that keep to the constraints, and of this one; None if there is none.

        Args:
            value: Of this one, which the study does not know yet; None without one.
        """
        if self._trial is None:
            return None
        from docclf.sweeper.study.trials import best_trial, loss

        direction = self._trial.study.directions[0]
        best = best_trial(self._trial.study.get_trials(deepcopy=False), direction)
        values = [value, best.values[0] if best is not None else None]
        known = [v for v in values if v is not None and not math.isnan(v)]
        return min(known, key=lambda v: loss(v, direction), default=None)

    def would_be_best(self, value: float) -> bool:
        """Whether it goes before all finished trials: of equal ones the first does.

        False with several objectives and outside a search.

        Args:
            value: Of this one, which the study does not know yet.
        """
        if self._trial is None or len(self._trial.study.directions) > 1:
            return False
        from docclf.sweeper.study.trials import best_trial, loss

        study = self._trial.study
        best = best_trial(study.get_trials(deepcopy=False), study.direction)
        mine = (loss(value, study.direction), self._trial.number)
        return best is None or mine < (loss(best.values[0], study.direction), best.number)

    def report(self, value: float, step: int) -> None:
        """Report an intermediate value of the objective; with several objectives, which cannot be pruned by, nothing.

        Args:
            value: Objective so far.
            step: Global step, each reported once.

        Raises:
            ValueError: The step was reported before, which Optuna would drop.
        """
        if self._trial is None or len(self._trial.study.directions) > 1:
            return
        if step in self._reported:
            raise ValueError(
                f"Expected a step that was not reported yet, got {step} again. "
                "Number the steps through, as in fold * epochs + epoch."
            )
        self._reported.add(step)
        self._last_step = step
        # Not Trial.report, which in a second attempt would drop what the first one reported.
        self._trial.storage.set_trial_intermediate_value(id_of(self._trial), step, float(value))
        note_report(self._trial, step, float(value))

    def should_prune(self) -> bool:
        """Whether the trial should stop now. A task that follows the advice returns None, which is not an error."""
        if self._trial is None or len(self._trial.study.directions) > 1 or not self._is_behind():
            return False
        self._trial.set_user_attr(PRUNED_AT, self._last_step)
        return True

    def should_pause(self) -> bool:
        """Whether the trial has made the reports that it may make for now, see `hydra.sweeper.ladder`.

        A task that follows keeps what it has done and returns None. If the trial is to go on, another one has its
        parameters, and its number in `retry_of`.
        """
        if self._trial is None or self._last_step is None:
            return False
        if self._last_step + 1 < self._trial.user_attrs.get(BUDGET, math.inf):
            return False
        self._trial.set_user_attr(PRUNED_AT, self._last_step)
        return True

    def _is_behind(self) -> bool:
        """What the pruner says, which sees the trials that may be compared, of a search that climbs those of the rung.

        Finalists are compared with each other whatever their rung: they report scores of the same kind.
        """
        assert self._trial is not None
        if self.is_finalist:
            return self._trial.should_prune()
        from docclf.sweeper.strategy.views import ComparableView

        trial = copy.copy(self._trial)
        shown = ComparableView(storage_of(trial.study), trial.user_attrs.get(RUNG))
        trial.study = with_storage(trial.study, shown)
        return trial.should_prune()

    def out_of_time(self) -> bool:
        """Whether the search's time is over. A task that stops then returns None; the search can be continued."""
        if self._trial is None or time.monotonic() < self._deadline:
            return False
        self._trial.set_user_attr(INTERRUPTED, "timeout")
        return True

    def is_wanted(self) -> bool:
        """Whether a helper shall go on: the trial still runs, and there is time."""
        if self._trial is None or time.monotonic() >= self._deadline:
            return False
        return not self._trial.storage.get_trial(id_of(self._trial)).state.is_finished()

    def tell_progress(self, text: str) -> None:
        """Say what the trial is at, for who watches the search: "fold 2/3, epoch 1/3, 4.2 steps/s".

        It may be called often and costs next to nothing: a text every few seconds is kept, the others are dropped.
        """
        if self._progress is not None:
            self._progress.tell(text)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a JSON-serialisable fact about the trial in the study."""
        if self._trial is not None:
            self._trial.set_user_attr(key, value)

    def attach(self, path: Path) -> None:
        """Keep a copy of a file with the trial, as an artifact of Optuna; optuna-dashboard shows it.

        Where that fails, a warning says so and nothing else happens.
        """
        if self._trial is None or self.folder is None:
            return
        from optuna.artifacts import FileSystemArtifactStore, upload_artifact

        from docclf.sweeper.storage.places import ARTIFACTS

        try:
            artifacts = self.folder / ARTIFACTS
            artifacts.mkdir(parents=True, exist_ok=True)
            store = FileSystemArtifactStore(artifacts)
            upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=self._trial)
        except Exception as error:  # of the disk or of the storage: a picture is not worth a trial
            log.warning(f"Could not attach {path.name} to the trial: {error_text(error)}")
