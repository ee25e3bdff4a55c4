"""Runs from trained weights: a head alone, and nets that start from it and are kept where they are better."""

import csv
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from flat_pages import views_of_test_pages
from numpy.typing import NDArray
from omegaconf import DictConfig, open_dict
from safetensors.torch import load_file, save_file
from scipy.special import softmax
from slowly import slowly

from docclf.data.augment.batch import BatchAugment
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv
from docclf.errors import ConfigError
from docclf.export_model import export_model
from docclf.inference.folder import load_ensemble
from docclf.models.frozen.cache import FeatureCache
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.head import HeadOptions, fit_head, reduce
from docclf.predict import predict
from docclf.sweeper import current_trial
from docclf.sweeper.job.trial import JobTrial
from docclf.train import train
from docclf.training.folds.average import FoldAverage
from docclf.training.parts import prepare

Compose = Callable[..., DictConfig]
Floats = NDArray[np.float64]


@pytest.fixture
def tuned(cfg: DictConfig, weights_file: Path) -> DictConfig:
    """A tiny run from trained weights."""
    cfg.model.checkpoint_path, cfg.model.tune, cfg.refit = str(weights_file), "head", "folds"
    cfg.data.image_size = 64
    return cfg


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = yaml.safe_load((run / "result.yaml").read_text(encoding="utf-8"))
    return result


def table(path: Path, first: int) -> Floats:
    """Probabilities of each row of a CSV file, from a column on."""
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return np.array([row[first : first + 3] for row in rows], float)


def predicted(compose_config: Compose, run: Path, root: str, here: Path) -> Floats:
    assert predict(compose_config(f"run='{run}'", f"data.root='{root}'", "device=cpu", config="predict"), here) == 0
    return table(here / "predictions.csv", 3)


class ByHand:
    """Features of a run's pages, computed without the run.

    Args:
        cfg: Of the run.
        cache: Where they are kept.
    """

    def __init__(self, cfg: DictConfig, cache: Path) -> None:
        self.data = PageDataModule(
            cfg.data.root, reader=read_csv, augment=BatchAugment(), image_size=64, fit=cfg.data.fit,
            near_duplicates=None, cache_dir=str(cache),
        )  # fmt: skip
        head = cfg.model.head
        self.options = HeadOptions(C=head.C, sqrt=head.sqrt, second_order=head.second_order)
        self.cache = FeatureCache(
            FrozenBackbone("test_resnet", 64, checkpoint_path=cfg.model.checkpoint_path), **self.data.places
        )
        self.train = self.cache.load(self.data.train_views, self.options)
        self.test = self.cache.load(views_of_test_pages(self.data), self.options).values

    def probabilities(self, rows: NDArray[np.int64], features: NDArray[np.float32], temperature: float = 1) -> Floats:
        values = self.train.values[rows]
        reduced = reduce(values, self.train.weights)
        head = fit_head(values, self.data.labels[rows], 3, C=self.options.C, reduced=reduced)
        found: Floats = softmax((features @ head.weight.T + head.bias) / temperature, axis=1)
        return found


# A head alone


@pytest.mark.parametrize("fit", ["letterbox", *slowly("squeeze")])
def test_a_head_is_scored_kept_and_predicts_what_it_predicts_by_hand(
    tuned: DictConfig, fit: str, compose_config: Compose, tmp_path: Path
) -> None:
    tuned.data.fit, tuned.trainer.precision = fit, "bf16-mixed"  # of nets alone: heads see what predicting computes
    run = tmp_path / "run"
    score = train(tuned, run)
    hand, result = ByHand(tuned, tmp_path / "cache"), result_of(run)
    assert (result["state"], result["tune"]) == ("COMPLETE", "head") and result["mean"] == score
    assert result["weights"] == {"name": "test_resnet", "source": "file test_resnet.safetensors"}
    assert list(result["floors"]) == ["pixels", "features"] and not {"kept", "kept_scores"} & set(result)
    assert result["metrics"]["parameters"] == 3 * (hand.train.values.shape[1] + 1)

    with (run / "oof.csv").open(encoding="utf-8", newline="") as file:
        folds = np.array([int(row["fold"]) for row in csv.DictReader(file)])
    oof = table(run / "oof.csv", 3)
    for fold in range(3):
        rows = np.flatnonzero(folds == fold)
        expected = hand.probabilities(np.flatnonzero(folds != fold), hand.train.values[rows])
        np.testing.assert_allclose(oof[rows], expected, atol=1e-5)

    assert sorted(path.name for path in (run / "model").iterdir()) == [
        "backbone.safetensors", "doubt.npz", "head.safetensors", "model.yaml",
    ]  # fmt: skip
    assert not (run / "resume").exists()
    temperature = result["calibration"]["temperature"]
    expected = hand.probabilities(np.arange(24), hand.test, temperature)
    mine = predicted(compose_config, run, tuned.data.root, tmp_path / "here")
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    np.testing.assert_allclose(table(run / "predictions_test.csv", 2), expected, atol=1e-5)
    assert load_ensemble(run / "model").description.fit == fit and temperature != 1


