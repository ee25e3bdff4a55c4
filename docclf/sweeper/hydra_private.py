"""Hydra's private names: used here alone, and checked with Hydra 1.4.0rc3."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher as BasicLauncher  # no public class is its base
from hydra._internal.utils import get_args
from hydra.core.utils import JobReturn


def read_arguments(arguments: Sequence[str]) -> Any:
    """What Hydra reads out of a command line, as attributes; to others it gives the overrides alone, once composed."""
    return get_args(arguments)


def returned(job: JobReturn) -> Any:
    """What a job has returned, or the exception that it raised: `JobReturn.return_value` prints and raises that."""
    return job._return_value
