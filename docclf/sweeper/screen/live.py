"""The live display of a search, where its screen is a terminal."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from docclf.sweeper.optuna_private import storage_of, study_id_of
from docclf.sweeper.screen.plan import Plan
from docclf.sweeper.screen.terminal import Terminal, is_terminal
from docclf.sweeper.study.attributes import OWNER, PROGRESS
from docclf.sweeper.study.process import host_of
from docclf.sweeper.study.tally import Tally, seconds_run

if TYPE_CHECKING:
    from docclf.sweeper.screen.frame import Running, ScreenState

log = logging.getLogger(__name__)

# Seconds between two looks at the study: so many times what a look takes of a core, which a job here may need.
_LOOKS = 200
_SHORTEST_S, _LONGEST_S = 1.0, 5.0
# Part of that after which something new is shown.
_HURRY = 0.2


class Live:
    """While entered, and where standard output is a terminal, shows what a study holds, looked at about once a second.

    All of it comes from the storage, so trials of other processes and machines are there too.

    Args:
        deadline: When the search's time is over, by `steady_now`; infinite for never.
        noun: What a trial is called.
        labels: What the objectives are called.
        describe: Says of a trial what it tries.
        helpers: Number of a trial to how many workers help it.
    """

    def __init__(
        self,
        study: optuna.Study,
        plan: Plan,
        deadline: float,
        noun: str,
        labels: Sequence[str],
        describe: Callable[[FrozenTrial], str],
        helpers: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.study, self.plan, self.noun, self.labels = study, plan, noun, labels
        self.deadline, self.describe, self.helpers = deadline, describe, helpers
        self.tally = Tally(study.directions)
        self._is_ascending = study.directions[0] == StudyDirection.MAXIMIZE
        # Without the patience that a database gets otherwise: the search itself waits for it, and says so.
        self._storage = getattr(storage_of(study), "inner", storage_of(study))
        self._started = time.time()
        self._is_due, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._stack = ExitStack()

    def __enter__(self) -> None:
        if is_terminal(sys.stdout):
            self._screen = self._stack.enter_context(Terminal(sys.stdout))
            self._stack.callback(self._stop)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def look(self) -> None:
        """Show soon what has changed just now."""
        self._is_due.set()

    def _stop(self) -> None:
        self._is_over = True
        self._is_due.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        import docclf.sweeper.screen.frame  # noqa: F401  # not counted as a look

        while True:
            self._is_due.clear()
            if self._is_over:
                return
            started = time.thread_time()
            try:
                self._look()
            except Exception as error:  # the storage may be away for a while
                log.debug(f"Nothing drawn this time: {type(error).__name__}: {error}")
            pause = min(max(_LOOKS * (time.thread_time() - started), _SHORTEST_S), _LONGEST_S)
            if not self._is_over:
                time.sleep(_HURRY * pause)
            self._is_due.wait((1 - _HURRY) * pause)

    def _look(self) -> None:
        from docclf.sweeper.screen.frame import compose, render

        self.tally.update(self._storage.get_all_trials(study_id_of(self.study), deepcopy=False))
        size = self._screen.size
        lines = compose(self.view(), size.columns, size.lines)
        self._screen.draw(render(lines, self._screen.encoding))

    def view(self) -> ScreenState:
        """What is to be seen of the tally."""
        from docclf.sweeper.screen.frame import ScreenState

        tally, now = self.tally, time.time()
        bests = [trial for trial in tally.best if trial is not None]
        return ScreenState(
            name=self.study.study_name,
            total=self.plan.total,
            complete=tally.complete,
            pruned=tally.pruned,
            failed=tally.failed,
            running=[self._running(trial, now) for trial in tally.running],
            best=[
                (label, trial.values[i], f"{self.noun} {trial.number}")
                for i, (label, trial) in enumerate(zip(self.labels, bests, strict=False))
            ],
            params=self.describe(bests[0]) if len(bests) == 1 else "",
            scores=[(state.name, value) for state, value in tally.scores],
            is_ascending=self._is_ascending,
            seconds=now - self._started,
            left=tally.seconds_left(self.plan, self.deadline),
            n_finalists=self.plan.n_finalists,
        )

    def _running(self, trial: FrozenTrial, now: float) -> Running:
        from docclf.sweeper.screen.frame import Running

        host = host_of(str(trial.user_attrs.get(OWNER, "")))
        at = str(trial.user_attrs.get(PROGRESS, "begins" if not trial.intermediate_values else "runs"))
        if n_helpers := self.helpers.get(trial.number):
            at += f" +{n_helpers} worker" + "s" * (n_helpers > 1)
        return Running(
            label=f"{self.noun} {trial.number}",
            at=at if host in ("", socket.gethostname()) else f"{at}, on {host}",
            value=trial.intermediate_values[trial.last_step] if trial.last_step is not None else None,
            seconds=seconds_run(trial, now),
            params=self.describe(trial),
        )