def test_a_net_starts_from_the_largest_pages_in_whatever_order_they_are_listed(
    tuned: DictConfig, tmp_path: Path
) -> None:
    def start(*scales: float) -> NDArray[np.float32]:
        tuned.model.head.scales = list(scales)
        return prepare(tuned, tmp_path, current_trial()).heads.fit_start(np.arange(24)).weight

    first, small, full = start(0.5, 1.0), start(0.5), start(1.0)
    assert np.array_equal(first, full) and not np.allclose(first, small)


def test_a_head_on_pixels_needs_no_backbone(tuned: DictConfig, compose_config: Compose, tmp_path: Path) -> None:
    tuned.model.name, tuned.model.checkpoint_path = "pixels", None
    run = tmp_path / "run"
    train(tuned, run)
    result = result_of(run)
    assert list(result["floors"]) == ["pixels"] and result["metrics"]["parameters"] == 3 * (576 + 1 + 1)
    assert sorted(path.name for path in (run / "model").iterdir()) == ["doubt.npz", "head.safetensors", "model.yaml"]
    mine = predicted(compose_config, run, tuned.data.root, tmp_path / "here")
    np.testing.assert_allclose(mine, table(run / "predictions_test.csv", 2), atol=1e-5)


@pytest.mark.parametrize("options", [{"aspect": False}, *slowly({"stages": False}, {"scales": [0.5]}, {"views": 1})])
def test_a_head_that_sees_less_or_more_is_kept_as_it_is(
    tuned: DictConfig, options: dict[str, Any], compose_config: Compose, tmp_path: Path
) -> None:
    tuned.model.head = {**tuned.model.head, **options}
    tuned.augment.brightness = 0.3
    run = tmp_path / "run"
    train(tuned, run)
    mine = predicted(compose_config, run, tuned.data.root, tmp_path / "here")
    np.testing.assert_allclose(mine, table(run / "predictions_test.csv", 2), atol=1e-5)
    assert np.ptp(mine[:, 0]) > 0.1, "or there is nothing to compare"


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["squeeze", "letterbox"])
def test_onnx_runtime_predicts_what_a_head_does_and_the_lines_of_the_readme_run(
    tuned: DictConfig, fit: str, compose_config: Compose, tmp_path: Path
) -> None:
    import onnxruntime

    tuned.data.fit = fit
    run, here = tmp_path / "run", tmp_path / "here"
    train(tuned, run)
    folder = export_model(compose_config(f"run='{run}'", f"pages='{tuned.data.root}/test'", config="export_model"))
    hand, temperature = ByHand(tuned, tmp_path / "cache"), result_of(run)["calibration"]["temperature"]
    images, aspects = views_of_test_pages(hand.data)(np.arange(9))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for given in (aspects.numpy(), 1 / aspects.numpy()):
        features = np.array(hand.test)
        features[:, -1] = np.log(given)
        (found,) = session.run(None, {"images": images.numpy(), "aspects": given})
        expected = hand.probabilities(np.arange(24), features, temperature)
        np.testing.assert_allclose(found, expected, atol=1e-4)

    here.mkdir()
    shutil.copy(folder / "model.onnx", here)
    page = next(path for path in sorted(Path(tuned.data.root, "test").iterdir()) if path.suffix == ".png")
    shutil.copy(page, here / "page.png")
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", code], cwd=here, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    (mine,) = predicted(compose_config, folder, str(here), tmp_path)
    assert float(done.stdout.rpartition(" ")[2]) == pytest.approx(mine.max(), abs=1e-2)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "test_resnet, a head on frozen features, made with docclf" in readme


