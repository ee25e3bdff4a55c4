"""Objects of Optuna that the options of `hydra/sweeper/sampler` and `hydra/sweeper/pruner` describe."""

from __future__ import annotations

import warnings
from typing import Any

from hydra.errors import HydraException
from optuna.exceptions import ExperimentalWarning

from docclf.errors import ConfigError
from docclf.safety.allow import build_listed


def build_option(config: Any, key: str, listed: tuple[str, ...]) -> Any:
    """Make what an option describes.

    Args:
        key: Its key, for messages.
        listed: Names that it may call.

    Raises:
        ConfigError: It is none of these, or has arguments that Optuna refuses.
    """
    with warnings.catch_warnings():
        # Who names an option has chosen it, and some of ours are experimental in Optuna.
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return build_listed(config, key, listed)
        except (HydraException, ValueError, TypeError, AttributeError) as error:  # of code of the user's own, too
            reason = error.__cause__ or error
            raise ConfigError(f"Expected options of `{key}` that Optuna takes, got others: {reason}") from error
