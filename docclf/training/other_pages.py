"""Test pages against training pages: in what they differ, how well they are told apart, and what answers it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from docclf.data.looks.other_pages import KINDS, Difference, find_differences, take_sample
from docclf.results.quality.shift import is_unlike, read_shift, write_shift

if TYPE_CHECKING:
    from docclf.data.augment.views import PageViews
    from docclf.data.dataset import DataSet
    from docclf.models.frozen.cache import FeatureCache

log = logging.getLogger(__name__)

_SHOWN = 10  # pages of the picture
_SCAN_DEGREES = 10.0  # augment=scan turns pages by up to so many


def log_differences(cfg: DictConfig, data: DataSet, cache_dir: Path | None) -> None:
    """Say in one line in what test pages differ from training pages, and the option that answers it; or nothing.

    Args:
        cache_dir: Where what was computed is kept; None for the user's cache folder.
    """
    if (sample := take_sample(data)) is None:
        return
    if differences := find_differences(data, sample, cache_dir):
        what = ", ".join(map(str, differences))
        log.warning(f"Test pages differ from training pages: they are {what}. {answer(cfg, differences)}")


def answer(cfg: DictConfig, differences: Sequence[Difference]) -> str:
    """Which options train and validate on pages like the test pages, as a sentence; empty for no difference."""
    needed = {KINDS[one.kind].key: one.test if one.kind == "skew" else 0.0 for one in differences}
    needed.pop("", None)
    is_photo = "quarter_turns" in needed or len(needed) > 2 or needed.get("degrees", 0.0) > _SCAN_DEGREES
    option, said = "photo" if is_photo else "scan", []
    if needed and OmegaConf.select(cfg, "validation.augment") not in (option, "photo"):
        said.append(f"validation.augment={option}")
    amounts = {key: float(OmegaConf.select(cfg, f"augment.{key}", default=0.0) or 0.0) for key in needed}
    if any(amount == 0.0 or amount < needed[key] for key, amount in amounts.items()):
        said.append(f"augment={option}")
    if any(one.kind == "aspect" for one in differences) and OmegaConf.select(cfg, "model.head.aspect"):
        said.append("model.head.aspect=false")
    if said:
        return f"Say {' '.join(said)}."
    return "augment and validation.augment are set for it." if needed else ""


def compare_test_pages(
    cfg: DictConfig, data: DataSet, cache: FeatureCache, folder: Path, validation: PageViews | None = None
) -> dict[str, Any]:
    """Write how test pages differ from training pages into a folder, once for the same pages.

    Args:
        folder: Gets `test_pages.yaml` and `test_pages.png`.
        validation: The training pages as they are validated on; None where that is as they are.

    Returns:
        What it wrote; empty where it is known already, or there are too few pages, or groups of pages, to compare.
    """
    from docclf.data.augment.views import PageViews, digest_of
    from docclf.models.frozen.head import HeadOptions
    from docclf.models.frozen.two_sample import FOLDS, compare_samples

    sample = take_sample(data)
    identity = hashlib.sha256("\n".join(data.digests).encode()).hexdigest()[:16]
    if sample is None or len(np.unique(sample.groups)) < FOLDS or read_shift(folder).get("data") == identity:
        return {}
    options = HeadOptions(scales=(1.0,), stages=False, aspect=False)
    n, test, images, backbone = len(data.pages.train), data.pages.test, data.test_images, cache.backbone
    assert test is not None and images is not None
    splits = ((data.train_images, sample.train, data.digests[:n]), (images, sample.test, data.digests[n:]))
    train_features, test_features = (
        cache.load(PageViews(pages.take(rows), digest_of([its[i] for i in rows]), backbone.image_size), options).values
        for pages, rows, its in splits
    )
    told = compare_samples(train_features, test_features, sample.groups)
    area: dict[str, Any] = {**told.bounds, "features": f"frozen features of {backbone.name}, {backbone.image_size} px"}
    if validation is not None:
        shown = cache.load(validation, options).values[sample.train]
        area["validation"] = compare_samples(shown, test_features, sample.groups).bounds
    differences = find_differences(data, sample, cache.cache_dir)
    facts: dict[str, Any] = {
        "data": identity,
        "training_pages": len(sample.train),
        "test_pages": len(sample.test),
        "auc": area,
        "differences": [{"text": str(one), **asdict(one)} for one in differences],
        "answer": answer(cfg, differences),
    }
    unlike = sample.test[np.argsort(-told.unlike, kind="stable")[:_SHOWN]] if is_unlike(facts) else sample.test[:0]
    facts["most_unlike"] = [test.ids[row] for row in unlike]
    write_shift(folder, facts, list(images[unlike]), facts["most_unlike"])
    return facts
