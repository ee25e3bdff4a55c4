"""Models of other sizes, proportions and backbones that become one folder, and what it predicts."""

import logging
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from numpy.typing import NDArray
from predict_files import read, shares
from slowly import slowly
from small_models import CLASS_NAMES, TARGETS, needs_exporter, save_model
from torch import Tensor

from docclf.errors import ConfigError, DataError
from docclf.export_model import export_model
from docclf.inference.description import Description, HeadDescription, join_models, read_description, write_description
from docclf.inference.doubt import make_doubt
from docclf.inference.ensemble import TrialEnsemble
from docclf.inference.folder import load_ensemble, save_ensemble
from docclf.metrics.calibration import with_temperature
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.head import Head
from docclf.models.frozen.pooling import PooledStages
from docclf.predict import predict

WEIGHTS = [0.5, 0.3, 0.2]
Compose = Callable[..., Any]


def save_head(
    folder: Path, *, seed: int = 0, size: int = 64, fit: str = "squeeze", scales: tuple[float, ...] = (1.0, 0.5)
) -> Path:
    """A head of random weights on the frozen features of a tiny net."""
    frozen = FrozenBackbone("test_resnet", size, pretrained=False)
    net, sides = frozen.build(), frozen.sides(scales)
    n = net(torch.zeros(1, 3, size, size)).shape[1] * len(sides) + 1
    rng = np.random.default_rng(seed)
    head = Head(rng.normal(0, 0.2, (3, n)).astype(np.float32), np.zeros(3, np.float32))
    described = HeadDescription(fraction=1.0, sides=sides, stages=True, aspect=True, second_order=True)
    assert isinstance(net, PooledStages)
    facts = {"mean": net.mean.flatten().tolist(), "std": net.std.flatten().tolist(), "fit": fit, "head": described}
    description = Description("test_resnet", TARGETS, CLASS_NAMES, size, size + 8, 3, temperature=0.5, **facts)
    save_ensemble(folder, description, {}, head, net.net.state_dict())
    return folder


