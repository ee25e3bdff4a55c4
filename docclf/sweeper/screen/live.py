"""The live display of a search, where its screen is a terminal."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from docclf.sweeper.optuna_private import storage_of, study_id_of
from docclf.sweeper.screen.terminal import Terminal
from docclf.sweeper.study.tally import Tally

if TYPE_CHECKING:
    from docclf.sweeper.run.search import Search

log = logging.getLogger(__name__)

# Seconds between two looks at the study: so many times what a look takes of a core, which a job here may need.
_LOOKS = 200
_SHORTEST_S, _LONGEST_S = 1.0, 5.0
# Part of that after which something new is shown.
_HURRY = 0.2


class Live:
    """While entered, shows what a study holds on a terminal, looked at about once a second.

    All of it comes from the storage, so trials of other processes and machines are there too.

    Args:
        search: What is shown.
        screen: None where standard output is no terminal, and nothing is shown.
    """

    def __init__(self, search: Search, screen: Terminal | None) -> None:
        self.study, self.plan, self.noun, self._screen = search.study, search.plan, search.noun, screen
        self.labels, self.describe = search.context.labels, search.describe
        self.deadline, self.helpers = search.limits.deadline, search.helpers.running
        self.tally = Tally(self.study.directions)
        # Without the patience that a database gets otherwise: the search itself waits for it, and says so.
        self._storage = getattr(storage_of(self.study), "inner", storage_of(self.study))
        self.started = time.time()
        self._is_due, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._stack = ExitStack()

    def __enter__(self) -> None:
        if self._screen is not None:
            self._stack.enter_context(self._screen)
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

        assert self._screen is not None, "else it is not entered"
        self.tally.update(self._storage.get_all_trials(study_id_of(self.study), deepcopy=False))
        size = self._screen.size
        lines = compose(self, size.columns, size.lines)
        self._screen.draw(render(lines))
