"""The model that a run keeps: whose weights, of which epoch, and how far its probabilities can be believed."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from kept_weights import EPOCHS, FOLDS, forgetful, result_of, weights_of
from numpy.typing import NDArray
from omegaconf import DictConfig
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import f1_score, log_loss

from docclf.data.augment.batch import BatchAugment, resize
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv
from docclf.errors import DataError
from docclf.inference.ensemble import FoldEnsemble
from docclf.inference.folder import find_model, load_ensemble
from docclf.train import train


def predictions(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Class index, probabilities and fold (or 0) of each row."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    first = 3 if header[2] == "fold" else 2
    labels = np.array([["0", "7", "10"].index(row[1]) for row in rows])
    return (
        labels,
        np.array([row[first:] for row in rows], float),
        np.array([int(row[2]) if first == 3 else 0 for row in rows]),
    )


def best_epochs(run: Path) -> list[int]:
    """Of each fold, by the logger's table."""
    found = []
    for fold in range(FOLDS):
        with (run / f"fold_{fold}" / "metrics.csv").open(encoding="utf-8", newline="") as file:
            scores = [float(row["val/macro_f1"]) for row in csv.DictReader(file) if row.get("val/macro_f1")]
        assert len(scores) == EPOCHS
        found.append(int(np.argmax(scores)))
    return found


@pytest.fixture(scope="module")
def data(pages_root: Path) -> PageDataModule:
    return PageDataModule(str(pages_root), reader=read_csv, augment=BatchAugment(), image_size=32)


# The folds' models


def test_each_fold_s_model_gives_the_probabilities_that_its_own_pages_were_given(
    runs: dict[str, Path], data: PageDataModule
) -> None:
    assert any(epoch < EPOCHS - 1 for epoch in best_epochs(runs["folds"])), "or the last weights would do"
    whole = load_ensemble(runs["folds"] / "model")
    _, expected, folds = predictions(runs["folds"] / "oof.csv")
    pages = resize(torch.from_numpy(data.dataset.train_images[np.arange(len(folds))]), 32)
    for fold in range(FOLDS):
        with torch.no_grad():
            found = FoldEnsemble([whole.nets[fold]], whole.description)(pages).numpy()
        np.testing.assert_allclose(found[folds == fold], expected[folds == fold], atol=1e-5, rtol=0)
        assert np.abs(found[folds != fold] - expected[folds != fold]).max() > 1e-2, "of the others, other models"


def test_the_folder_says_what_the_model_is_and_how_good(runs: dict[str, Path], data: PageDataModule) -> None:
    described, result = load_ensemble(runs["folds"] / "model").description, result_of(runs["folds"])
    assert described.members == [f"fold_{fold}.safetensors" for fold in range(FOLDS)]
    assert described.backbone == "test_resnet" and described.targets == ["0", "7", "10"]
    assert described.class_names == ["invoice", "계약서", "letter of intent"]
    assert (described.image_size, described.channels) == (32, 3)
    assert described.decoded_size == data.dataset.train_images.array.shape[1] > 32
    assert described.temperature == result["calibration"]["temperature"] != 1
    assert described.source["folds"] == result["folds"] and described.source["macro_f1"] == result["mean"]
    assert described.source["data"] == result["data"]["fingerprint"]


def test_what_is_kept_changes_no_score(runs: dict[str, Path]) -> None:
    assert {(run / "oof.csv").read_bytes() for run in runs.values()} == {(runs["all"] / "oof.csv").read_bytes()}
    assert len({str(result_of(run)["folds"]) for run in runs.values()}) == 1


def test_without_refit_there_is_no_model_and_nothing_of_the_folds_is_left(runs: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="its run kept no weights"):
        find_model(runs["False"])
    assert not (runs["False"] / "model").exists() and "refit" not in result_of(runs["False"])
    assert not [path for run in runs.values() for path in run.rglob("resume")]