class Joined:
    """Two heads of other proportions and the nets of a fine-tuned model of another size, in one folder."""

    def __init__(self, root: Path) -> None:
        self.models = [
            save_head(root / "a" / "model"),
            save_head(root / "b" / "model", seed=1, fit="letterbox"),
            save_model(root / "c" / "model"),
        ]
        self.run = root / "joined"
        join_models(self.run / "model", self.models, WEIGHTS, temperature=0.7, source={"trials": [3, 5, 4]})

    @property
    def blend(self) -> TrialEnsemble:
        found = load_ensemble(self.run / "model")
        assert isinstance(found, TrialEnsemble)
        return found


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Joined:
    return Joined(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def exported(joined: Joined, compose_config: Compose, pages_root: Path) -> Path:
    asked = [f"run='{joined.run}'", f"pages='{pages_root}'", f"output='{joined.run / 'out'}'"]
    return export_model(compose_config(*asked, config="export_model"))


def predicted(compose_config: Compose, run: Path, pages: Path, folder: Path, *overrides: str) -> NDArray[np.float64]:
    given = [f"run='{run}'", f"data.root='{pages}'", "device=cpu", "batch_size=4", *overrides]
    assert predict(compose_config(*given, config="predict"), folder) == 0
    return np.array(shares(read(folder / "predictions.csv")[1:]), dtype=np.float64)


@pytest.mark.parametrize("tta", ["none", *slowly("rotations")])
def test_it_predicts_the_weighted_mean_of_what_its_models_predict(
    joined: Joined, compose_config: Compose, pages_root: Path, tmp_path: Path, tta: str
) -> None:
    asked = ["calibrated=false", f"tta={tta}"]
    apart = [predicted(compose_config, model.parent, pages_root, tmp_path, *asked) for model in joined.models]
    found = predicted(compose_config, joined.run, pages_root, tmp_path, *asked)
    mean = sum(weight * one for weight, one in zip(WEIGHTS, apart, strict=True))
    assert np.abs(found - mean).max() <= 2e-6, "each is rounded to 1e-6"
    assert min(np.abs(found - one).max() for one in apart) > 0.01


def test_its_own_temperature_calibrates_the_mean(
    joined: Joined, compose_config: Compose, pages_root: Path, tmp_path: Path
) -> None:
    plain = predicted(compose_config, joined.run, pages_root, tmp_path, "calibrated=false")
    found = predicted(compose_config, joined.run, pages_root, tmp_path)
    assert found == pytest.approx(with_temperature(plain, 0.7), abs=5e-6)


def test_its_mean_is_exact(joined: Joined) -> None:
    squeezed, boxed, small = torch.rand(5, 3, 64, 64), torch.rand(5, 3, 64, 64), torch.rand(5, 3, 32, 32)
    aspects = torch.linspace(0.5, 2, 5)
    with torch.inference_mode():
        found = joined.blend(squeezed, boxed, small, aspects)
        models = [load_ensemble(model) for model in joined.models]
        apart = [model(images, aspects) for model, images in zip(models, (squeezed, boxed, small), strict=True)]
    assert torch.allclose(found, sum(w * one for w, one in zip(WEIGHTS, apart, strict=True)), atol=1e-6)


@pytest.mark.slow
@needs_exporter
def test_onnx_predicts_the_same(
    joined: Joined, exported: Path, compose_config: Compose, pages_root: Path, tmp_path: Path
) -> None:
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    assert [given.name for given in session.get_inputs()] == ["images", "images_1", "images_2", "aspects"]
    for n in (1, 3):
        images, aspects = [torch.rand(n, 3, side, side) for side in (64, 64, 32)], torch.linspace(0.5, 2, n)
        given = dict(zip(("images", "images_1", "images_2"), (one.numpy() for one in images), strict=True))
        (found,) = session.run(None, {**given, "aspects": aspects.numpy()})
        with torch.inference_mode():
            expected = joined.blend(*images, aspects, calibrated=True)
        assert found == pytest.approx(expected.numpy(), abs=1e-5)
    moved = predicted(compose_config, exported, pages_root, tmp_path)
    assert np.array_equal(moved, predicted(compose_config, joined.run, pages_root, tmp_path))


@needs_exporter
@pytest.mark.slow
def test_the_readme_of_an_export_runs(
    joined: Joined,
    exported: Path,
    compose_config: Compose,
    pages_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert "an ensemble of 3 models (2 x test_resnet, a head on frozen features, 64 px; test_resnet, 2 m" in text
    code = text.partition("```python\n")[2].partition("```")[0]
    page = next(path for path in sorted((pages_root / "test").glob("*.png")))
    shutil.copyfile(page, exported / "page.png")
    monkeypatch.chdir(exported)
    capsys.readouterr()
    exec(code, {})
    name, share = capsys.readouterr().out.rsplit(maxsplit=1)
    rows = predicted(compose_config, joined.run, pages_root, tmp_path)
    ids = [row[0] for row in read(tmp_path / "predictions.csv")[1:]]
    expected = rows[ids.index(page.name)]
    assert name == CLASS_NAMES[int(expected.argmax())] and float(share) == pytest.approx(expected.max(), abs=0.05)


def test_heads_on_one_backbone_share_its_passes_and_its_file(tmp_path: Path) -> None:
    models = [save_head(tmp_path / "a"), save_head(tmp_path / "b", seed=1, scales=(1.0,))]
    join_models(tmp_path / "joined", models, [0.5, 0.5], temperature=1.0, source={})
    blend, sides = load_ensemble(tmp_path / "joined"), list[int]()
    assert isinstance(blend, TrialEnsemble)
    (backbone,) = {part.head.views.backbone for part in blend.parts}

    def note(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sides.append(inputs[0].shape[-1])

    backbone.register_forward_pre_hook(note)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        found = blend(images, torch.ones(2))
        apart = [load_ensemble(model)(images, torch.ones(2)) for model in models]
    assert sides == [64, 32], "one pass for each size, not for each head"
    assert torch.allclose(found, (apart[0] + apart[1]) / 2, atol=1e-6)
    files = sorted(path.name for path in (tmp_path / "joined").iterdir())
    assert files == ["0-backbone.safetensors", "0-head.safetensors", "1-head.safetensors", "model.yaml"]


def test_with_abstain_its_confidence_alone_counts(
    joined: Joined, compose_config: Compose, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = [f"run='{tmp_path}'", f"data.root='{pages_root}'", "device=cpu", "abstain=0.9"]
    cfg = compose_config(*asked, config="predict")
    join_models(tmp_path / "model", joined.models, WEIGHTS, temperature=0.7, source={})
    with pytest.raises(ConfigError, match=r"Expected a model in .* that says how often it was right"):
        predict(cfg, tmp_path)
    sure, labels = np.array([[0.3, 0.35, 0.35], [0.5, 0.4, 0.1], [0.2, 0.6, 0.2]]), np.array([0, 0, 1])
    doubt = make_doubt(sure, labels, None).arrays()
    join_models(tmp_path / "model", joined.models, WEIGHTS, temperature=0.7, source={}, doubt=doubt)
    assert predict(cfg, tmp_path) == 0 and "several trials are averaged" in caplog.text
    header, *rows = read(tmp_path / "predictions.csv")
    assert header[3:6] == ["review", "unlike", "novelty"]
    for row in rows:
        assert row[3:6] == ["REVIEW" if float(row[2]) < 0.5 else "", "", ""]


def test_what_its_models_know_of_their_own_mistakes_does_not_come_along(joined: Joined, tmp_path: Path) -> None:
    """Nor a head that a model of nets alone has for that."""
    model = tmp_path / "a"
    shutil.copytree(joined.models[2], model)
    for path in save_head(tmp_path / "head").glob("*.safetensors"):
        shutil.copy(path, model)
    (model / "doubt.npz").touch()
    head = HeadDescription(fraction=0.0, sides=[32], stages=True, aspect=True)
    write_description(model, replace(read_description(model), head=head, doubt="doubt.npz"))
    join_models(tmp_path / "joined", [model], [1.0], temperature=1.0, source={})
    files = sorted(path.name for path in (tmp_path / "joined").iterdir())
    assert files == [*(f"0-{name}" for name in read_description(joined.models[2]).members), "model.yaml"]
    assert isinstance(load_ensemble(tmp_path / "joined"), TrialEnsemble)


def test_a_folder_that_was_there_goes(tmp_path: Path) -> None:
    (tmp_path / "joined").mkdir()
    (tmp_path / "joined" / "old.safetensors").touch()
    join_models(tmp_path / "joined", [save_head(tmp_path / "a")], [1.0], temperature=1.0, source={})
    assert not (tmp_path / "joined" / "old.safetensors").exists()


@pytest.mark.parametrize("name", ["../a/head.safetensors", "/tmp/head.safetensors", "sub/head.safetensors"])
def test_a_description_names_files_of_its_own_folder_alone(tmp_path: Path, name: str) -> None:
    join_models(tmp_path / "m", [save_head(tmp_path / "a")], [1.0], temperature=1.0, source={})
    path = tmp_path / "m" / "model.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    found["parts"][0]["head"]["weights"] = name
    path.write_text(yaml.safe_dump(found), encoding="utf-8")
    with pytest.raises(DataError, match=f"got .{name}., which leads elsewhere"):
        load_ensemble(tmp_path / "m")


def test_a_net_that_a_folder_describes_reads_no_other_file_and_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class of docclf's own models may be called by any folder, so its arguments must lead nowhere."""
    model, opened = save_head(tmp_path / "a"), tmp_path / "weights.pth"
    opened.write_bytes(b"cposix\nsystem\n(S'touch seen'\ntR.")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked a network"))
    found = yaml.safe_load((model / "model.yaml").read_text(encoding="utf-8"))
    own = {"_target_": "docclf.models.classifier.PageClassifier", "name": "resnet18"}
    for more in ({"checkpoint_path": str(opened)}, {"pretrained": True}, {"name": "hf-hub:somebody/model"}):
        changed = {**found, "members": [found["head"]["weights"]], "own": {**own, **more}}
        (model / "model.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
        with pytest.raises(
            DataError, match=r"Missing key|Expected the name of a timm model"
        ):  # of weights that fit none
            load_ensemble(model)
    assert not (tmp_path / "seen").exists()
