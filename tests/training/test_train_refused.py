"""Trainings that cannot work, and what they leave and say."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kept_weights import result_of
from omegaconf import DictConfig, OmegaConf

from docclf.errors import ConfigError, DataError, NonFiniteLossError
from docclf.train import train


def test_a_loss_that_is_not_finite_fails_the_run_with_that_cause(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.optimizer.lr = 1e30
    with pytest.raises(NonFiniteLossError, match=r"loss became (nan|inf) in epoch 1"):
        train(cfg, tmp_path)
    result = result_of(tmp_path)
    assert result["state"] == "FAIL" and result["cause"].startswith("NonFiniteLossError: The ")
    assert "mean" not in result and result["seconds"] > 0
    assert not (tmp_path / "oof.csv").exists()


def test_a_model_on_all_pages_that_breaks_fails_the_run_and_keeps_the_folds(cfg: DictConfig, tmp_path: Path) -> None:
    (tmp_path / "model" / "all.safetensors").mkdir(parents=True)  # so that saving the model cannot succeed
    cfg.refit, cfg.validation.run_folds = "all", 1
    with pytest.raises(IsADirectoryError):
        train(cfg, tmp_path)
    result = result_of(tmp_path)
    assert result["state"] == "FAIL" and result["cause"].startswith("IsADirectoryError")
    assert len(result["folds"]) == 1 and (tmp_path / "oof.csv").is_file()
    assert not list(tmp_path.glob(".*partial*"))


def test_a_search_without_m_is_refused_and_begins_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "docclf.train", "hparams_search=optuna"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "ConfigError: Expected -m with hparams_search=optuna, which makes this a search, got none. "
        "Say python -m docclf.train -m hparams_search=optuna ...\n"
    )
    assert not (tmp_path / "multirun").exists() and not (tmp_path / "data").exists()


def test_a_run_says_at_its_end_what_came_out_and_where(
    cfg: DictConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    train(cfg, tmp_path)
    result = result_of(tmp_path)
    folds = ", ".join(f"{score:.3f}" for score in result["folds"])
    pooled = result["metrics"]["macro_f1_pooled"]
    assert caplog.messages[-1] == f"macro-F1 {result['mean']:.3f} (folds {folds}; pooled {pooled:.3f}), in {tmp_path}"


def test_a_run_says_that_its_test_pages_leak_and_that_labels_contradict(
    cfg: DictConfig, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    root = tmp_path / "pages"
    shutil.copytree(pages_root, root)
    header, *rows = (root / "train.csv").read_text(encoding="utf-8").splitlines()
    first = rows[0].split(",")[0]
    other = next(row.split(",")[1] for row in rows if row.split(",")[1] != rows[0].split(",")[1])
    shutil.copy(root / "train" / first, root / "train" / "again.png")
    (root / "train.csv").write_text("\n".join([header, *rows, f"again.png,{other}"]), encoding="utf-8")
    leaked = (root / "test.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    shutil.copy(root / "train" / first, root / "test" / leaked)
    cfg.data.root, cfg.data.near_duplicates = str(root), 0
    train(cfg, tmp_path / "run")
    assert "Near-duplicates of different classes: 1; python -m docclf.data names them" in caplog.messages
    assert "Test pages that are near-duplicates of training pages: " in caplog.text


@pytest.mark.parametrize("refit", ["bogus", True, "folds "])
def test_an_unknown_refit_is_refused_before_any_training(cfg: DictConfig, tmp_path: Path, refit: object) -> None:
    cfg.refit = refit
    with pytest.raises(ConfigError, match=rf"Expected `refit` to be one of all, folds, distill, false, got {refit}\."):
        train(cfg, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("model.name", "efficientnet_b33", ConfigError, r"got `efficientnet_b33`\. Nearest: efficientnet_b3,"),
        ("model.checkpoint_path", "/nowhere.pth", ConfigError, r"`model\.checkpoint_path` .*, got /nowhere\.pth"),
        (
            "validation.folds",
            1,
            ConfigError,
            r"`validation\.folds` to be at least 2 and at most 1,000, got 1\. Use validation=holdout",
        ),
        ("validation.folds", 9, DataError, r"got fewer of invoice \(8\), 계약서 \(8\), letter of intent \(8\)"),
        ("validation.epochs", 0, ConfigError, r"`validation\.epochs` to be at least 1 and at most 100,000, got 0"),
        ("validation.epochs", "two", ConfigError, r"`validation\.epochs` to be a whole number, got two"),
        ("validation.folds", 2.5, ConfigError, r"`validation\.folds` to be a whole number, got 2\.5"),
        ("data.batch_size", 0, ConfigError, r"`data\.batch_size` to be at least 1, got 0"),
        ("data.image_size", 0, ConfigError, r"`data\.image_size` to be at least 8 and at most 4,096, got 0"),
        ("data.margin", 0.5, ConfigError, r"`data\.margin` to be at least 1 and at most 8, got 0\.5"),
        ("optimizer.lr", "abc", ConfigError, r"`optimizer\.lr` to be a number, got abc"),
        ("optimizer.lr", True, ConfigError, r"`optimizer\.lr` to be a number, got True"),
        ("optimizer.weight_decay", -1, ConfigError, r"`optimizer\.weight_decay` to be at least 0, got -1"),
        ("model.drop_rate", 1.5, ConfigError, r"`model\.drop_rate` to be at least 0 and below 1, got 1\.5"),
        ("model.label_smoothing", 1, ConfigError, r"`model\.label_smoothing` to be at least 0 and below 1, got 1"),
        ("data.root", "???", ConfigError, r"`data\.root`, the folder of the pages, got no value\. Say data\.root=DIR"),
        ("data.root", "/nowhere", DataError, r"train\.csv with columns ID,target in `data\.root`=/nowhere"),
        ("results.pickle", "yes", ConfigError, r"`results\.pickle` to be true or false, got yes"),
    ],
)
def test_a_config_that_cannot_work_is_refused_with_the_key_and_the_way_out(
    cfg: DictConfig, tmp_path: Path, key: str, value: object, error: type[Exception], message: str
) -> None:
    OmegaConf.update(cfg, key, value)
    with pytest.raises(error, match=message):
        train(cfg, tmp_path)
