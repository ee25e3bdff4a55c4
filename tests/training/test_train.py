"""One real training through the command's own function, and what it leaves in its folder."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from flat_pages import opened
from hydra.utils import execution_whitelist
from kept_weights import result_of
from omegaconf import DictConfig
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.metrics import f1_score
from slowly import slowly

from docclf.cli.preflight import preflight
from docclf.data.augment.batch import BatchAugment, resize
from docclf.data.cache.decoded import cache_size, load_pages
from docclf.data.folds import assign_folds
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv
from docclf.errors import DataError
from docclf.safety.targets import whitelist
from docclf.train import train

NAMES = ["invoice", "계약서", "letter of intent"]
TARGETS = ["0", "7", "10"]


def oof_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "oof.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[float | None, Path]:
    """Score and folder of a run with three folds, a CSV logger and a model on all pages."""
    cfg = tiny_config.copy()
    cfg.refit, cfg.validation.epochs, cfg.optimizer.lr = "all", 2, 3e-3
    cfg.logger = {"_target_": "docclf.loggers.CsvLogger", "_partial_": True}
    folder = tmp_path_factory.mktemp("trained")
    with execution_whitelist(whitelist()):  # the fixture that does this is one of a test; this one lives longer
        return train(cfg, folder), folder


MORE = ("calibration", "label_issues", "expected_score", "refit")


def test_the_result_has_the_folds_their_mean_and_their_spread(trained: tuple[float, Path]) -> None:
    score, folder = trained
    result = result_of(folder)
    assert list(result) == [
        "state",
        "params",
        "data",
        "tune",
        "weights",
        "hardware",
        "floors",
        "folds",
        "mean",
        "spread",
        "metrics",
        "passes",
        *MORE,
        "seconds",
    ]
    assert result["state"] == "COMPLETE" and result["params"] == {}
    assert (result["tune"], result["weights"]) == ("all", {"name": "test_resnet", "source": "random"})
    assert len(result["folds"]) == 3 and all(0 <= fold <= 1 for fold in result["folds"])
    assert result["mean"] == score == pytest.approx(np.mean(result["folds"]))
    assert result["spread"] == pytest.approx(np.std(result["folds"], ddof=1))
    assert 0 < result["seconds"] < 600


def test_every_page_is_predicted_once_by_the_fold_that_did_not_train_on_it(
    trained: tuple[float, Path], pages_root: Path
) -> None:
    data = opened(pages_root)
    rows, train_pages, order = oof_of(trained[1]), data.pages.train, data.order
    assert list(rows[0]) == ["ID", "target", "fold", *NAMES]
    assert [row["ID"] for row in rows] == train_pages.ids
    assert train_pages.labels is not None
    assert [row["target"] for row in rows] == [TARGETS[label] for label in train_pages.labels]
    folds = assign_folds(train_pages.labels[order], n_folds=3, seed=42, class_names=NAMES)
    assert [int(rows[i]["fold"]) for i in order] == folds.tolist(), "by the contents of the pages"
    probabilities = np.array([[float(row[name]) for name in NAMES] for row in rows])
    assert (probabilities >= 0).all() and probabilities.sum(axis=1) == pytest.approx(np.ones(24), abs=3e-6)


def test_the_scores_of_the_folds_follow_from_their_predictions(trained: tuple[float, Path]) -> None:
    rows = oof_of(trained[1])
    for fold, score in enumerate(result_of(trained[1])["folds"]):
        mine = [row for row in rows if row["fold"] == str(fold)]
        predicted = [TARGETS[int(np.argmax([float(row[name]) for name in NAMES]))] for row in mine]
        assert f1_score([row["target"] for row in mine], predicted, average="macro") == pytest.approx(score, abs=1e-6)


def test_pictures_and_metrics_are_written_and_nothing_in_part(trained: tuple[float, Path]) -> None:
    _, folder = trained
    for name in ("confusion.png", "confusion_test.png"):
        with Image.open(folder / name) as picture:
            picture.load()
            assert min(picture.size) > 100
    assert [(folder / f"fold_{fold}" / "metrics.csv").is_file() for fold in range(3)] == [True] * 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "confusion.png", "confusion_test.png", "fold_0", "fold_1", "fold_2", "folds.csv",
        "label_issues.csv", "model", "oof.csv", "predictions_test.csv", "reliability.png", "result.yaml",
    ]  # fmt: skip


def test_the_saved_model_gives_the_scores_that_the_test_pages_were_given(
    trained: tuple[float, Path], pages_root: Path
) -> None:
    folder = trained[1]
    weights = load_file(folder / "model" / "all.safetensors")
    net = timm.create_model("test_resnet", num_classes=3)
    net.load_state_dict(weights)

    data = PageDataModule(str(pages_root), reader=read_csv, augment=BatchAugment(), image_size=32)
    assert data.pages.test is not None and data.pages.test.labels is not None and data.dataset.test_images is not None
    images = resize(torch.from_numpy(data.dataset.test_images[np.arange(9)]), 32)
    labels = torch.from_numpy(data.pages.test.labels)
    cfg = net.pretrained_cfg
    mean, std = (torch.tensor(cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        logits = net.eval()((images - mean) / std)
    scores = result_of(folder)["refit"]
    assert scores["test/macro_f1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"), abs=1e-6)
    assert scores["test/accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    calibrated = logits.log_softmax(1) / result_of(folder)["calibration"]["temperature"]
    assert scores["test/loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(calibrated, labels)), rel=1e-3)


def test_the_same_command_gives_the_same_scores_and_another_seed_others(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.augment.degrees = 5
    cfg.model.drop_rate = 0.1
    scores = [train(cfg, tmp_path / name) for name in "ab"]
    assert scores[0] == scores[1]
    assert (tmp_path / "a" / "oof.csv").read_bytes() == (tmp_path / "b" / "oof.csv").read_bytes()
    cfg.seed = 1
    train(cfg, tmp_path / "c")
    assert (tmp_path / "a" / "oof.csv").read_bytes() != (tmp_path / "c" / "oof.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-true", *slowly("16-true", "64-true", "bf16-mixed")])
def test_a_net_of_any_precision_is_trained_and_gives_32_bit_numbers(
    precision: str, cfg: DictConfig, tmp_path: Path
) -> None:
    cfg.trainer.precision, cfg.model.class_weights, cfg.augment.mixup = precision, True, 0.2
    score = train(cfg, tmp_path)
    assert score is not None and 0 <= score <= 1
    rows = [[float(value) for value in list(row.values())[-3:]] for row in oof_of(tmp_path)]
    assert np.allclose(np.sum(rows, axis=1), 1, atol=1e-4)


def test_gradients_are_clipped_in_mixed_precision_too(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.precision, cfg.validation.run_folds = "bf16-mixed", 1
    assert cfg.optimizer.fused
    for name, bound in (("free", None), ("clipped", 0.01)):
        cfg.trainer.gradient_clip_val = bound
        assert train(cfg, tmp_path / name) is not None
    assert oof_of(tmp_path / "free") != oof_of(tmp_path / "clipped")


def test_a_single_split_scores_its_own_pages_alone(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.validation.folds, cfg.validation.run_folds = 4, 1
    score = train(cfg, tmp_path)
    result = result_of(tmp_path)
    assert result["folds"] == [score] and result["spread"] == 0
    assert {row["fold"] for row in oof_of(tmp_path)} == {"0"} and len(oof_of(tmp_path)) == 6


def test_without_test_labels_a_model_on_all_pages_is_saved_and_not_scored(
    cfg: DictConfig, tmp_path: Path, pages_root: Path
) -> None:
    root = tmp_path / "pages"
    root.mkdir()
    for name in ("train", "test", "train.csv", "meta.csv"):
        (root / name).symlink_to(pages_root / name)
    rows = (pages_root / "test.csv").read_text(encoding="utf-8").splitlines()
    (root / "test.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows), encoding="utf-8")
    cfg.data.root, cfg.refit, cfg.validation.run_folds = str(root), "all", 1
    train(cfg, tmp_path / "run")
    assert result_of(tmp_path / "run")["refit"] == {}
    assert (tmp_path / "run" / "model" / "all.safetensors").is_file()
    assert not (tmp_path / "run" / "confusion_test.png").exists()


@pytest.mark.slow
def test_training_may_start_from_a_file_of_weights(cfg: DictConfig, tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=11).state_dict()
    cfg.validation.run_folds, cfg.optimizer.lr, cfg.optimizer.weight_decay, cfg.refit = 1, 0.0, 0.0, "all"
    for name, save in (("weights.pth", torch.save), ("weights.safetensors", save_file)):
        save(state, tmp_path / name)
        cfg.model.checkpoint_path = str(tmp_path / name)
        train(cfg, tmp_path / "run")
        result = result_of(tmp_path / "run")
        assert result["weights"] == {"name": "test_resnet", "source": f"file {name}"}
        kept = "backbone" if result["kept"] == "head" else "all"
        weights = load_file(tmp_path / "run" / "model" / f"{kept}.safetensors")
        frozen = [key for key in state if not key.startswith("fc.")]
        assert all(torch.equal(weights[key], state[key]) for key in frozen), "a learning rate of 0 leaves them"


# Before a search


def test_preflight_decodes_the_pages_that_trials_will_read(cfg: DictConfig, tmp_path: Path, pages_root: Path) -> None:
    cfg.data.cache_dir = str(tmp_path)
    facts = preflight(cfg)
    assert (facts["pages"], facts["classes"]) == (24, 3)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert len(written) == 2, "the training and the test pages"
    load_pages(read_csv(pages_root).train.paths, cache_size(32, cfg.data.margin), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")} == written


def test_preflight_tells_other_folds_from_the_same(cfg: DictConfig) -> None:
    facts = preflight(cfg)
    assert preflight(cfg) == facts
    cfg.seed = 1
    assert preflight(cfg)["folds"] != facts["folds"] and preflight(cfg)["data"] == facts["data"]


def test_preflight_refuses_what_no_trial_could_train_on(cfg: DictConfig) -> None:
    cfg.validation.folds = 9
    with pytest.raises(DataError, match="at least 9 pages of every class"):
        preflight(cfg)


@pytest.mark.parametrize("tune", ["head", *slowly("all")])
def test_a_class_of_one_page_is_in_training_alone_and_never_scored(
    cfg: DictConfig, pages_root: Path, tmp_path: Path, tune: str
) -> None:
    root = tmp_path / "root"
    shutil.copytree(pages_root, root)
    Image.effect_noise((60, 80), 90).save(root / "train" / "alone.png")
    with (root / "train.csv").open("a", encoding="utf-8") as file:
        file.write("\nalone.png,99")
    with (root / "meta.csv").open("a", encoding="utf-8") as file:
        file.write("\n99,alone")
    cfg.data.root, cfg.refit, cfg.model.tune = str(root), "folds", tune
    with pytest.raises(DataError, match=r"got fewer of alone \(1\)\..*data\.rare_classes=train"):
        train(cfg, tmp_path / "refused")
    cfg.data.rare_classes = "train"
    train(cfg, tmp_path / "run")
    rows = oof_of(tmp_path / "run")
    assert len(rows) == 24 and "alone.png" not in {row["ID"] for row in rows} and "alone" in rows[0]
    assert "alone.png,-1" in (tmp_path / "run" / "folds.csv").read_text(encoding="utf-8")
    cfg.validation.split_file = str(tmp_path / "run" / "folds.csv")
    train(cfg, tmp_path / "again")
    assert oof_of(tmp_path / "again") == rows
    cfg.validation.split_file, cfg.data.rare_classes = None, "drop"
    train(cfg, tmp_path / "dropped")
    assert "alone" not in oof_of(tmp_path / "dropped")[0]
