"""How offline runs of Weights & Biases get to its server."""

import shlex
from pathlib import Path


def sync_command(folder: Path) -> str | None:
    """The command that uploads the offline runs of a folder; None where none waits for it.

    Args:
        folder: As given to `docclf.loggers.wandb_session.WandbSession`.
    """
    place = folder / "wandb"
    waiting = [path for path in place.glob("offline-run-*/run-*.wandb") if not _is_synced(path)]
    return f"wandb sync {shlex.quote(str(place))}" if waiting else None


def _is_synced(path: Path) -> bool:
    """Whether `wandb sync` has left its mark beside the file of a run."""
    return path.with_suffix(".wandb.synced").exists()
