"""One model that learns what another run predicts."""

import csv
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from kept_weights import forgetful, result_of
from numpy.typing import NDArray
from omegaconf import DictConfig
from sklearn.metrics import f1_score

from docclf.data.module import PageDataModule
from docclf.errors import ConfigError, DataError
from docclf.results.quality.comparison import compare_runs
from docclf.train import train
from docclf.training.distillation import read_teacher

TARGETS = ["0", "7", "10"]


def read(run: Path) -> tuple[list[str], list[list[str]]]:
    with (run / "oof.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def write(run: Path, header: list[str], rows: list[list[str]]) -> None:
    with (run / "oof.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def probabilities(run: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    _, rows = read(run)
    return np.array([TARGETS.index(row[1]) for row in rows]), np.array([row[3:] for row in rows], dtype=np.float64)


@pytest.fixture
def teacher(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A run that is always sure of the class after the right one."""
    folder = tmp_path / "teacher"
    shutil.copytree(runs["folds"], folder)
    header, rows = read(folder)
    for row in rows:
        row[3:] = [str(float(i == (TARGETS.index(row[1]) + 1) % 3)) for i in range(3)]
    write(folder, header, rows)
    return folder


@pytest.mark.slow
def test_a_student_learns_what_its_teacher_predicts_and_keeps_one_net(
    tiny_config: DictConfig, teacher: Path, runs: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg, student = forgetful(tiny_config), tmp_path / "student"
    cfg.refit, cfg.teacher = "distill", str(teacher)
    caplog.set_level("INFO")
    train(cfg, student)
    labels, found = probabilities(student)
    _, before = probabilities(runs["all"])
    pages = np.arange(len(labels))
    assert found[pages, (labels + 1) % 3].mean() > before[pages, (labels + 1) % 3].mean() + 0.1
    assert [path.name for path in (student / "model").glob("*.safetensors")] == ["all.safetensors"]

    said = result_of(student)["distilled"]
    assert said["macro_f1"] == pytest.approx(f1_score(labels, found.argmax(axis=1), average="macro"))
    assert said["teacher"] == 0.0 and said["difference"]["value"] == pytest.approx(said["macro_f1"])
    assert f"  {said['text']}" in caplog.messages
    assert said["text"].startswith(f"distilled: {said['macro_f1']:.3f} over 24 pages out of fold, its teacher 0.000: +")
    assert said["text"].partition("0.000: ")[2] in compare_runs(teacher, student)


@pytest.mark.slow
def test_what_has_learnt_is_kept_though_the_head_scores_better(
    cfg: DictConfig, teacher: Path, weights_file: Path, tmp_path: Path
) -> None:
    cfg.model.checkpoint_path, cfg.data.image_size, cfg.optimizer.lr = str(weights_file), 64, 10.0
    cfg.refit = "all"
    train(cfg, tmp_path / "alone")
    assert result_of(tmp_path / "alone")["kept"] == "head", "or the head is no better"
    cfg.refit, cfg.teacher = "distill", str(teacher)
    train(cfg, tmp_path / "student")
    result = result_of(tmp_path / "student")
    assert result["kept"] == "net" and result["distilled"]["run"] == str(teacher)
    assert (tmp_path / "student" / "model" / "all.safetensors").is_file()


def test_it_goes_on_from_no_run_with_another_teacher(
    tiny_config: DictConfig, teacher: Path, tmp_path: Path, pages_data: PageDataModule
) -> None:
    first = read_teacher(teacher, pages_data.pages)
    header, rows = read(teacher)
    write(teacher, header, rows[::-1])
    assert read_teacher(teacher, pages_data.pages).digest == first.digest, "the order of the rows is no matter"
    rows[0][3:] = ["0.2", "0.3", "0.5"]
    write(teacher, header, rows)
    assert read_teacher(teacher, pages_data.pages).digest != first.digest


def test_pages_without_a_prediction_are_learnt_by_their_label_and_others_by_the_mean(
    teacher: Path, pages_data: PageDataModule
) -> None:
    header, rows = read(teacher)
    write(teacher, header, rows[1:])
    pages_data.soft_labels = read_teacher(teacher, pages_data.pages).targets(pages_data.labels)
    (without,) = [i for i, page in enumerate(pages_data.pages.train.ids) if page == rows[0][0]]
    given = np.eye(3, dtype=np.float32)[pages_data.labels]
    expected = (given + np.roll(given, 1, axis=1)) / 2
    expected[without] = given[without]
    np.testing.assert_array_equal(pages_data.soft_labels, expected)
    _, labels, _ = next(iter(pages_data.train_dataloader()))
    assert labels.dtype == torch.float32 and labels.shape == (8, 3)


def test_a_teacher_from_a_mac_teaches_pages_whose_names_are_composed_otherwise(
    teacher: Path, pages_data: PageDataModule
) -> None:
    first = read_teacher(teacher, pages_data.pages)
    header, rows = read(teacher)
    write(teacher, header, [[unicodedata.normalize("NFD", page), *more] for page, *more in rows])
    assert read_teacher(teacher, pages_data.pages).digest == first.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("classes", "Expected the classes 0, 7, 10 in "),
        ("pages", "got none for 14 of 24. Name a run on the same pages: teacher=RUN."),
        ("file", "and no oof.csv. Start its command again, or name another run."),
    ],
)
def test_a_teacher_of_other_pages_is_refused(
    change: str, message: str, teacher: Path, pages_data: PageDataModule
) -> None:
    header, rows = read(teacher)
    if change == "classes":
        result = (teacher / "result.yaml").read_text(encoding="utf-8")
        (teacher / "result.yaml").write_text(result.replace("'10'", "'11'"), encoding="utf-8")
    elif change == "pages":
        write(teacher, header, rows[:10])
    else:
        (teacher / "oof.csv").unlink()
    with pytest.raises(DataError) as refused:
        read_teacher(teacher, pages_data.pages)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"teacher": None}, "Say teacher=multirun/NAME."),
        ({"model.tune": "head"}, "Say model.tune=last."),
        ({"model.loss": {"_target_": "torch.nn.CrossEntropyLoss"}}, "Say model.loss=null."),
        ({"augment.mixup": 0.4}, "Say augment.mixup=0."),
    ],
)
def test_what_cannot_learn_probabilities_is_refused(
    overrides: dict[str, object], message: str, cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCCLF_ALLOW", "torch.nn.CrossEntropyLoss")
    cfg.refit, cfg.teacher = "distill", "teacher"
    for key, value in overrides.items():
        room, _, name = key.rpartition(".")
        (cfg[room] if room else cfg)[name] = value
    with pytest.raises(ConfigError) as refused:
        train(cfg, tmp_path)
    assert str(refused.value).endswith(message)


@pytest.fixture
def pages_data(pages_root: Path) -> PageDataModule:
    from docclf.data.augment.batch import BatchAugment
    from docclf.data.readers import read_csv

    return PageDataModule(str(pages_root), reader=read_csv, augment=BatchAugment(), image_size=32, batch_size=8)
