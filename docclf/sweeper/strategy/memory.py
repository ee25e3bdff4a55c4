"""Winners of earlier searches, which a new search tries first."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from docclf.errors import DataError
from docclf.safety.untrusted import inside, is_inside, read_config, read_yaml, reading
from docclf.sweeper.space.grammar import encode
from docclf.sweeper.space.parameters import Space

log = logging.getLogger(__name__)

# At most this part of the trials; this many where their number is not known.
_PART, _FEW = 4, 5


def most_known(n_trials: float) -> int:
    """How many trials may have values that are known from elsewhere.

    >>> most_known(20), most_known(math.inf)
    (5, 5)
    """
    return _FEW if math.isinf(n_trials) else int(n_trials) // _PART


def remembered(
    memory: Any,
    directory: Path,
    space: Space,
    config: DictConfig,
    *,
    same: Sequence[str],
    most: int,
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda values: values,
) -> dict[str, dict[str, Any]]:
    """What earlier searches found best, the latest first, as far as this space holds it.

    Args:
        memory: `auto`: the searches in folders beside this one's; a folder of searches; or `none` or None.
        config: Of a trial; a winner counts that has the same values of the keys `same`.
        most: Winners at most.
        complete: Adds to the values of an entry what follows from them.

    Returns:
        What each is called to its draws by name in the study.

    Raises:
        DataError: The folder is not there.
    """
    if memory in (None, "none", False):
        return {}
    place = directory.parent if memory == "auto" else Path(str(memory))
    if not place.is_dir():
        raise DataError(
            "Expected `hydra.sweeper.memory` to be auto, none or a folder of searches, "
            f"got {memory}, which is no folder. Say hydra.sweeper.memory=none."
        )
    found: dict[str, dict[str, Any]] = {}
    for folder in _searches(place, directory):
        if len(found) < most and (values := _winner(folder / "best", config, same)):
            known = {key: value for key, value in values.items() if key in space.keys}
            draws = space.fitting(complete(known)) if known else {}
            if draws and draws not in found.values():
                found[f"winner of {folder.name}"] = draws
    if found:
        log.info(f"Tried first: the {', the '.join(found)}. search.memory=none begins without them")
    return found


def _searches(place: Path, own: Path) -> list[Path]:
    """Folders with an exported winner, the latest first; none of others by a link."""
    found = [path for path in place.glob("*/best/params.yaml") if is_inside(path, place)]
    found = [path for path in found if path.parent.parent.resolve() != own.resolve()]
    return [path.parent.parent for path in sorted(found, key=lambda path: -path.stat().st_mtime_ns)]


def _winner(best: Path, config: DictConfig, same: Sequence[str]) -> dict[str, Any]:
    """Values of a winner by key; none where it has another backbone, or its files cannot be read."""
    with suppress(DataError, OSError), reading("a winner", best):
        its, params = read_config(inside(best, "config.yaml")), read_yaml(best / "params.yaml")
        if isinstance(params, dict) and all(
            OmegaConf.select(its, key) == OmegaConf.select(config, key) for key in same
        ):
            return {str(key).lstrip("+"): encode(value) for key, value in params.items()}
    return {}
