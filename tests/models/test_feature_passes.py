"""A pass over the pages that has no use any more ends, goes on another time, and is not counted as the trial's own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slowly import slowly

from docclf.data.cache import store
from docclf.data.cache.stopwatch import Stopwatch, counted_once
from docclf.data.cache.store import load_array, remember
from docclf.data.module import PageDataModule
from docclf.models.frozen.cache import FeatureCache, UnwantedPassError
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.floors import measure_floors
from docclf.models.frozen.head import HeadOptions


def test_a_pass_that_is_not_wanted_any_more_goes_on_another_time(
    open_pages: Callable[..., PageDataModule], weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_AT_ONCE", 8)
    data, options = open_pages(), HeadOptions(scales=[1.0])
    backbone = FrozenBackbone("test_resnet", 64, checkpoint_path=str(weights_file))
    answers = iter([True, False])
    stopped = FeatureCache(backbone, **data.places)
    stopped.is_wanted = lambda: next(answers)
    with pytest.raises(UnwantedPassError):
        stopped.load(data.train_views, options)
    asked: list[bool] = []
    again = FeatureCache(backbone, **data.places)
    again.is_wanted = lambda: not asked.append(True)  # type: ignore[func-returns-value]
    found = again.load(data.train_views, options)
    assert len(asked) == 2, "of three batches the first one is there"
    elsewhere = {**data.places, "cache_dir": data.places["cache_dir"] / "other"}
    assert np.array_equal(found.values, FeatureCache(backbone, **elsewhere).load(data.train_views, options).values)


def test_a_pass_for_the_grey_pixels_ends_with_that_of_the_backbone(open_pages: Callable[..., PageDataModule]) -> None:
    data = open_pages()
    cache = FeatureCache(FrozenBackbone("test_resnet", 64, pretrained=False), **data.places)
    pixels = cache.of(FrozenBackbone("pixels", 64))
    cache.is_wanted = lambda: False
    with pytest.raises(UnwantedPassError):
        measure_floors(data, np.arange(24) % 3, 3, cache)
    assert not list(data.places["cache_dir"].glob("floor-*")), "or it is what another one takes"
    cache.is_wanted = lambda: True
    assert len(pixels.load(data.train_views, HeadOptions(scales=[1.0])).values) == 24


def test_what_the_cache_has_from_then_on_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def work(seconds: float, value: Any = 1) -> Any:
        now[0] += seconds
        return value

    watch = Stopwatch()
    work(1.0)
    remember(tmp_path, "widths-a", lambda: work(2.0))
    remember(tmp_path, "widths-a", lambda: work(2.0))
    load_array("a-v1", (1, 1), lambda rows: work(4.0, np.ones((1, 1))), dtype=np.float32, cache_dir=tmp_path)
    with counted_once():
        work(8.0)
        remember(tmp_path, "widths-b", lambda: work(16.0))
    assert (watch.seconds, watch.again) == (31.0, 1.0)
    assert Stopwatch().again == 0.0


@pytest.mark.parametrize("content", ["[1]", "1", '{"b": 1}', *slowly("{", "")])
def test_what_the_cache_has_is_computed_anew_where_the_file_holds_something_else(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    assert remember(tmp_path, "a", lambda: [2]) == [2]
    assert remember(tmp_path, "a", lambda: [3]) == [2]
