"""`python -m docclf.export_model`: what ONNX Runtime and docclf make of the folder is what the run's model says."""

import functools
import importlib.util
import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from small_models import CLASS_NAMES, TARGETS, needs_exporter, save_model

import docclf.inference.onnx
from docclf.errors import ConfigError, DataError, DocclfError
from docclf.export_model import export_model
from docclf.inference.folder import load_ensemble
from docclf.predict import predict

Compose = Callable[..., DictConfig]
FILES = {"README.md", "fold_0.safetensors", "fold_1.safetensors", "model.onnx", "model.yaml"}

pytestmark = needs_exporter


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pages_root: Path) -> Path:
    """A run's folder with a model of two members and the config that names its pages."""
    run = tmp_path_factory.mktemp("run")
    save_model(run / "model")
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text(f"data:\n  root: {pages_root.name}\n", encoding="utf-8")
    cwd = f"hydra:\n  runtime:\n    cwd: {pages_root.parent}\n"
    (run / ".hydra" / "hydra.yaml").write_text(cwd, encoding="utf-8")
    return run


class Said(logging.Handler):
    """What is logged at a level that users see."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module")
def export(run: Path, compose_config: Compose, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder exported, elsewhere, and the run gone out of sight, and what was said of it."""
    log, said = logging.getLogger("docclf"), Said()
    level = log.level
    log.addHandler(said)
    log.setLevel(logging.INFO)
    made = export_model(compose_config(f"run='{run}'", config="export_model"))
    log.setLevel(level)
    log.removeHandler(said)
    assert made == run / "exported"
    moved = Path(shutil.move(made, tmp_path_factory.mktemp("elsewhere") / "모델"))
    return moved, "".join(f"{line}\n" for line in said.lines)


@pytest.fixture
def exported(export: tuple[Path, str]) -> Path:
    return export[0]


@pytest.mark.parametrize("is_there", [True, False])
def test_the_folder_of_a_run_that_was_sent_is_not_written_through_a_link(
    is_there: bool, tmp_path: Path, compose_config: Compose
) -> None:
    save_model(tmp_path / "run" / "model")
    if is_there:
        (tmp_path / "mine").mkdir()
    (tmp_path / "run" / "exported").symlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match="'exported', which leads elsewhere"):
        export_model(compose_config(f"run='{tmp_path / 'run'}'", config="export_model"))
    assert (list((tmp_path / "mine").iterdir()) == []) if is_there else not (tmp_path / "mine").exists()


def run_onnx(folder: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"images": images})
    return np.asarray(found)


@pytest.mark.parametrize("n", [1, 5, 33])
def test_onnx_runtime_gives_calibrated_averages_of_any_number_of_pages(exported: Path, run: Path, n: int) -> None:
    images = np.random.default_rng(n).random((n, 3, 32, 32), dtype=np.float32)
    ensemble = load_ensemble(run / "model")
    with torch.no_grad():
        normalised = (torch.from_numpy(images) - ensemble.mean) / ensemble.std
        expected = torch.stack([(net(normalised) / 1.7).softmax(dim=1) for net in ensemble.nets]).mean(dim=0)
        plain = ensemble(torch.from_numpy(images)).numpy()
    found = run_onnx(exported, images)
    assert found.dtype == np.float32 and found == pytest.approx(expected.numpy(), abs=1e-5)
    assert abs(plain - found).max() > 1e-3, "or calibration makes no difference"


def test_the_file_says_what_its_classes_are_and_nothing_of_this_machine(exported: Path) -> None:
    model = onnx.load(exported / "model.onnx")
    onnx.checker.check_model(model)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["targets"]) == TARGETS and json.loads(facts["class_names"]) == CLASS_NAMES
    assert "계약서" in facts["class_names"], "readable, not escaped"
    assert (facts["image_size"], facts["decoded_size"], facts["channels"]) == ("32", "40", "3")
    content = (exported / "model.onnx").read_bytes()
    assert not [word for word in (b"site-packages", b".py", str(Path.home()).encode() + b"/") if word in content]


