"""What results were made with."""

import shutil
import subprocess
from importlib.metadata import version

_PACKAGES = ("docclf", "hydra-core", "optuna", "torch", "timm", "pytorch-lightning")


def versions() -> str:
    """Of the packages that numbers depend on."""
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def git_commit() -> str:
    """Of the checkout that the command runs in."""
    if shutil.which("git") is None:
        return "unknown"
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none: not in a git checkout"
