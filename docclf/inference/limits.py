"""What may stand in `model.yaml`: somebody else may have written it, and numbers out of bounds predict nonsense."""

from __future__ import annotations

import reprlib
from typing import Any

from docclf.inference.description import Description
from docclf.models.backbone import require_known
from docclf.models.frozen.features import PIXELS
from docclf.models.frozen.head import FLAGS
from docclf.safety.rules import FLAG, Rule, listed, number, one_of

_MOST_SIDE, _MOST_CLASSES, _MOST_MEMBERS = 4096, 20_000, 100
_HUGE = 1e38  # float32 has no numbers above 3e38
_SIDE = number(8, most=_MOST_SIDE, whole=True)
# 1 / 255 is the smallest std in use, 0.05 the least temperature fitted
_DIVISOR = number(above=1e-3, below=_HUGE)
_TEXTS = listed(lambda value: "" if isinstance(value, str) else "a text", "a list of texts")
_OF_MODEL: dict[str, Rule] = {
    "targets": _TEXTS,
    "class_names": _TEXTS,
    "image_size": _SIDE,
    "decoded_size": _SIDE,
    "channels": one_of(1, 3),
    "mean": listed(number(above=-_HUGE, below=_HUGE), "finite numbers"),
    "std": listed(_DIVISOR, "numbers above 0.001"),
    "temperature": _DIVISOR,
    "weight": number(above=0, most=1),
    "fit": one_of("squeeze", "letterbox"),
}
_OF_HEAD: dict[str, Rule] = {
    "fraction": number(0, most=1),
    "sides": listed(_SIDE, f"sides of images from 8 to {_MOST_SIDE} pixels", least=1),
    **dict.fromkeys(FLAGS, FLAG),
}


def require_within_limits(described: Description) -> None:
    """Refuse what no model of a page has: it would fill the memory of whoever opens the folder, or predict nonsense.

    Raises:
        ValueError: There is some.
        ConfigError: timm does not know the backbone; a name that stands for a place on a hub is none.
    """
    weights = [part.weight for part in described.parts]
    _require(len(weights) <= _MOST_MEMBERS, f"at most {_MOST_MEMBERS} parts", len(weights))
    for one in (described, *described.parts):
        _require_each(_OF_MODEL, one)
        n = len(one.targets)
        _require(len(one.class_names) == n, "a name for each class", f"{len(one.class_names)} for {n}")
        _require(1 <= n <= _MOST_CLASSES, f"1 to {_MOST_CLASSES} classes", n)
        _require(len(set(one.targets)) == n, "another target for each class", one.targets)
        _require(len(one.members) <= _MOST_MEMBERS, f"at most {_MOST_MEMBERS} members", len(one.members))
        _require(len(one.mean) == len(one.std) == one.channels, "a mean and a std of each channel", one.channels)
        if one.head is not None:
            _require_each(_OF_HEAD, one.head, "head.")
            _require(len(one.head.sides) <= _MOST_MEMBERS, f"at most {_MOST_MEMBERS} sides", len(one.head.sides))
        if one.backbone != PIXELS:
            require_known(str(one.backbone))
    _require(not weights or abs(sum(weights) - 1) < 1e-3, "weights of the parts that sum to 1", weights)


def _require(is_met: bool, what: str, found: Any) -> None:
    if not is_met:
        raise ValueError(f"expected {what}, got {reprlib.repr(found)}")


def _require_each(rules: dict[str, Rule], described: Any, prefix: str = "") -> None:
    for name, rule in rules.items():
        value = getattr(described, name)
        _require(not (said := rule(value)), f"`{prefix}{name}` to be {said}", value)
