"""Floors: what a simple classifier reaches on the same folds. A winner below one is not worth its minutes."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.store import remember
from docclf.data.module import PageDataModule
from docclf.metrics.scores import macro_f1
from docclf.models.frozen.cache import FeatureCache
from docclf.models.frozen.features import PIXELS
from docclf.models.frozen.head import HeadOptions
from docclf.models.frozen.heads import Heads

# Pages that a floor is measured on at most.
_MOST_PAGES = 5000
_STRENGTHS = (0.001, 0.01, 0.1)
_VERSION = 2


def measure_floors(
    data: PageDataModule, assignment: NDArray[np.int64], n_folds: int, cache: FeatureCache
) -> dict[str, dict[str, Any]]:
    """Score logistic regression on grey pixels and on the backbone's frozen features.

    Of three strengths of the penalty the best counts. What was measured before on the same pages and folds comes from
    the cache.

    Args:
        assignment: Fold of each training page, shape (n,).
        n_folds: How many of the folds are scored, the first ones.

    Returns:
        `pixels` and `features`, each with `mean`, `folds`, `pooled`, `seconds` and `what`, and `pages` where only a
        sample of so many pages was taken.
    """
    pixels = cache.of(replace(cache.backbone, name=PIXELS))
    backbone = cache.backbone
    described = {
        "pixels": (pixels, "logistic regression on 24 x 24 grey pixels"),
        "features": (cache, f"logistic regression on frozen features of {backbone.name}, {backbone.image_size} px"),
    }
    return {
        name: {**_remembered(data, assignment, n_folds, source), "what": what}
        for name, (source, what) in described.items()
        if name == "pixels" or backbone.name != PIXELS
    }


def _remembered(
    data: PageDataModule, assignment: NDArray[np.int64], n_folds: int, cache: FeatureCache
) -> dict[str, Any]:
    views = [data.train_views.identity, data.validation_views.identity]
    if data.validation_augment is not None:
        views.append(data.augmented_views(1).identity)  # which `augment` makes, see `_measure`
    facts = f"{_VERSION} {cache.backbone.identity} {views} {data.pages.targets} {n_folds} "
    key = hashlib.sha256(facts.encode() + assignment.tobytes() + data.labels.tobytes()).hexdigest()[:24]
    found: dict[str, Any] = remember(
        data.places["cache_dir"], f"floor-{key}", lambda: _measure(data, assignment, n_folds, cache)
    )
    return found


def _measure(data: PageDataModule, assignment: NDArray[np.int64], n_folds: int, cache: FeatureCache) -> dict[str, Any]:
    started = time.perf_counter()
    rows = np.arange(len(assignment))
    if len(rows) > _MOST_PAGES:
        rows = np.sort(np.random.default_rng(0).permutation(len(rows))[:_MOST_PAGES])
    # Without other views it would not know what augmented pages look like.
    kinds: dict[str, Any] = {"stages": False, "aspect": False, "views": 0 if data.validation_augment is None else 1}
    heads = [Heads(data, cache, HeadOptions(C=strength, scales=(1.0,), **kinds)) for strength in _STRENGTHS]
    scored = [_score(one, assignment, n_folds, rows) for one in heads]
    best = max(scored, key=lambda found: float(found["mean"]))
    sampled = {"pages": len(rows)} if len(rows) < len(assignment) else {}
    return {**best, "seconds": round(time.perf_counter() - started, 2), **sampled}


def _score(heads: Heads, assignment: NDArray[np.int64], n_folds: int, rows: NDArray[np.int64]) -> dict[str, Any]:
    predicted, n_classes = heads.predict(assignment, n_folds, rows), len(heads.data.pages.class_names)
    parts = [predicted >= 0, *((predicted >= 0) & (assignment == fold) for fold in range(n_folds))]
    pooled, *scores = (macro_f1(heads.data.labels[part], predicted[part], n_classes) for part in parts)
    return {"mean": float(np.mean(scores)), "folds": scores, "pooled": pooled}
