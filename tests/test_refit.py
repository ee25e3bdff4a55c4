"""The model that a run keeps: whose weights, of which epoch, and how far its probabilities can be believed."""

import csv
import functools
import signal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
import yaml
from hydra.utils import execution_whitelist
from numpy.typing import NDArray
from omegaconf import DictConfig
from optuna.distributions import FloatDistribution
from safetensors.torch import load_file
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import f1_score, log_loss

from docclf import crossval, ensemble
from docclf import train as module
from docclf.data.augment import BatchAugment, resize
from docclf.data.module import PageDataModule
from docclf.data.pages import read_csv
from docclf.ensemble import Ensemble, find_model, load_ensemble
from docclf.errors import DataError
from docclf.sweeper.trial import JobTrial
from docclf.train import TARGETS as ALLOWED
from docclf.train import train

FOLDS, EPOCHS = 3, 3


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = yaml.safe_load((run / "result.yaml").read_text(encoding="utf-8"))
    return result


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


def weights_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))}


def forgetful(cfg: DictConfig) -> DictConfig:
    """A training whose best epochs are not its last ones, and in which random numbers matter."""
    cfg = cfg.copy()
    cfg.validation.folds, cfg.validation.epochs = FOLDS, EPOCHS
    cfg.optimizer.lr, cfg.model.drop_rate = 1e-2, 0.2
    cfg.logger = {"_target_": "docclf.loggers.CsvLogger", "_partial_": True}
    return cfg


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
def runs(tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training with refit=folds, refit=all and refit=false."""
    root = tmp_path_factory.mktemp("runs")
    for refit in ("folds", "all", False):
        cfg = forgetful(tiny_config)
        cfg.refit, cfg.keep_checkpoints = refit, "none"  # which concerns searches alone
        with execution_whitelist(ALLOWED):
            train(cfg, root / str(refit))
    return {path.name: path for path in root.iterdir()}


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
    pages = resize(torch.from_numpy(data.data.train_images[np.arange(len(folds))]), 32)
    for fold in range(FOLDS):
        with torch.no_grad():
            found = Ensemble([whole.nets[fold]], whole.description)(pages).numpy()
        np.testing.assert_allclose(found[folds == fold], expected[folds == fold], atol=1e-5, rtol=0)
        assert np.abs(found[folds != fold] - expected[folds != fold]).max() > 1e-2, "of the others, other models"


def test_the_folder_says_what_the_model_is_and_how_good(runs: dict[str, Path], data: PageDataModule) -> None:
    described, result = load_ensemble(runs["folds"] / "model").description, result_of(runs["folds"])
    assert described.members == [f"fold_{fold}.safetensors" for fold in range(FOLDS)]
    assert described.backbone == "test_resnet" and described.targets == ["0", "7", "10"]
    assert described.class_names == ["invoice", "계약서", "letter of intent"]
    assert (described.image_size, described.channels) == (32, 3)
    assert described.decoded_size == data.data.train_images.images.shape[1] > 32
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
        found = model(resize(torch.from_numpy(grey.data.train_images[np.array(rows)]), 32)).numpy()
    assert set(folds) == {0}
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


# One model of all pages


def test_one_model_trains_as_long_as_the_best_models_of_the_folds_did_on_average(runs: dict[str, Path]) -> None:
    took = round(float(np.mean([epoch + 1 for epoch in best_epochs(runs["all"])])))
    assert took < EPOCHS, "or there is nothing to tell"
    checkpoint = torch.load(runs["all"] / "model" / "all.ckpt", weights_only=True)
    assert checkpoint["global_step"] == took * 3, "24 pages, 8 at a time"
    assert [*weights_of(runs["all"])] == ["all.safetensors"]
    saved = load_file(runs["all"] / "model" / "all.safetensors")
    assert all(torch.equal(checkpoint["state_dict"][f"net.{key}"], value) for key, value in saved.items())


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
    assert data.data.test_images is not None
    pages = resize(torch.from_numpy(data.data.test_images[np.arange(len(labels))]), 32)
    with torch.no_grad():
        raw = model(pages).numpy()
    expected = softmax(np.log(raw) / result_of(runs[refit])["calibration"]["temperature"], axis=1)
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


# Interruptions


class Interrupted:
    """The training of `runs`, ended at a step and begun again.

    Args:
        cfg: The tiny training.
        run: Its folder.
        patch: Ends it.
    """

    def __init__(self, cfg: DictConfig, run: Path, patch: pytest.MonkeyPatch) -> None:
        self.cfg, self.run, self.patch = forgetful(cfg), run, patch
        self.cfg.refit, self.cfg.logger = "folds", cfg.logger  # a table would be begun anew, with a warning
        self.fits = 0
        fit = crossval.fit

        def counted(*args: Any, **options: Any) -> Any:
            self.fits += 1
            return fit(*args, **options)

        patch.setattr(crossval, "fit", counted)

    def break_off(self, at: int) -> None:
        def broken(job: JobTrial, value: float, step: int) -> None:
            if step == at:
                raise KeyboardInterrupt

        handler = signal.getsignal(signal.SIGINT)
        with self.patch.context() as patch:
            patch.setattr(JobTrial, "report", broken)
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                train(self.cfg, self.run)
        signal.signal(signal.SIGINT, handler)
        assert result_of(self.run)["state"] == "INTERRUPTED" and not (self.run / "model").exists()

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.run / "resume").glob("*"))


@pytest.fixture
def interrupted(tiny_config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    return Interrupted(tiny_config, tmp_path / "run", monkeypatch)


@pytest.mark.parametrize("at", [3, 5, 7], ids=["in fold 2's first epoch", "in its last", "within fold 3"])
def test_weights_that_an_interrupted_run_keeps_are_those_of_an_undisturbed_one_bit_by_bit(
    at: int, interrupted: Interrupted, runs: dict[str, Path]
) -> None:
    interrupted.break_off(at)
    assert [name for name in interrupted.kept if name.startswith("fold_")] == [
        f"fold_{fold}.safetensors" for fold in range(at // EPOCHS)
    ]
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"])
    assert (interrupted.run / "oof.csv").read_bytes() == (runs["folds"] / "oof.csv").read_bytes()
    assert not (interrupted.run / "resume").exists()


def test_a_run_that_kept_no_weights_is_not_gone_on_with_by_one_that_must(
    interrupted: Interrupted, runs: dict[str, Path]
) -> None:
    interrupted.cfg.refit = False
    interrupted.break_off(5)
    assert interrupted.kept == ["folds.pt", "last.ckpt"]
    interrupted.cfg.refit = "folds"
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"])


def test_a_model_that_cannot_be_written_fails_the_run_and_costs_no_training_when_there_is_room(
    interrupted: Interrupted, runs: dict[str, Path]
) -> None:
    (interrupted.run).mkdir()
    (interrupted.run / "model").write_text("in its place")
    with pytest.raises(FileExistsError):
        train(interrupted.cfg, interrupted.run)
    assert interrupted.fits == FOLDS and result_of(interrupted.run)["state"] == "FAIL"
    assert result_of(interrupted.run)["cause"].startswith("FileExistsError")
    assert interrupted.kept == [*(f"fold_{fold}.safetensors" for fold in range(FOLDS)), "folds.pt"]
    (interrupted.run / "model").unlink()
    train(interrupted.cfg, interrupted.run)
    assert interrupted.fits == FOLDS, "nothing is trained again"
    assert weights_of(interrupted.run) == weights_of(runs["folds"]) and not (interrupted.run / "resume").exists()


def test_a_disk_that_is_full_after_the_first_fold_s_weights_loses_none(
    interrupted: Interrupted, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = ensemble.link

    def full(source: Path, target: Path) -> None:
        if "fold_1" in str(target):
            raise OSError(28, "No space left on device")
        link(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "link", full)
        with pytest.raises(OSError, match="No space left"):
            train(interrupted.cfg, interrupted.run)
    assert [*weights_of(interrupted.run)] == ["fold_0.safetensors"]
    with pytest.raises(DataError):
        find_model(interrupted.run)
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"]) and interrupted.fits == FOLDS


def test_a_disk_that_is_full_while_a_fold_s_weights_are_kept_costs_no_epoch(
    interrupted: Interrupted, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = crossval.save_weights

    def full(path: Path, weights: Any) -> None:
        if path.name == "fold_1.safetensors":
            raise OSError(28, "No space left on device")
        save(path, weights)

    with monkeypatch.context() as patch:
        patch.setattr(crossval, "save_weights", full)
        with pytest.raises(OSError, match="No space left"):
            train(interrupted.cfg, interrupted.run)
    assert interrupted.kept == ["fold_0.safetensors", "folds.pt", "last.ckpt"]
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"]) and not (interrupted.run / "resume").exists()


# In a search


@pytest.mark.parametrize(
    ("keep", "of_trials", "of_finalists"),
    [("winner", False, True), ("finalists", False, True), ("all", True, True), ("none", False, False)],
)
def test_keep_checkpoints_says_whose_models_a_search_keeps(
    keep: str, of_trials: bool, of_finalists: bool, cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg.validation.folds, cfg.keep_checkpoints, cfg.refit = 2, keep, "all"  # which concerns a run alone
    study = optuna.create_study(direction="maximize")
    for is_finalist, kept in ((False, of_trials), (True, of_finalists)):
        trial = study.ask({"optimizer.lr": FloatDistribution(1e-3, 1e-3)})
        if is_finalist:
            trial.set_user_attr("finalist", "0 validation.seed=1")
        monkeypatch.setattr(module, "current_trial", functools.partial(JobTrial, trial))
        run = tmp_path / str(is_finalist)
        train(cfg, run)
        members = ["fold_0.safetensors", "fold_1.safetensors"] if kept else []
        assert [*weights_of(run)] == members and (run / "model").exists() is kept
        result = result_of(run)
        assert "refit" not in result and not (run / "predictions_test.csv").exists(), "test pages guide no search"
        assert ("calibration" in result, (run / "label_issues.csv").exists()) == (is_finalist, is_finalist)
        assert not (run / "resume").exists()


def test_a_finalist_that_falls_behind_leaves_no_weights(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg.validation.folds, cfg.validation.report = 3, "fold"
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=2.0))
    trial = study.ask({"optimizer.lr": FloatDistribution(1e-3, 1e-3)})
    trial.set_user_attr("finalist", "0 validation.seed=1")
    monkeypatch.setattr(module, "current_trial", lambda: JobTrial(trial))
    assert train(cfg, tmp_path) is None
    assert result_of(tmp_path)["state"] == "PRUNED" and len(result_of(tmp_path)["folds"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.yaml"]
