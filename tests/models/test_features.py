"""Frozen features: computed once whoever asks, the same as computed anew, and of the pages as they are asked for."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from flat_pages import views_of_test_pages
from processes import wait_until
from safetensors.torch import load_file

from docclf.data.augment.batch import BatchAugment
from docclf.data.augment.views import PageViews
from docclf.data.cache import store
from docclf.data.cache.store import load_array
from docclf.data.module import PageDataModule
from docclf.models.frozen.cache import FeatureCache
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.head import HeadOptions

Open = Callable[..., PageDataModule]
ONE = HeadOptions(scales=[1.0])


@pytest.fixture
def backbone(weights_file: Path) -> FrozenBackbone:
    return FrozenBackbone("test_resnet", 64, checkpoint_path=str(weights_file))


def cache_of(data: PageDataModule, backbone: FrozenBackbone) -> FeatureCache:
    return FeatureCache(backbone, **data.places)


def was_computed(cache: FeatureCache) -> bool:
    return "net" in vars(cache)


def kept(data: PageDataModule) -> list[Path]:
    """Features in the cache, by name."""
    return sorted(data.places["cache_dir"].glob("features-*.npy"))


# What they are


def test_convolutions_are_in_32_bit_whether_features_are_in_the_cache_or_not(
    open_pages: Open, backbone: FrozenBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_pages()
    for is_cold in (True, False):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as torch begins
        cache = cache_of(data, backbone)
        cache.load(data.train_views, ONE)
        assert not torch.backends.cudnn.allow_tf32 and was_computed(cache) is is_cold


def test_features_are_the_last_ones_the_stages_means_and_the_aspect_of_each_view(
    open_pages: Open, backbone: FrozenBackbone, weights_file: Path
) -> None:
    data = open_pages()
    found = cache_of(data, backbone).load(data.train_views, HeadOptions(scales=[1.0, 0.5]))
    net = timm.create_model("test_resnet", num_classes=0).eval()
    net.load_state_dict(load_file(weights_file))
    images, aspects = data.train_views(np.arange(24))
    parts = []
    with torch.no_grad():
        for side in (64, 32):
            one = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
            normalised = (one - 0.5) / 0.5
            stages = net.forward_intermediates(normalised, intermediates_only=True)
            parts += [net(normalised), *(stage.mean(dim=(2, 3)) for stage in stages), stages[-1].amax(dim=(2, 3))]
    expected = torch.cat([*parts, aspects.log()[:, None]], dim=1).numpy()
    assert found.n_last == net.num_features and found.values.shape == expected.shape
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert np.allclose(found.values[:, -1], np.log(0.75)), "60 x 80 pixels"
    assert found.weights.tolist() == [1.0] * (expected.shape[1] - 1) + [20.0]


def test_kept_features_are_those_computed_anew_page_by_page(open_pages: Open, backbone: FrozenBackbone) -> None:
    data = open_pages()
    first, second = cache_of(data, backbone), cache_of(data, backbone)
    options = HeadOptions(second_order=True)
    found, again = (cache.load(data.train_views, options) for cache in (first, second))
    assert was_computed(first) and not was_computed(second), "it came from the cache"
    assert np.array_equal(found.values, again.values) and found.identity == again.identity
    net = backbone.build()
    with torch.no_grad():
        alone = torch.cat([net(data.train_views(np.array([row]))[0]) for row in range(24)]).numpy()
    np.testing.assert_allclose(found.values[:, : alone.shape[1]], alone, atol=1e-5)


def test_a_head_may_take_less_of_what_is_computed_once(open_pages: Open, backbone: FrozenBackbone) -> None:
    data = open_pages()
    whole = cache_of(data, backbone).load(data.train_views, HeadOptions())
    cache = cache_of(data, backbone)
    last = cache.load(data.train_views, HeadOptions(scales=[1.0], stages=False, aspect=False))
    assert not was_computed(cache)
    assert np.array_equal(last.values, whole.values[:, : whole.n_last]) and last.values.shape[1] == whole.n_last
    assert last.identity != whole.identity


@pytest.mark.parametrize("channels", [3, 1])
def test_pixels_are_grey_means_of_the_page(open_pages: Open, channels: int) -> None:
    data = open_pages(channels=channels)
    cache = cache_of(data, FrozenBackbone("pixels", 64, channels))
    found = cache.load(data.train_views, HeadOptions(aspect=False))
    grey = data.train_views(np.arange(24))[0].mean(dim=1, keepdim=True)
    expected = F.interpolate(grey, (24, 24), mode="bilinear", antialias=True).flatten(1).numpy()
    assert found.values.shape == (24, 576) and found.n_last == 576
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "test_convnext", "test_nfnet"])
def test_other_kinds_of_backbones_have_features_too(name: str) -> None:
    net = FrozenBackbone(name, 64, pretrained=False).build()
    with torch.no_grad():
        found = net(torch.rand(2, 3, 64, 64))
        classified = net.net(torch.zeros(1, 3, 64, 64))
    assert found.shape[1] >= net.n_last == classified.shape[1] and torch.isfinite(found).all()
    if name != "test_nfnet":  # of which older releases of timm give the last stage alone
        assert found.shape[1] > net.n_last


# What they depend on


def test_other_weights_are_other_features(open_pages: Open, backbone: FrozenBackbone, tmp_path: Path) -> None:
    data = open_pages()
    random = replace(backbone, checkpoint_path=None, pretrained=False)
    caches = [cache_of(data, one) for one in (backbone, random, random)]
    found = [cache.load(data.train_views, ONE) for cache in caches]
    assert [was_computed(cache) for cache in caches] == [True, True, False]
    assert len({features.identity for features in found}) == 2
    assert np.array_equal(found[1].values, found[2].values)
    assert not np.allclose(found[0].values, found[1].values, atol=0.01)


TURNS = BatchAugment(quarter_turns=0.5, noise=0.2)


def views_of(data: PageDataModule, kind: str) -> PageViews:
    return {
        "as they are": lambda: data.train_views,
        "augmented": lambda: data.augmented_views(1),
        "augmented again": lambda: data.augmented_views(2),
        "validation": lambda: data.validation_views,
    }[kind]()


def test_squeezed_letterboxed_and_augmented_pages_differ_and_are_the_same_each_time(
    open_pages: Open, backbone: FrozenBackbone, tmp_path: Path
) -> None:
    found: list[dict[tuple[str, str], Any]] = []
    for place in ("here", "there"):
        found.append({})
        for fit in ("squeeze", "letterbox"):
            data = open_pages(fit=fit, augment=TURNS, validation_augment=TURNS, cache_dir=str(tmp_path / place))
            for kind in ("as they are", "augmented", "augmented again", "validation"):
                found[-1][fit, kind] = cache_of(data, backbone).load(views_of(data, kind), ONE).values
    for key, values in found[0].items():
        assert np.array_equal(values, found[1][key]), key
    different = list(found[0].values())
    for i, values in enumerate(different):
        assert not any(np.allclose(values, other, atol=1e-3) for other in different[:i])
    turned = found[0]["squeeze", "augmented"][:, -1]
    assert {round(float(value), 3) for value in turned} == {-0.288, 0.288}, "of pages on their sides too"


# Once, whoever asks

COUNT = """
import os, pathlib, sys, time
import numpy as np
from docclf.data.cache import store
store._AT_ONCE = 4
folder, log, start, slow = sys.argv[1:]
def compute(rows):
    with open(log, "a") as file:
        file.write("".join(f"{row}\\n" for row in rows))
    time.sleep(float(slow))
    return (rows[:, None] * 10 + np.arange(3)).astype(np.float32)
