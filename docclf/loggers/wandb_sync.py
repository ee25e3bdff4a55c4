"""How offline runs of Weights & Biases get to its server."""

import shlex
from pathlib import Path


def sync_command(folder: Path) -> str | None:
    """The command that uploads the offline runs of a folder; None where none waits for it.

    Args:
        folder: As given to `docclf.loggers.wandb_session.WandbSession`.
    """
    place = folder / "wandb"
    # `wandb sync` leaves a mark beside the file of a run.
    waiting = (not path.with_suffix(".wandb.synced").exists() for path in place.glob("offline-run-*/run-*.wandb"))
    return f"wandb sync {shlex.quote(str(place))}" if any(waiting) else None