# Nets that start from it


def fine_tuned(tuned: DictConfig, tune: str) -> DictConfig:
    tuned.model.tune, tuned.validation.epochs, tuned.optimizer.lr = tune, 3, 3e-3
    return tuned


@pytest.mark.parametrize("lr", [1.0, *slowly(3e-3)])
def test_a_run_that_fine_tunes_never_keeps_less_than_its_head(tuned: DictConfig, lr: float, tmp_path: Path) -> None:
    head = train(tuned, tmp_path / "head")
    cfg = fine_tuned(tuned, "last")
    cfg.optimizer.lr, cfg.refit = lr, False
    mean, result = train(cfg, tmp_path / "last"), result_of(tmp_path / "last")
    assert list(result["kept_scores"]) == ["head", "average", "net"]
    assert result["kept_scores"]["head"] == pytest.approx(head), "that of the run of a head alone"
    assert mean == result["mean"] == max(result["kept_scores"].values()) == result["kept_scores"][result["kept"]]
    assert mean >= head


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has a candidate kept, whatever the scores."""
    return lambda kind: monkeypatch.setattr(FoldAverage, "kept", property(lambda _: kind))


@pytest.mark.parametrize("refit", ["folds", *slowly("all")])
@pytest.mark.parametrize("kind", ["average", *slowly("head", "net")])
def test_what_is_kept_is_what_predicts(
    tuned: DictConfig, kind: str, refit: str, keep: Any, compose_config: Compose, tmp_path: Path
) -> None:
    keep(kind)
    cfg, run = fine_tuned(tuned, "all"), tmp_path / "run"
    cfg.refit = refit
    train(cfg, run)
    members = {"folds": [f"fold_{fold}.safetensors" for fold in range(3)], "all": ["all.safetensors"]}[refit]
    members = [] if kind == "head" else members
    of_head = ["backbone.safetensors", "head.safetensors"]  # of a net, to know pages that are unlike all others
    names = sorted(path.name for path in (run / "model").glob("*.safetensors"))
    assert names == sorted([*members, *of_head])

    hand, temperature = ByHand(cfg, tmp_path / "cache"), result_of(run)["calibration"]["temperature"]
    images, _ = views_of_test_pages(hand.data)(np.arange(9))
    own = hand.probabilities(np.arange(24), hand.test)
    parts = []
    for name in members:
        net = timm.create_model("test_resnet", num_classes=3).eval()
        net.load_state_dict(load_file(run / "model" / name))
        with torch.no_grad():
            alone = net((images - 0.5) / 0.5).softmax(dim=1).numpy()
        parts.append(alone if kind == "net" else (alone + own) / 2)
    expected = np.mean([softmax(np.log(part) / temperature, axis=1) for part in parts or [own]], axis=0)
    mine = predicted(compose_config, run, cfg.data.root, tmp_path / "here")
    np.testing.assert_allclose(mine, expected, atol=2e-5)


def test_what_other_weights_trained_is_left_alone(tuned: DictConfig, weights_file: Path, tmp_path: Path) -> None:
    """Of a file that was replaced, or of a hub that could not be reached before."""
    file = tmp_path / "weights.safetensors"
    tuned.model.checkpoint_path, tuned.model.tune = str(file), "last"

    def key() -> str:
        return prepare(tuned, tmp_path, current_trial()).trainer.checkpoints.key

    shutil.copy(weights_file, file)
    first = key()
    save_file({name: 2 * values for name, values in load_file(weights_file).items()}, file)
    others = key()
    shutil.copy(weights_file, file)
    assert key() == first != others


def break_off(cfg: DictConfig, run: Path, at: int, patch: pytest.MonkeyPatch) -> None:
    """A training that is interrupted at a step."""

    def broken(job: JobTrial, value: float, step: int) -> None:
        if step == at:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with patch.context() as context:
        context.setattr(JobTrial, "report", broken)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(cfg, run)
    signal.signal(signal.SIGINT, handler)
    assert result_of(run)["state"] == "INTERRUPTED"


@pytest.mark.slow
@pytest.mark.parametrize("max_batch_size", [None, 4])
def test_an_interrupted_run_comes_to_the_same_as_an_undisturbed_one(
    tuned: DictConfig, max_batch_size: int | None, keep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("average")
    cfg = fine_tuned(tuned, "last")
    # A poor head and large steps: in some folds the first epoch is the best, in others the second or third.
    cfg.model.head.C, cfg.optimizer.lr, cfg.data.image_size = 1e-6, 0.1, 32
    cfg.model.ema, cfg.model.drop_rate, cfg.validation.max_batch_size = 0.5, 0.2, max_batch_size
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    train(cfg, whole)
    for at in (1, 5, 6):  # within the first fold, at the end of the second, at the beginning of the third
        break_off(cfg, interrupted, at, monkeypatch)
    train(cfg, interrupted)
    expected, found = result_of(whole), result_of(interrupted)
    for key in ("folds", "mean", "kept", "kept_scores", "floors", "calibration"):
        assert found[key] == expected[key], key
    assert (interrupted / "oof.csv").read_bytes() == (whole / "oof.csv").read_bytes()
    for path in (whole / "model").glob("*.safetensors"):
        assert (interrupted / "model" / path.name).read_bytes() == path.read_bytes(), path.name
    parameters = sum(p.numel() for p in timm.create_model("test_resnet", num_classes=3).parameters())
    assert expected["metrics"]["parameters"] == parameters, "those of the moving average are not counted"


# Configs of before


@pytest.mark.slow
def test_a_config_of_before_trains_as_it_did(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.model.batch_norm = "epoch"
    train(cfg, tmp_path / "now")
    with open_dict(cfg):
        for key in ("tune", "head", "layer_decay", "batch_norm", "ema"):
            del cfg.model[key]
        del cfg.data["fit"]
        cfg.model.epoch_batch_norm = True
    train(cfg, tmp_path / "before")
    assert (tmp_path / "now" / "oof.csv").read_bytes() == (tmp_path / "before" / "oof.csv").read_bytes()
    result = result_of(tmp_path / "before")
    assert result["tune"] == "all" and "kept" not in result


def test_a_backbone_that_is_none_is_refused_before_anything_is_trained(tuned: DictConfig, tmp_path: Path) -> None:
    tuned.model.name = "resnet_of_tomorrow"
    with pytest.raises(ConfigError, match=r"Expected the name of a timm model in `model\.name`, got"):
        train(tuned, tmp_path)


# Classes of few pages


def test_classes_weigh_alike_unless_told_otherwise(tuned: DictConfig, tmp_path: Path) -> None:
    shutil.copytree(tuned.data.root, tmp_path / "uneven")
    header, *rows = (tmp_path / "uneven" / "train.csv").read_text(encoding="utf-8").splitlines()
    few = rows[0].rpartition(",")[2]
    kept = [row for i, row in enumerate(rows) if row.rpartition(",")[2] != few or i < 3]
    (tmp_path / "uneven" / "train.csv").write_text("\n".join([header, *kept]), encoding="utf-8")
    tuned.data.root = str(tmp_path / "uneven")

    def weights_of() -> tuple[Floats, torch.Tensor | None]:
        parts = prepare(tuned, tmp_path, current_trial())
        return parts.heads.fit(np.arange(len(kept))).bias.astype(float), parts.trainer.build_model().class_weights

    alike, of_net = weights_of()
    assert of_net is not None and of_net.max() > 2 * of_net.min()
    tuned.data.balance = "sampler"  # draws them alike for a net, not for a head
    drawn, of_net = weights_of()
    assert of_net is None and np.array_equal(alike, drawn)
    tuned.data.balance, tuned.model.class_weights = "none", False
    plain, of_net = weights_of()
    assert of_net is None and not np.allclose(alike, plain, atol=0.01)
