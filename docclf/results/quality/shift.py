"""The files test_pages.yaml and test_pages.png: how a data set's test pages differ from its training pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.errors import DataError
from docclf.results.facts import write_facts
from docclf.safety.untrusted import one_line, read_yaml

NAME, PICTURE = "test_pages.yaml", "test_pages.png"
_TOLD_APART = 0.55  # lower bound of the area from which on pages are called unlike
_MOST_BYTES = 4_000_000  # of a picture that a report takes in


def write_shift(
    folder: Path, facts: Mapping[str, Any], pages: Sequence[NDArray[np.uint8]], captions: Sequence[str]
) -> None:
    """Write `test_pages.yaml`, and `test_pages.png` where there are pages to show.

    Args:
        facts: `data`, `training_pages`, `test_pages`, `differences`, `answer`, `auc`, as
            `docclf.training.other_pages` has them.
        pages: The most unlike ones, uint8 of shape (size, size, channels).
    """
    from docclf.results.pictures import write_captioned

    (folder / PICTURE).unlink(missing_ok=True)
    if len(pages):
        write_captioned(folder / PICTURE, pages, [(caption,) for caption in captions])
    write_facts(folder / NAME, facts)


def read_shift(folder: Path | None) -> dict[str, Any]:
    """Content of a folder's `test_pages.yaml`; empty where there is none, or it is damaged."""
    path = None if folder is None else folder / NAME
    if path is None or path.is_symlink():  # which would lead out of somebody else's folder
        return {}
    try:
        found = read_yaml(path)
        return found if isinstance(found, dict) and shift_lines(found) and is_unlike(found) in (True, False) else {}
    except (DataError, OSError, ValueError, TypeError, KeyError):
        return {}


def is_unlike(facts: Mapping[str, Any]) -> bool:
    """Whether test pages are told from training pages, or look otherwise."""
    return bool(facts["differences"]) or float(facts["auc"]["low"]) > _TOLD_APART


def shift_lines(facts: Mapping[str, Any], *, areas_alone: bool = False) -> list[str]:
    """What is known of the test pages: how well they are told apart, in what they differ, what answers that.

    Args:
        facts: See `write_shift`.
        areas_alone: Only how well they are told apart.

    >>> auc = {"value": 0.98, "low": 0.97, "high": 0.99, "features": "resnet18, 96 px"}
    >>> skewed = {"text": "skewed (6.1°, training pages 0.4°)"}
    >>> for line in shift_lines({"auc": auc, "differences": [skewed], "answer": "Say augment=scan."}):
    ...     print(line)
    test pages look different from training pages: AUC 0.98 (95 % interval 0.97 to 0.99), resnet18, 96 px
    they are skewed (6.1°, training pages 0.4°). Say augment=scan.
    >>> shift_lines({"auc": auc | {"value": 0.5, "low": 0.42, "validation": auc}, "differences": []})[-1]
    'validation.augment makes training pages unlike test pages: leave it out'
    """
    auc = facts["auc"]
    words = "look different from" if float(auc["low"]) > _TOLD_APART else "look like"
    lines = [f"test pages {words} training pages: {area_text(auc)}, {one_line(str(auc['features']))}"]
    if "validation" in auc:
        lines.append(f"and from training pages as validation.augment shows them: {area_text(auc['validation'])}")
        if float(auc["low"]) <= _TOLD_APART < float(auc["validation"]["low"]):
            lines.append("validation.augment makes training pages unlike test pages: leave it out")
    if facts["differences"] and not areas_alone:
        what = ", ".join(str(difference["text"]) for difference in facts["differences"])
        lines.append(one_line(f"they are {what}. {facts['answer']}"))
    return lines


def area_text(area: Mapping[str, Any]) -> str:
    """
    >>> area_text({"value": 0.5, "low": 0.42, "high": 0.58})
    'AUC 0.50 (95 % interval 0.42 to 0.58)'
    """
    value, low, high = (float(area[key]) for key in ("value", "low", "high"))
    return f"AUC {value:.2f} (95 % interval {low:.2f} to {high:.2f})"


def picture_address(folder: Path | None) -> str:
    """`test_pages.png` of a folder as a data URI; empty without one."""
    path = None if folder is None else folder / PICTURE
    if path is None or path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return ""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
