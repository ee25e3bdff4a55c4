"""The numbers of a prediction are those of training and of plain formulas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from predict_files import read, shares
from slowly import slowly
from small_models import TARGETS, save_model
from torch import Tensor

from docclf.data.augment.batch import resize
from docclf.data.formats import read_page
from docclf.errors import ConfigError
from docclf.inference.ensemble import FoldEnsemble
from docclf.inference.folder import load_ensemble
from docclf.inference.predictor import Predictor
from docclf.metrics.calibration import with_temperature
from docclf.predict import predict
from docclf.train import train

Compose = Callable[..., DictConfig]


def test_the_numbers_are_those_of_training(cfg: DictConfig, compose_config: Compose, tmp_path: Path) -> None:
    cfg.refit = "folds"
    run, here = tmp_path / "run", tmp_path / "here"
    train(cfg, run)
    asked = [f"run='{run}'", f"data.root='{cfg.data.root}'", "device=cpu", "batch_size=4"]
    assert predict(compose_config(*asked, config="predict"), here) == 0
    _, *own = read(run / "predictions_test.csv")
    _, *mine = read(here / "predictions.csv")
    assert [row[0] for row in mine] == [row[0] for row in own] and len(mine) == 9
    assert np.allclose(shares(mine), [[float(share) for share in row[-3:]] for row in own], atol=1e-5)
    assert len({row[1] for row in mine}) > 1, "or there is nothing to compare"


@pytest.mark.parametrize("calibrated", [True, *slowly(False)])
@pytest.mark.parametrize("tta", ["none", "flips", "rotations"])
def test_probabilities_are_the_mean_over_members_and_views_each_calibrated(
    run_predict: Any, pages_root: Path, model: Path, tta: str, calibrated: bool
) -> None:
    rows = run_predict(pages_root, f"tta={tta}", f"calibrated={calibrated}")
    ensemble = load_ensemble(model / "model")
    views: dict[str, list[Callable[[Any], Any]]] = {
        "none": [lambda page: page],
        "flips": [lambda page: page, np.flipud, np.fliplr, lambda page: np.flipud(np.fliplr(page))],
        "rotations": [lambda page, n=n: np.rot90(page, n) for n in range(4)],
    }
    for row in rows:
        page = read_page(pages_root / "test" / row[0], 40)
        found = []
        for view in views[tta]:
            turned = np.array(view(page))  # before it is reduced, not after
            image = (resize(torch.from_numpy(turned)[None], 32) - ensemble.mean) / ensemble.std
            with torch.no_grad():
                found += [net(image).softmax(dim=1).numpy() for net in ensemble.nets]
        expected = np.mean([with_temperature(one, 1.7 if calibrated else 1) for one in found], axis=0)
        assert shares([row])[0] == pytest.approx(expected[0], abs=2e-3 if tta != "none" else 2e-6)
        best = int(expected[0].argmax())
        assert row[1] == TARGETS[best] and row[2] == row[3 + best] and row[-1] == ""


def test_every_view_makes_a_difference(run_predict: Any, pages_root: Path) -> None:
    found = [shares(run_predict(pages_root, f"tta={tta}")) for tta in ("none", "flips", "rotations")]
    assert min(abs(found[a] - found[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 0.01


def test_a_page_is_predicted_alike_in_any_batch(run_predict: Any, pages_root: Path) -> None:
    found = [shares(run_predict(pages_root, f"batch_size={size}")) for size in (64, 1, 5)]
    assert np.allclose(found[0], found[1], atol=2e-6) and np.allclose(found[0], found[2], atol=2e-6)


def test_a_grey_model_reads_grey_pages(run_predict: Any, pages_root: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "grey", channels=1, members=1, temperature=1.0)
    rows = run_predict(pages_root, run=tmp_path / "grey")
    page = read_page(pages_root / "test" / rows[0][0], 40, channels=1)
    with torch.no_grad():
        expected = load_ensemble(tmp_path / "grey")(resize(torch.tensor(page)[None], 32))
    assert shares(rows)[0] == pytest.approx(expected[0].numpy(), abs=1e-6)


# Memory


class Hungry(FoldEnsemble):
    """Has memory for so many pages."""

    def __init__(self, ensemble: FoldEnsemble, most: int) -> None:
        super().__init__(list(ensemble.nets), ensemble.description)
        self.most, self.tried = most, list[int]()

    def forward(self, images: Tensor, aspects: Tensor | None = None, *, calibrated: bool = False) -> Tensor:
        self.tried.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(images)} pages.")
        return super().forward(images, aspects, calibrated=calibrated)


def test_where_memory_runs_out_the_batch_is_halved_and_stays_so(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    ensemble = load_ensemble(model / "model")
    hungry, pages = Hungry(ensemble, 3), np.random.default_rng(0).integers(0, 256, (11, 40, 40, 3), dtype=np.uint8)
    predictor, aspects = Predictor(hungry), np.ones(11, np.float32)
    found = predictor([pages], aspects).probabilities
    assert hungry.tried == [11, 5, 2, 2, 2, 2, 2, 1]
    assert np.allclose(found, Predictor(ensemble)([pages], aspects).probabilities, atol=1e-6)
    hungry.tried.clear()
    predictor([pages[:4]], aspects[:4])
    assert hungry.tried == [2, 2] and "at most 2 pages at once" in caplog.text


def test_memory_for_no_page_at_all_is_an_error(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"memory for one page at a time on `device`, got: CUDA out of memory"):
        predictor = Predictor(Hungry(load_ensemble(model / "model"), 0))
        predictor([np.zeros((2, 40, 40, 3), dtype=np.uint8)], np.ones(2, np.float32))
