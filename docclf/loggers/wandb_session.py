"""A run of Weights & Biases from its beginning to its end, with the process that W&B keeps for it."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb

from docclf.safety.untrusted import change_each

log = logging.getLogger(__name__)

# Seconds to wait for the server when a run begins, and for what is still to be uploaded when it ends.
_BEGIN_S, _END_S = 30.0, 30.0


class WandbSession:
    """One run, offline where there is no API key or no way to the server.

    W&B starts a process beside that of Python, and keeps it for the next run. Here it ends with its run: then all of
    the run is on the disk, nothing of it can reach the next one, and a worker that is killed later loses nothing.

    Args:
        folder: Its files go into `wandb` there.
        config: As plain mappings and lists. The API key is taken out of it.
        **options: Further arguments of `wandb.init`.

    Raises:
        OSError: The folder cannot be written. W&B would take a temporary one.
        wandb.Error: W&B does not start.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], **options: Any) -> None:
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        if not os.access(folder / "wandb", os.W_OK):
            raise PermissionError(f"Expected a folder that can be written, got {folder / 'wandb'}.")
        self._is_owner = "WANDB_SERVICE" not in os.environ  # otherwise its process is another program's
        # Its process adds a hook to both each time, which would print a traceback once a trial.
        self._hooks = sys.exit, sys.excepthook
        if secret := os.environ.get("WANDB_API_KEY"):
            config = change_each(dict(config), lambda v: v.replace(secret, "***") if isinstance(v, str) else v)
        try:
            self.run = _begin(dir=str(folder), config=dict(config), **options)
        except BaseException:
            self._close()
            raise

    def finish(self, exit_code: int) -> None:
        """End the run.

        Args:
            exit_code: What W&B tells its state by: 0 finished, 255 interrupted, anything else failed.
        """
        try:
            self.run.finish(exit_code=exit_code)
        except TimeoutError:
            os.environ["WANDB_MODE"] = "offline"
            command = f"wandb sync --no-skip-online {shlex.quote(str(Path(self.run.dir).parent))}"
            log.warning(f"W&B did not take all of the run in {_END_S:.0f} s. The rest is here: {command}")
        finally:
            self._close()

    def _close(self) -> None:
        if not self._is_owner:
            return
        root = logging.getLogger()
        # What captures the log, where its process died and it therefore was not removed.
        for handler in [handler for handler in root.handlers if type(handler).__module__.startswith("wandb.")]:
            root.removeHandler(handler)
        try:
            wandb.teardown(exit_code=0)
        except SystemExit as error:  # it ends Python where its process ended with an error
            log.warning(f"The process of W&B ended with {error.code}.")
        finally:
            sys.exit, sys.excepthook = self._hooks


def _begin(**options: Any) -> wandb.Run:
    """Begin a run, and where the server cannot be reached begin it offline, as all later ones of this process."""
    mode = os.environ.get("WANDB_MODE", "online" if _has_key() else "offline")
    if mode == "online":
        try:
            return _init(mode, **options)
        except Exception as error:  # no way to the server, or no right to it
            reason = str(error).partition("\n")[0]
            log.warning(f"W&B does not take the run, what is logged stays here: {type(error).__name__}: {reason}")
        os.environ["WANDB_MODE"] = mode = "offline"
    return _init(mode, **options)


def _init(mode: Any, **options: Any) -> wandb.Run:
    settings = wandb.Settings(
        silent=mode != "online",  # it would print several lines a trial; who searches is told once, at the end
        quiet=True,
        init_timeout=_BEGIN_S,
        finish_timeout=_END_S,
        finish_timeout_raises=True,
        # Of the screen it would get what the whole search prints, and the live display. This is the run's own.
        console="off",
        capture_loggers={"root": "INFO"},
    )
    wandb.setup(settings)
    return wandb.init(settings=settings, mode=mode, reinit="create_new", **options)


def _has_key() -> bool:
    """Whether `wandb login` was run, or a key is in the environment. Asks no server."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host or "") is not None
    except (OSError, NetrcParseError):
        return False
