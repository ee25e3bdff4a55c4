"""Pages, weights and backbones that a test can afford."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from docclf.data.augment.batch import BatchAugment
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv
from docclf.models import weights


@pytest.fixture
def open_pages(pages_root: Path, tmp_path: Path) -> Callable[..., PageDataModule]:
    """Opens the tiny pages at 64 pixels, with a cache of the test's own."""
    settings: dict[str, Any] = {"reader": read_csv, "augment": BatchAugment(), "image_size": 64}
    return partial(PageDataModule, str(pages_root), cache_dir=str(tmp_path / "cache"), **settings)


@pytest.fixture
def hub_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the address of timm's hub."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    weights._hub_weights.cache_clear()
    return lambda address: monkeypatch.setenv("HF_ENDPOINT", address)
