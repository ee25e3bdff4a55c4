"""Floors: what a simple classifier scores on the same folds."""

import logging
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from docclf.data.augment.batch import BatchAugment
from docclf.data.module import PageDataModule
from docclf.data.readers import read_folder
from docclf.models.frozen.cache import FeatureCache
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.floors import _STRENGTHS, measure_floors
from docclf.train import train

GREYS = {"dark": 70, "middle": 130, "light": 190}


@pytest.fixture(scope="module")
def greys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pages that differ in brightness alone."""
    root, random = tmp_path_factory.mktemp("greys"), np.random.default_rng(0)
    for name, grey in GREYS.items():
        (root / name).mkdir()
        for i in range(10):
            page = np.clip(random.normal(grey, 12, (40, 30)) + random.integers(-9, 9), 0, 255)
            Image.fromarray(page.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = yaml.safe_load((run / "result.yaml").read_text(encoding="utf-8"))
    return result


def test_where_brightness_tells_pages_apart_pixels_reach_all_and_a_net_that_is_below_is_told(
    cfg: DictConfig, compose_config: Any, greys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg.data = compose_config("data=folder", "data.near_duplicates=null", f"data.root='{greys}'").data
    cfg.data.image_size, cfg.optimizer.lr = 32, 0.0  # so that it learns nothing
    with caplog.at_level(logging.INFO):
        train(cfg, tmp_path)
    result = result_of(tmp_path)
    pixels, features = result["floors"]["pixels"], result["floors"]["features"]
    assert pixels["mean"] == 1.0 and pixels["folds"] == [1.0] * 3 and pixels["pooled"] == 1.0
    assert pixels["what"] == "logistic regression on 24 x 24 grey pixels" and "pages" not in pixels
    assert features["what"] == "logistic regression on frozen features of test_resnet, 32 px"
    assert result["mean"] < 0.9
    assert "Below a floor: this run has 0." in caplog.text and "logistic regression on pixels 1.000" in caplog.text


def test_a_run_above_its_floors_is_not_warned(
    cfg: DictConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg.model.tune = "head"
    with caplog.at_level(logging.INFO):
        train(cfg, tmp_path)
    result = result_of(tmp_path)
    assert result["mean"] >= max(floor["mean"] for floor in result["floors"].values()), "or it is warned with right"
    assert "floors (same folds): pixels " in caplog.text
    assert "Below a floor" not in caplog.text


def floors_of(data: PageDataModule, seed: int = 0, n_folds: int = 3) -> dict[str, dict[str, Any]]:
    cache = FeatureCache(FrozenBackbone("test_resnet", 32, pretrained=False), **data.places)
    assignment = np.random.default_rng(seed).permutation(np.arange(len(data.labels)) % 3)
    return measure_floors(data, assignment, n_folds, cache)


def test_floors_are_remembered_for_the_same_pages_and_folds(greys: Path, tmp_path: Path) -> None:
    data = PageDataModule(
        str(greys), reader=read_folder, augment=BatchAugment(), image_size=32, cache_dir=str(tmp_path),
        near_duplicates=None,
    )  # fmt: skip
    first, second = floors_of(data), floors_of(data)
    assert first == second, "with the seconds that it took the first time"
    assert len(list(tmp_path.glob("floor-*.json"))) == 2
    others = floors_of(data, seed=1), floors_of(data, n_folds=2)
    assert len(list(tmp_path.glob("floor-*.json"))) == 6
    assert [len(floors["pixels"]["folds"]) for floors in (first, *others)] == [3, 3, 2]
    data.labels = data.labels[::-1].copy()
    floors_of(data)
    assert len(list(tmp_path.glob("floor-*.json"))) == 8, "other labels are other floors"


def test_the_reference_that_stands_for_a_floor_is_fitted_as_strongly(compose_config: Any) -> None:
    sweeper = compose_config("hparams_search=optuna", "hydra/sweeper=docclf", hydra=True).hydra.sweeper
    references = OmegaConf.to_container(OmegaConf.masked_copy(sweeper.finalists, ["references"]))["references"]
    assert list(references) == ["pixels", "features"]
    for overrides in references.values():
        given = [f"{key}={value}" for key, value in overrides.items()]
        head = instantiate(compose_config(*given).model.head)
        assert statistics.median(_STRENGTHS) == head.C
        assert (list(head.scales), head.stages, head.aspect, head.sqrt) == ([1.0], False, False, False)


def test_of_very_many_pages_a_sample_is_measured(greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docclf.models.frozen.floors._MOST_PAGES", 20)
    data = PageDataModule(
        str(greys), reader=read_folder, augment=BatchAugment(), image_size=32, cache_dir=str(tmp_path),
        near_duplicates=None,
    )  # fmt: skip
    assert [floor["pages"] for floor in floors_of(data).values()] == [20, 20]


def test_where_validation_pages_are_augmented_each_augmentation_of_training_pages_has_its_floors(
    greys: Path, tmp_path: Path
) -> None:
    light, noise = BatchAugment(brightness=0.3), BatchAugment(noise=0.5)
    for augment in (light, noise, light):
        data = PageDataModule(
            str(greys), reader=read_folder, augment=augment, validation_augment=light, image_size=32,
            cache_dir=str(tmp_path), near_duplicates=None,
        )  # fmt: skip
        floors_of(data)
    assert len(list(tmp_path.glob("floor-*.json"))) == 4
