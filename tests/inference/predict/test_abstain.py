"""Pages that the model is not sure of, or that it does not know, are left to a person."""

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from flat_pages import views_of_test_pages
from hydra.utils import execution_whitelist, instantiate
from omegaconf import DictConfig
from PIL import Image
from predict_files import read
from small_models import CLASS_NAMES

from docclf.errors import ConfigError, DataError
from docclf.inference.doubt import read_doubt
from docclf.inference.folder import find_model, load_ensemble
from docclf.models.backbone import make_net
from docclf.predict import predict
from docclf.results.facts import NET
from docclf.safety.targets import whitelist
from docclf.sweeper import current_trial
from docclf.train import train
from docclf.training.crossval import cross_validate_heads
from docclf.training.kept_model import keep_model
from docclf.training.parts import make_heads

Compose = Callable[..., DictConfig]
COLUMNS = ["ID", "target", "confidence", "review", "unlike", "novelty", *CLASS_NAMES, "problem"]


@pytest.fixture(scope="module")
def trained(tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a head on the frozen features of the weights that come with docclf."""
    cfg = tiny_config.copy()
    cfg.model.name, cfg.model.tune, cfg.model.pretrained, cfg.refit = "tf_efficientnet_lite0", "head", "auto", "folds"
    run = tmp_path_factory.mktemp("trained")
    with execution_whitelist(whitelist()):
        train(cfg, run)
    return run


@pytest.fixture
def ask(compose_config: Compose, trained: Path, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    def call(root: Path, *overrides: str, run: Path = trained) -> list[dict[str, str]]:
        cfg = compose_config(f"run='{run}'", f"data.root='{root}'", "device=cpu", *overrides, config="predict")
        predict(cfg, tmp_path)
        header, *rows = read(tmp_path / "predictions.csv")
        assert header == COLUMNS
        return [dict(zip(header, row, strict=True)) for row in rows]

    return call


@pytest.mark.slow
def test_pages_below_the_confidence_of_that_accuracy_are_for_review(
    ask: Any, trained: Path, pages_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = ask(pages_root, "abstain=0.9")
    doubt = read_doubt(trained / "model" / "doubt.npz")
    cut = doubt.selective.at(0.9)
    assert cut.accuracy >= 0.9 and len(rows) == 9
    for row in rows:
        is_unlike = float(row["novelty"]) > 0
        assert row["unlike"] == ("unlike" if is_unlike else "")
        assert row["review"] == ("REVIEW" if is_unlike or float(row["confidence"]) < cut.confidence else "")
        assert row["target"], "the guess stays"
    answered = [row for row in rows if not row["review"]]
    assert (
        f"Answered {len(answered)} of 9 pages, {len(answered) / 9:.1%} ({cut.coverage:.1%} out of fold)" in caplog.text
    )
    truth = {row[0]: row[1] for row in read(pages_root / "test.csv")}
    right = np.mean([row["target"] == truth[row["ID"]] for row in answered])
    assert f"{cut.accuracy:.3f} out of fold; {right:.3f} on {len(answered)} here" in caplog.text


def test_what_is_no_page_of_the_kind_is_unlike(ask: Any, pages_root: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    random = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(random.integers(0, 256, (80, 60, 3), dtype=np.uint8)).save(strange / f"{i}.png")
    (strange / "broken.png").touch()
    rows = {row["ID"]: row for row in ask(strange, "abstain=0.9")}
    assert [rows[f"{i}.png"]["unlike"] for i in range(3)] == ["unlike"] * 3
    assert [rows[f"{i}.png"]["review"] for i in range(3)] == ["REVIEW"] * 3
    assert rows["broken.png"]["review"] == rows["broken.png"]["novelty"] == "" and rows["broken.png"]["problem"]
    known = ask(pages_root, "abstain=0.9")
    worst = max(float(row["novelty"]) for row in known)
    assert all(float(rows[f"{i}.png"]["novelty"]) > worst for i in range(3))


@pytest.mark.parametrize("tta", ["none", "flips"])
def test_it_is_told_where_other_confidences_are_cut_than_were_measured(
    ask: Any, pages_root: Path, caplog: pytest.LogCaptureFixture, tta: str
) -> None:
    ask(pages_root, "abstain=0.9", f"tta={tta}")
    said = "With tta=flips what is answered may be right less or more often than 0.9"
    assert (said in caplog.text) == (tta == "flips")


def test_probabilities_and_submission_are_those_without(
    ask: Any, compose_config: Compose, trained: Path, pages_root: Path, tmp_path: Path
) -> None:
    with_doubt = ask(pages_root, "abstain=0.9", "tta=rotations")
    cfg = compose_config(
        f"run='{trained}'", f"data.root='{pages_root}'", "device=cpu", "tta=rotations", config="predict"
    )
    predict(cfg, tmp_path)
    header, *rows = read(tmp_path / "predictions.csv")
    assert header == [name for name in COLUMNS if name not in ("review", "unlike", "novelty")]
    assert rows == [[row[name] for name in header] for row in with_doubt]


def test_a_model_of_nets_alone_knows_what_it_has_seen(
    cfg: DictConfig, trained: Path, tmp_path: Path, ask: Any, pages_root: Path
) -> None:
    """Its frozen backbone lies beside the nets and does not change what they say."""
    cfg.model.name, cfg.model.tune, cfg.model.pretrained = "tf_efficientnet_lite0", "head", "auto"
    data = instantiate(cfg.data, augment=instantiate(cfg.augment), validation_augment=None)
    heads, validation = make_heads(cfg, data), instantiate(cfg.validation)
    done = cross_validate_heads(heads, validation, np.arange(24) % 3, current_trial())
    net = make_net(cfg.model.name, 3, 32, 3)
    with torch.no_grad():
        net.get_classifier().weight.normal_(std=0.1)
    keep_model(heads, replace(done, kept=NET), tmp_path, {"fold_0": net.state_dict()})
    ensemble = load_ensemble(tmp_path / "model")
    images, aspects = views_of_test_pages(data)(np.arange(9))
    assert not ensemble.description.takes_aspects
    with torch.no_grad():
        own = net.eval()((images - ensemble.mean) / ensemble.std).softmax(dim=1)
        assert torch.allclose(ensemble(images, aspects), own, atol=1e-5)
    found = ask(pages_root, "abstain=0.9", run=tmp_path)
    assert all(row["novelty"] for row in found)


def test_without_trained_weights_confidence_alone_counts(
    cfg: DictConfig, tmp_path: Path, ask: Any, pages_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cfg.refit = "folds"
    train(cfg, tmp_path / "run")
    rows = ask(pages_root, "abstain=0.2", run=tmp_path / "run")
    assert {row["novelty"] for row in rows} == {""} and {row["unlike"] for row in rows} == {""}
    assert "the backbone has no trained weights" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["abstain=1.5"], r"`abstain` to be an accuracy between 0 and 1, such as abstain=0\.95, or null, got 1\.5"),
        (["abstain=yes"], r"`abstain` to be an accuracy between 0 and 1"),
        (["abstain=0.9", "calibrated=false"], r"`calibrated` to be true with `abstain`"),
    ],
)
def test_what_cannot_be_asked_is_refused(ask: Any, pages_root: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(pages_root, *overrides)


def _bomb(arrays: dict[str, Any]) -> dict[str, Any]:
    return {**arrays, "selective.more": np.zeros((2**12 + 1, 2**13))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: {**arrays, "selective.coverage": arrays["selective.coverage"] * np.nan}, "selective.coverage"),
        (lambda arrays: {**arrays, "novelty.reference": arrays["novelty.reference"] + np.float16(np.inf)}, "reference"),
        (lambda arrays: {**arrays, "selective.accuracy": np.array(["1", "0"])}, "what is no finite number"),
        (lambda arrays: {**arrays, "selective.accuracy": arrays["selective.accuracy"][1:]}, "several lengths"),
        (lambda arrays: {**arrays, "novelty.usual": arrays["novelty.usual"][1:]}, "do not go together"),
        (lambda arrays: {**arrays, "novelty.basis": arrays["novelty.basis"][0]}, "ValueError"),
        (lambda arrays: {name: arrays[name] for name in arrays if name != "selective.confidence"}, "TypeError"),
        (_bomb, " MB of numbers"),
        (
            lambda arrays: {
                name: value[..., 1:] if name.split(".")[1] in ("mean", "factors", "basis") else value
                for name, value in arrays.items()
            },
            "the file is of another model",
        ),
    ],
)
def test_what_it_knows_of_its_mistakes_is_looked_through(
    ask: Any, trained: Path, pages_root: Path, tmp_path: Path, change: Any, message: str
) -> None:
    shutil.copytree(trained, tmp_path / "sent")
    path = tmp_path / "sent" / "model" / "doubt.npz"
    with np.load(path) as file:
        arrays = change(dict(file))
    np.savez_compressed(path, **arrays)
    with pytest.raises(DataError, match=re.escape(message)):
        ask(pages_root, "abstain=0.9", run=tmp_path / "sent")


def test_a_model_of_before_and_files_from_elsewhere_are_refused(
    ask: Any, trained: Path, pages_root: Path, tmp_path: Path
) -> None:
    described = yaml.safe_load((trained / "model" / "model.yaml").read_text(encoding="utf-8"))
    for name in described.keys() & {"doubt"}:
        (tmp_path / "old").mkdir()
        for path in (trained / "model").iterdir():
            shutil.copy(path, tmp_path / "old")
        (tmp_path / "old" / "model.yaml").unlink()
        text = yaml.safe_dump({**described, name: None}, allow_unicode=True)
        (tmp_path / "old" / "model.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a model in .* that says how often it was right, got one of an earlier"):
        ask(pages_root, "abstain=0.9", run=tmp_path / "old")
    text = yaml.safe_dump({**described, "doubt": "../elsewhere.npz"}, allow_unicode=True)
    (tmp_path / "old" / "model.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"got .\.\./elsewhere\.npz., which leads elsewhere"):
        load_ensemble(find_model(tmp_path / "old"))