def test_grey_pages_train_a_model_of_one_channel_that_gives_their_probabilities(
    tiny_config: DictConfig, tmp_path: Path, pages_root: Path
) -> None:
    cfg = forgetful(tiny_config)
    cfg.refit, cfg.data.channels, cfg.validation.run_folds, cfg.logger = "folds", 1, 1, tiny_config.logger
    train(cfg, tmp_path)
    grey = PageDataModule(str(pages_root), reader=read_csv, augment=BatchAugment(), image_size=32, channels=1)
    model = load_ensemble(tmp_path / "model")
    assert model.description.channels == 1 and len(model.description.mean) == 1
    _, expected, folds = predictions(tmp_path / "oof.csv")
    with (tmp_path / "oof.csv").open(encoding="utf-8", newline="") as file:
        rows = [grey.pages.train.ids.index(row["ID"]) for row in csv.DictReader(file)]
    with torch.no_grad():
        found = model(resize(torch.from_numpy(grey.dataset.train_images[np.array(rows)]), 32)).numpy()
    assert set(folds) == {0}
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


# One model of all pages


def test_one_model_trains_as_long_as_the_best_models_of_the_folds_did_on_average(
    runs: dict[str, Path], steps: list[int]
) -> None:
    took = round(float(np.mean([epoch + 1 for epoch in best_epochs(runs["all"])])))
    assert took < EPOCHS, "or there is nothing to tell"
    assert steps[2 * FOLDS] == took * 3, "24 pages, 8 at a time, after the folds of both runs"
    assert [*weights_of(runs["all"])] == ["all.safetensors"]


@pytest.mark.parametrize("refit", ["folds", "all"])
def test_test_scores_are_those_of_the_predictions_that_are_written(
    refit: str, runs: dict[str, Path], data: PageDataModule
) -> None:
    labels, probabilities, _ = predictions(runs[refit] / "predictions_test.csv")
    scores = result_of(runs[refit])["refit"]
    predicted = probabilities.argmax(axis=1)
    assert scores["test/macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert scores["test/accuracy"] == pytest.approx((predicted == labels).mean())
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    assert scores["test/loss"] == pytest.approx(log_loss(labels, shares, labels=[0, 1, 2]), rel=1e-3)
    assert scores["test/calibration_error"] == pytest.approx(calibration_error(probabilities, labels), abs=1e-5)

    model = load_ensemble(runs[refit] / "model")
    assert data.dataset.test_images is not None
    pages = resize(torch.from_numpy(data.dataset.test_images[np.arange(len(labels))]), 32)
    with torch.no_grad():
        raw = [FoldEnsemble([net], model.description)(pages).numpy() for net in model.nets]
    t = result_of(runs[refit])["calibration"]["temperature"]
    expected = np.mean([softmax(np.log(member) / t, axis=1) for member in raw], axis=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5, rtol=0)


# How far to believe it


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 15) -> float:
    """Guo et al. 2017, equation 3."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    error = 0.0
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(error)


def temperature(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Where the mean negative log-likelihood is least, were 1 page in n + 2 of its likeliest wrong class."""
    logits, rows = np.log(np.maximum(probabilities, 5e-7)), np.arange(len(labels))
    wrong = np.where(np.eye(3, dtype=bool)[labels], -np.inf, logits).argmax(axis=1)
    share = 1 / (len(labels) + 2)

    def loss(log_t: float) -> float:
        nll = -log_softmax(logits / np.exp(log_t), axis=1)
        return float((1 - share) * nll[rows, labels].mean() + share * nll[rows, wrong].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-6}).x))


def test_temperature_and_calibration_errors_follow_from_the_out_of_fold_predictions(runs: dict[str, Path]) -> None:
    labels, probabilities, folds = predictions(runs["folds"] / "oof.csv")
    found = result_of(runs["folds"])["calibration"]
    assert found["temperature"] == pytest.approx(temperature(probabilities, labels), rel=1e-2)
    assert found["error_before"] == pytest.approx(calibration_error(probabilities, labels), abs=1e-5)
    crossed = np.empty_like(probabilities)
    for fold in range(FOLDS):
        t = temperature(probabilities[folds != fold], labels[folds != fold])
        logits = np.log(np.maximum(probabilities[folds == fold], 1e-12))
        crossed[folds == fold] = softmax(logits / t, axis=1)
    assert found["error_after"] == pytest.approx(calibration_error(crossed, labels), abs=5e-3)
    assert found == result_of(runs["False"])["calibration"], "whatever is kept"