def test_docclf_predicts_the_same_with_the_folder_from_elsewhere(
    exported: Path, run: Path, pages_root: Path, compose_config: Compose, tmp_path: Path
) -> None:
    for name, folder in (("run", run), ("exported", exported)):
        asked = [f"run='{folder}'", f"data.root='{pages_root}'", "device=cpu"]
        assert predict(compose_config(*asked, config="predict"), tmp_path / name) == 0
    texts = [(tmp_path / name / "predictions.csv").read_text(encoding="utf-8") for name in ("run", "exported")]
    assert texts[0] == texts[1] and len(texts[0].splitlines()) == 10
    assert {path.name for path in exported.iterdir()} == FILES


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 1])
def test_the_lines_of_the_readme_run_and_predict_as_docclf_does(
    exported: Path, pages_root: Path, compose_config: Compose, tmp_path: Path, channels: int
) -> None:
    folder = exported
    if channels == 1:
        save_model(tmp_path / "grey" / "model", channels=1, members=1)
        folder = export_model(compose_config(f"run='{tmp_path / 'grey'}'", config="export_model"))
    here = tmp_path / "here"
    here.mkdir()
    shutil.copy(folder / "model.onnx", here)
    page = next(path for path in sorted((pages_root / "test").iterdir()) if path.suffix == ".png")
    shutil.copy(page, here / "page.png")
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", "-c", code], cwd=here, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    asked = [f"run='{folder}'", f"data.root='{here}'", "device=cpu"]
    predict(compose_config(*asked, config="predict"), tmp_path)
    row = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    name, _, confidence = done.stdout.strip().rpartition(" ")
    assert name == CLASS_NAMES[TARGETS.index(row[1])]
    assert float(confidence) == pytest.approx(float(row[2]), abs=5e-3), "where halves are rounded, resizing differs"


# The check


def test_it_is_checked_on_pages_of_the_run(export: tuple[Path, str], pages_root: Path) -> None:
    folder, said = export
    assert re.search(rf"differ by at most \d\.\de-\d\d on 9 pages of {pages_root}\n", said)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "on 9 pages." in readme and str(pages_root) not in readme


