"""The time of a head is that of fitting it, and a search out of time waits for no further round of heads."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from docclf.data.augment.batch import BatchAugment
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv
from docclf.models.frozen import heads as rooms
from docclf.models.frozen.cache import FeatureCache, UnwantedPassError
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.head import HeadOptions
from docclf.models.frozen.heads import Heads
from docclf.sweeper import current_trial
from docclf.training.crossval import cross_validate_heads
from docclf.training.validation import Validation

PASS_S = 0.3


@pytest.fixture
def make_heads(pages_root: Path, tmp_path: Path) -> Callable[[], Heads]:
    data = PageDataModule(
        str(pages_root), reader=read_csv, augment=BatchAugment(), image_size=32, cache_dir=str(tmp_path)
    )
    backbone = FrozenBackbone("pixels", 32)
    return lambda: Heads(data, FeatureCache(backbone, **data.places), HeadOptions(scales=(1.0,)))


def test_the_pass_over_the_pages_is_no_time_of_the_head_that_comes_first(make_heads: Callable[[], Heads]) -> None:
    heads, assignment = make_heads(), np.arange(24) % 3
    heads.cache.is_wanted = lambda: time.sleep(PASS_S) is None  # asked within the pass
    started = time.perf_counter()
    first = cross_validate_heads(heads, Validation(), assignment, current_trial())
    assert 0 < first.metrics["train_seconds"] < time.perf_counter() - started - PASS_S
    assert first.metrics["train_seconds"] == sum(fold.seconds for fold in first.folds)


@pytest.mark.parametrize(("threads", "n_fitted"), [(1, 1), (2, 2), (3, 3)])
def test_a_search_out_of_time_fits_no_further_round_of_heads(
    make_heads: Callable[[], Heads], monkeypatch: pytest.MonkeyPatch, threads: int, n_fitted: int
) -> None:
    monkeypatch.setattr(rooms, "n_cores", lambda: threads)
    heads, found = make_heads(), []
    heads.cache.is_wanted = lambda: not found
    with pytest.raises(UnwantedPassError) if n_fitted < 3 else nullcontext():
        for fold in heads.folds(np.arange(24) % 3, 3):
            found.append(fold)  # one by one, as they come
    assert len(found) == n_fitted
