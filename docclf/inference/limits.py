"""What may stand in `model.yaml`: somebody else may have written it, and numbers out of bounds predict nonsense."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

from docclf.inference.description import Description, HeadDescription
from docclf.models.backbone import require_known
from docclf.models.frozen.features import PIXELS
from docclf.models.frozen.head import FLAGS

_MOST_SIDE, _MOST_CLASSES, _MOST_MEMBERS = 4096, 20_000, 100
_LEAST_DIVISOR = 1e-3  # of std and temperature: 1 / 255 is the smallest std in use, 0.05 the least temperature fitted
_FITS = ("squeeze", "letterbox")


def require_within_limits(described: Description) -> None:
    """Refuse what no model of a page has: it would fill the memory of whoever opens the folder, or predict nonsense.

    Raises:
        ValueError: There is some.
        ConfigError: timm does not know the backbone; a name that stands for a place on a hub is none.
    """
    weights = [part.weight for part in described.parts]
    _require(len(weights) <= _MOST_MEMBERS, f"at most {_MOST_MEMBERS} parts", len(weights))
    for one in (described, *described.parts):
        _require_classes(one)
        _require_images(one)
        if one.head is not None:
            _require_head(one.head)
        if one.backbone != PIXELS:
            require_known(str(one.backbone))
    _require(not weights or abs(sum(weights) - 1) < 1e-3, "weights of the parts that sum to 1", weights)


def _require(is_met: bool, what: str, found: Any) -> None:
    if not is_met:
        raise ValueError(f"expected {what}, got {reprlib.repr(found)}")


def _require_classes(one: Description) -> None:
    for texts in (one.targets, one.class_names):
        is_met = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        _require(is_met, "targets and class names as texts in lists", texts)
    n = len(one.targets)
    _require(len(one.class_names) == n, "a name for each class", f"{len(one.class_names)} for {n}")
    _require(1 <= n <= _MOST_CLASSES, f"1 to {_MOST_CLASSES} classes", n)
    _require(len(set(one.targets)) == n, "another target for each class", one.targets)
    _require(len(one.members) <= _MOST_MEMBERS, f"at most {_MOST_MEMBERS} members", len(one.members))


def _require_images(one: Description) -> None:
    _require_sides([one.image_size, one.decoded_size])
    is_met = one.channels in (1, 3) and len(one.mean) == len(one.std) == one.channels
    _require(is_met, "1 or 3 channels, with a mean and std of each", one.channels)
    _require(one.fit in _FITS, f"{' or '.join(_FITS)} as fit", one.fit)
    _require_each("finite numbers as mean", one.mean, lambda _: True)
    _require_each(f"a std above {_LEAST_DIVISOR}", one.std, lambda std: std > _LEAST_DIVISOR)
    _require_each(f"a temperature above {_LEAST_DIVISOR}", [one.temperature], lambda value: value > _LEAST_DIVISOR)
    _require_each("a weight above 0 and up to 1", [one.weight], lambda value: 0 < value <= 1)


def _require_sides(sides: list[int]) -> None:
    is_met = 1 <= len(sides) <= _MOST_MEMBERS and all(type(side) is int and 8 <= side <= _MOST_SIDE for side in sides)
    _require(is_met, f"sides of images from 8 to {_MOST_SIDE} pixels", sides)


def _require_each(what: str, numbers: list[float], is_met: Callable[[float], bool]) -> None:
    # A bool is a number to Python, and float32 has none above 3e38.
    is_each = all(type(number) in (int, float) and abs(number) < 1e38 and is_met(number) for number in numbers)
    _require(is_each, what, numbers)


def _require_head(head: HeadDescription) -> None:
    _require_sides(head.sides)
    _require_each("a fraction of the head from 0 to 1", [head.fraction], lambda value: 0 <= value <= 1)
    for name in FLAGS:
        value = getattr(head, name)
        _require(type(value) is bool, f"true or false as `{name}` of the head", value)