@pytest.mark.slow
def test_it_is_checked_on_pages_that_are_given_and_at_most_16(
    run: Path, pages_root: Path, compose_config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = [f"run='{run}'", f"output='{tmp_path / 'out'}'", f"pages='{pages_root / 'train'}'"]
    export_model(compose_config(*asked, config="export_model"))
    assert f"on 16 pages of {pages_root / 'train'}\n" in caplog.text


@pytest.mark.slow
def test_without_pages_it_is_checked_on_noise_and_says_so(
    run: Path, compose_config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shutil.copytree(run / "model", tmp_path / "model")
    export_model(compose_config(f"run='{tmp_path}'", config="export_model"))
    assert "Found no pages of the run, so checking on noise" in caplog.text
    assert "on 16 images of noise\n" in caplog.text
    assert "on 16 images of noise." in (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_file_that_does_not_agree_is_not_left(
    run: Path, compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = docclf.inference.onnx.write_onnx

    def write_other(ensemble: Any, path: Path) -> None:
        """The file of a model with one weight changed."""
        other = load_ensemble(run / "model")
        with torch.no_grad():
            other.nets[0].get_classifier().bias[1] += 0.01
        real(other, path)

    monkeypatch.setattr(docclf.inference.onnx, "write_onnx", write_other)
    with pytest.raises(ConfigError, match=r"agreement within 0\.0001, got: .* differ by at most \d\.\de-0[234] on 9 p"):
        export_model(compose_config(f"run='{run}'", f"output='{tmp_path / 'out'}'", config="export_model"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_numbers_that_are_no_numbers_do_not_agree(tmp_path: Path) -> None:
    ensemble = load_ensemble(save_model(tmp_path / "model"))
    docclf.inference.onnx.write_onnx(ensemble, tmp_path / "model.onnx")
    check = functools.partial(docclf.inference.onnx.difference, ensemble, tmp_path / "model.onnx")
    assert check([torch.zeros(2, 3, 32, 32)], torch.ones(2)) < 1e-5
    assert check([torch.full((2, 3, 32, 32), torch.nan)], torch.ones(2)) == np.inf


# Other models


def check_backbone(compose_config: Compose, folder: Path, backbone: str, **options: Any) -> None:
    save_model(folder / "model", backbone, **options)
    made = export_model(compose_config(f"run='{folder}'", config="export_model"))
    ensemble = load_ensemble(folder / "model")
    size, channels = ensemble.description.image_size, ensemble.description.channels
    images = torch.rand(5, channels, size, size)
    with torch.no_grad():
        expected = ensemble(images, calibrated=True).numpy()
    assert run_onnx(made, images.numpy()) == pytest.approx(expected, abs=1e-5)
    assert run_onnx(made, images[:1].numpy()) == pytest.approx(expected[:1], abs=1e-5)
    assert expected.std(axis=0).max() > 1e-4, "or all pages are the same to it"


@pytest.mark.slow
def test_a_transformer_can_be_exported(compose_config: Compose, tmp_path: Path) -> None:
    check_backbone(compose_config, tmp_path, "test_vit", image_size=64, decoded_size=72, members=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("mobilenetv3_small_050", {"channels": 1}),
        ("swin_tiny_patch4_window7_224", {"image_size": 64, "decoded_size": 80, "members": 1}),
        ("test_maxvit", {"image_size": 160, "decoded_size": 184, "members": 1}),  # attention with a bias
    ],
)
def test_other_backbones_can_be_exported(
    compose_config: Compose, tmp_path: Path, backbone: str, options: dict[str, Any]
) -> None:
    check_backbone(compose_config, tmp_path, backbone, **options)


@pytest.mark.slow
def test_large_weights_get_a_file_of_their_own(
    run: Path, compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docclf.inference.onnx, "_IN_ONE_FILE", 10_000)
    out = export_model(compose_config(f"run='{run}'", f"output='{tmp_path / 'out'}'", config="export_model"))
    assert {path.name for path in out.iterdir()} == FILES | {"model.onnx.data"}
    assert (out / "model.onnx").stat().st_size < (out / "model.onnx.data").stat().st_size
    assert run_onnx(out, np.zeros((1, 3, 32, 32), dtype=np.float32)).shape == (1, 3)
    monkeypatch.undo()
    export_model(compose_config(f"run='{run}'", f"output='{tmp_path / 'out'}'", config="export_model"))
    assert {path.name for path in out.iterdir()} == FILES, "and the old one goes when the folder is written again"


# Mistakes


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (["run=nowhere"], DataError, "Expected the folder of a run or search in `run`, got nowhere"),
        (["run='{root}'"], DataError, ", where there is none"),
        (["run=???"], ConfigError, "Expected `run`, got no value"),
        (["pages=nowhere"], DataError, "Expected a folder or a CSV file in `pages`, got nowhere: nothing is there"),
        (["pages='{root}/broken'"], DataError, "that can be read, got 0.png: ValueError: the file is empty"),
        (["output='{root}/broken'"], ConfigError, "Expected `output` to be a new, an empty or an exported folder"),
        (["output='{root}/own'"], ConfigError, "Expected `output` to be a new, an empty or an exported folder"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    run: Path, compose_config: Compose, tmp_path: Path, overrides: list[str], kind: type[DocclfError], message: str
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.onnx").touch()  # and no model.yaml
    given = [override.format(root=tmp_path) for override in overrides]
    with pytest.raises(kind) as caught:
        export_model(compose_config(f"run='{run}'", f"output='{tmp_path / 'out'}'", *given, config="export_model"))
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["broken", "own"]


def test_missing_packages_are_named_with_the_command_that_installs_them(
    compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "docclf.export_model.find_spec", lambda name: None if name.startswith("onnx") and name != "onnx" else real(name)
    )
    with pytest.raises(ConfigError, match=r"none called onnxscript or onnxruntime\. .*pip install 'docclf\[onnx\]'"):
        export_model(compose_config("run=nowhere", config="export_model"))


# The command

RUN = "import runpy; runpy.run_module('docclf.export_model', run_name='__main__', alter_sys=True)"


@pytest.mark.slow
def test_the_command_writes_the_folder_and_shows_no_warning(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("exported"))
    done = subprocess.run(
        [sys.executable, "-m", "docclf.export_model", "run=run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    first, second = done.stdout.splitlines()
    assert done.returncode == 0
    assert first.startswith("Checked: probabilities of PyTorch and ONNX Runtime differ by at most ")
    assert second == "Exported: run/exported"
    assert {path.name for path in (tmp_path / "run" / "exported").iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("arguments", "shown"), [(["--help"], "docclf.export_model run=RUN"), (["--cfg", "job"], "run: ???")]
)
def test_help_and_config_load_nothing_heavy(tmp_path: Path, arguments: list[str], shown: str) -> None:
    report = "import atexit, json, sys; atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))"
    command = [sys.executable, "-c", f"{report}\n{RUN}", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    text, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    assert done.returncode == 0 and shown in text, done.stderr
    heavy = {"torch", "timm", "pytorch_lightning", "optuna", "onnx", "onnxruntime", "numpy", "PIL", "matplotlib"}
    assert not {name.partition(".")[0] for name in json.loads(modules)} & heavy
    assert not list(tmp_path.iterdir())