if start:  # when all have imported
    meeting, n = start.rsplit(":", 1)
    pathlib.Path(meeting, str(os.getpid())).touch()
    while len(list(pathlib.Path(meeting).iterdir())) < int(n):
        time.sleep(0.005)
found = store.load_array("features-v1-test", (40, 3), compute, dtype=np.float32, cache_dir=pathlib.Path(folder))
print(float(found.sum()))
"""
SUM = float(sum(row * 10 + i for row in range(40) for i in range(3)))


def start(folder: Path, log: Path, meet: str = "", slow: float = 0.0) -> subprocess.Popen[str]:
    arguments = [str(folder), str(log), meet, str(slow)]
    return subprocess.Popen([sys.executable, "-c", COUNT, *arguments], stdout=subprocess.PIPE, text=True)


def rows_in(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def test_a_pass_that_was_killed_goes_on_where_it_stood(tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    killed = start(tmp_path, first, slow=0.3)
    wait_until(lambda: len(rows_in(first)) >= 16)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    begun = len(rows_in(first))
    assert 16 <= begun < 40
    assert start(tmp_path, second).communicate(timeout=100)[0] == f"{SUM}\n"
    assert rows_in(second) == list(range(begun - 4, 40)), "what it was at when it was killed, and what follows"
    assert not list(tmp_path.glob("*partial*"))
    array = np.load(tmp_path / "features-v1-test.npy")
    assert np.array_equal(array, np.arange(40)[:, None] * 10 + np.arange(3))


def test_of_two_processes_one_computes_and_the_other_waits(tmp_path: Path) -> None:
    log = tmp_path / "both.log"
    (meeting := tmp_path / "meeting").mkdir()
    both = [start(tmp_path, log, f"{meeting}:2", slow=0.05) for _ in range(2)]
    assert [process.communicate(timeout=100)[0] for process in both] == [f"{SUM}\n"] * 2
    assert rows_in(log) == list(range(40))


def test_what_was_left_of_another_shape_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(rows: Any) -> Any:
        if rows[0] >= 8:
            raise KeyboardInterrupt
        return np.ones((len(rows), 2), np.float32)

    monkeypatch.setattr(store, "_AT_ONCE", 4)
    options: dict[str, Any] = {"dtype": np.float32, "cache_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        load_array("features-v1-a", (20, 2), compute, **options)
    asked: list[int] = []
    load_array("features-v1-a", (20, 3), lambda rows: asked.extend(rows) or np.ones((len(rows), 3)), **options)
    assert asked == list(range(20))


@pytest.mark.parametrize("what", ["a bit", "the end", "the note", "evicted"])
def test_features_that_were_damaged_or_removed_are_computed_again(
    open_pages: Open, backbone: FrozenBackbone, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = open_pages()
    expected = np.array(cache_of(data, backbone).load(data.train_views, ONE).values)
    (path,) = kept(data)
    content = bytearray(path.read_bytes())
    if what == "a bit":
        content[-10] ^= 1
        path.write_bytes(content)
    elif what == "the end":
        path.write_bytes(content[:-100])
    elif what == "the note":
        path.with_suffix(".json").write_text(json.dumps({"shape": [24, 1]}))
    else:  # by features of other pages, in a cache without room for both
        os.utime(path, ns=(0, path.stat().st_mtime_ns))  # not in use
        FeatureCache(backbone, cache_dir=data.places["cache_dir"], limit_gb=0).load(views_of_test_pages(data), ONE)
        assert path not in kept(data)
    cache = cache_of(data, backbone)
    assert np.array_equal(cache.load(data.train_views, ONE).values, expected) and was_computed(cache)
    assert ("is damaged" in caplog.text) == (what != "evicted")
