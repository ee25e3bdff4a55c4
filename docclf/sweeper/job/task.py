"""What is around the task of a search: whatever it raises or returns, the search gets something that it can record."""

from __future__ import annotations

import functools
import pickle
from typing import Any

from hydra.types import TaskFunction
from omegaconf import DictConfig

from docclf.errors import error_text, safe_text
from docclf.sweeper.study.process import this_process


class TaskEndedError(Exception):
    """A task raised what is no `Exception`, such as SystemExit; its message says which."""

    @classmethod
    def by(cls, error: BaseException) -> TaskEndedError:
        """Of what it raised."""
        return cls(f"the task ended with {error_text(error)}")


class ContainedTask:
    """A task of which every launcher can send what it raises and returns to the search.

    Elsewhere than in the process of the search, launchers wait for ever, or much too long, for what is no `Exception`,
    and fail with what cannot be pickled. In that process a signal may be behind KeyboardInterrupt and SystemExit.
    """

    def __init__(self, task: TaskFunction) -> None:
        self.task, self.owner = task, this_process()
        functools.update_wrapper(self, task)

    def __call__(self, config: DictConfig) -> Any:
        is_elsewhere = this_process() != self.owner
        try:
            result = self.task(config)
        except Exception:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit) and not is_elsewhere:
                raise
            raise TaskEndedError.by(error) from error
        return _sendable(result) if is_elsewhere else result


def _sendable(result: Any) -> Any:
    """What a task returned; if it cannot be pickled, a text in its place, which is no number."""
    from cloudpickle import dumps

    try:
        pickle.loads(dumps(result))  # of this process
    except Exception:
        return safe_text(result, repr)
    return result
