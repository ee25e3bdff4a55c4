"""Parts of the user's own, as examples/my_project has them: a net, a model, a loss, a reader, callbacks, a search."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import python
from omegaconf import DictConfig, OmegaConf
from slowly import slowly

from docclf.cli.preflight import check_added, check_config
from docclf.cli.trainer_arguments import OWNED
from docclf.data.cache.decoded import make_options
from docclf.errors import ConfigError
from docclf.safety.targets import build

PROJECT = Path(__file__).parent.parent / "examples" / "my_project"
ALLOWED = ("--allow", "parts.*")
TINY = (
    "data=json_lines",
    "data.near_duplicates=null",
    "data.image_size=32",
    "data.batch_size=8",
    "model=small",
    "model.pretrained=false",
    "validation.epochs=1",
    "trainer.precision=32-true",
)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of docclf in a folder from which the project's parts can be imported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
    environment.pop("DOCCLF_ALLOW", None)
    status, output = python(*arguments, cwd=folder, env=environment, warn=False)
    return subprocess.CompletedProcess(arguments, status, output, "")


@pytest.fixture(scope="module")
def root(pages_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages with a list that only the project's reader knows."""
    root = tmp_path_factory.mktemp("own") / "pages"
    shutil.copytree(pages_root, root)
    with (root / "train.csv").open(encoding="utf-8") as file:
        rows = [{"file": f"train/{row['ID']}", "label": row["target"]} for row in csv.DictReader(file)]
    (root / "pages.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all parts of the project together."""
    folder = tmp_path_factory.mktemp("own")
    parts = ("augment=inverted", "callbacks=gradient_norm", "logger=[csv,lines]", "scheduler=one_cycle")
    places = (f"data.root={root}", "hydra.run.dir=run", "refit=folds", "optimizer=radam", "model.net.width=8")
    configs = ("--config-dir", str(PROJECT / "conf"))
    done = command(folder, "docclf.train", *configs, *ALLOWED, *TINY, *parts, *places)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder / "run"


@pytest.mark.slow
def test_parts_of_ones_own_train_together(run: Path) -> None:
    result = yaml.safe_load((run / "result.yaml").read_text(encoding="utf-8"))
    assert result["state"] == "COMPLETE" and result["allowed"] == ["parts.*"]
    assert (
        result["params"] == {} and result["metrics"]["parameters"] == 3 * 8 * 25 + 3 * 8 + 8 * 16 * 9 + 3 * 16 + 17 * 3
    )
    assert (run / "line.txt").read_text(encoding="utf-8").startswith("run COMPLETE ")
    with (run / "fold_0" / "metrics.csv").open(encoding="utf-8") as file:
        assert any(float(row["train/gradient_norm"] or 0) > 0 for row in csv.DictReader(file))


def test_a_net_of_ones_own_costs_what_it_takes_itself(run: Path) -> None:
    """Not what the backbone of the frozen features takes: ensembles are held to a cost."""
    passes = yaml.safe_load((run / "result.yaml").read_text(encoding="utf-8"))["passes"]
    first, second, last = 3 * 5 * 5 * 8 * 8 * 8, 8 * 3 * 3 * 16 * 4 * 4, 16 * 3
    assert passes["net"] == 2 * (first + second + last)


def test_a_net_of_ones_own_predicts_where_it_is_allowed(run: Path, root: Path) -> None:
    refused = command(run.parent, "docclf.predict", "run=run", f"data.root={root / 'test'}")
    assert refused.returncode and "Traceback" not in refused.stderr
    assert "--allow parts.SmallNet" in refused.stderr + refused.stdout
    done = command(run.parent, "docclf.predict", "run=run", f"data.root={root / 'test'}", "--allow=parts.SmallNet")
    assert done.returncode == 0, done.stderr
    assert "parts.SmallNet" in done.stdout
    with (run.parent / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and {row["target"] for row in rows} <= {"0", "7", "10"}


@pytest.mark.slow
def test_a_function_that_makes_a_net_is_called_too(pages_root: Path, tmp_path: Path) -> None:
    """What it returns is of a class that no one has named."""
    tiny = [text for text in TINY if not text.startswith(("model=", "data="))]
    own = ("data=csv", f"data.root={pages_root}", "model=wrap", "model.net._target_=torchvision.models.squeezenet1_1")
    allow = ("--allow", "torchvision.models.squeezenet1_1")
    done = command(tmp_path, "docclf.train", *allow, *tiny, *own, "hydra.run.dir=run", "refit=folds")
    assert done.returncode == 0, done.stdout
    done = command(tmp_path, "docclf.predict", *allow, "run=run", f"data.root={pages_root / 'test'}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("allow", [(), ("--allow", "part"), *slowly((("--allow", "other.*"),))])
def test_nothing_runs_that_is_not_allowed(root: Path, tmp_path: Path, allow: tuple[str, ...]) -> None:
    configs = ("--config-dir", str(PROJECT / "conf"), *allow)
    done = command(tmp_path, "docclf.train", *configs, *TINY, f"data.root={root}")
    assert done.returncode and "Traceback" not in done.stderr
    assert "--allow parts." in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("allow", "said"),
    [(("--allow",), "got none"), (("--allow", "--cfg", "job"), "got --cfg"), (("--allow=a.py",), "file")],
)
def test_what_is_no_name_after_allow_is_told(tmp_path: Path, allow: tuple[str, ...], said: str) -> None:
    (tmp_path / "a.py").touch()  # as the shell makes of a.*
    done = command(tmp_path, "docclf.train", *allow)
    assert done.returncode == 1 and done.stdout.startswith("ConfigError: Expected a dotted name after --allow, got ")
    assert said in done.stdout and "Say --allow 'mine.*'" in done.stdout


@pytest.mark.slow
def test_a_search_of_ones_own_space_and_sampler_in_two_processes(root: Path, tmp_path: Path) -> None:
    totals = ("search.n_trials=3", "finalists.top_k=0", "search.workers=2", "report=false", "search.ensemble=false")
    arguments = ("-m", "--config-dir", str(PROJECT / "conf"), *ALLOWED, "hparams_search=mine", *totals, *TINY)
    done = command(tmp_path, "docclf.train", *arguments, f"data.root={root}")
    assert done.returncode == 0, done.stderr + done.stdout
    best = tmp_path / "multirun" / "search" / "best"
    found = yaml.safe_load((best / "params.yaml").read_text(encoding="utf-8"))
    assert found["model.net.width"] in (8, 16) and 0 <= found["model.loss.gamma"] <= 3
    with (best.parent / "trials.csv").open(encoding="utf-8") as file:
        assert sorted({row["state"] for row in csv.DictReader(file)} - {"PRUNED"}) == ["COMPLETE"]


def test_a_model_of_ones_own_is_a_lightning_module(root: Path, tmp_path: Path) -> None:
    tiny = [text for text in TINY if not text.startswith("model=")]
    arguments = ("--config-dir", str(PROJECT / "conf"), *ALLOWED, *tiny, "model=noisy", "model.name=test_resnet")
    done = command(tmp_path, "docclf.train", *arguments, f"data.root={root}", "hydra.run.dir=run", "refit=folds")
    assert done.returncode == 0, done.stderr + done.stdout
    described = yaml.safe_load((tmp_path / "run" / "model" / "model.yaml").read_text(encoding="utf-8"))
    assert described["own"]["_target_"] == "parts.NoisyClassifier"


@pytest.mark.parametrize("name", sorted(OWNED))
def test_what_docclf_sets_of_the_trainer_is_refused_with_what_to_say_instead(cfg: DictConfig, name: str) -> None:
    OmegaConf.set_struct(cfg, False)
    cfg.trainer[name] = 2
    with pytest.raises(ConfigError, match=rf"`trainer.{name}`, which docclf sets, got 2. \w"):
        check_config(cfg)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("detect_anomali", True, "Lightning's trainer .*got detect_anomali. Did you mean trainer.detect_anomaly?"),
        ("xyzzy", 1, "Leave out trainer.xyzzy"),
        ("accelerator", "tpu", r"one that this machine has \(cpu.*got tpu. Say trainer.accelerator=auto"),
        ("deterministic", "maybe", "one of null, true, false, warn"),
        ("precision", "8", "bf16-mixed, 64, 32, 16, bf16, got 8"),
    ],
)
def test_an_argument_that_the_trainer_has_not_is_refused(cfg: DictConfig, name: str, value: Any, said: str) -> None:
    OmegaConf.set_struct(cfg, False)
    cfg.trainer[name] = value
    with pytest.raises(ConfigError, match=said):
        check_config(cfg)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("optimizer.learning_rate", 1, "arguments of torch.optim.AdamW below `optimizer`, got learning_rate"),
        ("validation.epoch", 1, "Did you mean validation.epochs?"),
        ("model.head.stage", 1, "below `model.head`, got stage. Did you mean model.head.stages?"),
        ("model.net", {"_target_": "fractions.Fractions"}, "`model.net._target_` to name something that can be imp"),
        ("model.net", {"_target_": "no_package.Net"}, "got no_package.Net: No module named 'no_package'"),
        ("model.net", {"_target_": "fractions.Fraction", "top": 1}, "got top. Leave out model.net.top"),
    ],
)
def test_what_was_added_must_fit(
    cfg: DictConfig, monkeypatch: pytest.MonkeyPatch, key: str, value: Any, said: str
) -> None:
    monkeypatch.setenv("DOCCLF_ALLOW", "fractions.*,no_package.*")
    check_added(cfg, ["+a=1"])
    OmegaConf.update(cfg, key, value, force_add=True)
    with pytest.raises(ConfigError, match=said):
        check_added(cfg, ["+a=1"])


WHOLE = """
class Callback:
    def __init__(self, patience=1): ...
class Lion:
    def __init__(self, params, lr, betas=(0.9, 0.99)): ...
class Net:
    def __init__(self, num_classes, width, channels=3): ...
class Loss:
    def __init__(self, gamma): ...
    def __call__(self, logits, labels): ...
def plateau(optimizer, *, total_steps, patience): ...
"""


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("callbacks.a", {"_target_": "whole.Callback", "patienc": 2}, r"Did you mean callbacks\.a\.patience\?"),
        (
            "callbacks.a",
            {"_target_": "whole.CallbackX"},
            r"`callbacks\.a\._target_` to name something that can be imported",
        ),
        ("optimizer", {"_target_": "whole.Lion", "lr": 1}, r"`optimizer\.params`, .*\+optimizer\._partial_=true"),
        ("optimizer", {"_target_": "whole.Lion", "_partial_": True}, r"`optimizer\.lr`, .*\+optimizer\.lr=VALUE\.$"),
        ("scheduler", {"_target_": "whole.plateau", "_partial_": True}, r"`scheduler\.patience`, which whole\.plateau"),
        ("model.net", {"_target_": "whole.Net"}, r"`model\.net\.width`, which whole\.Net needs, got no value"),
        ("model.loss", {"_target_": "whole.Loss"}, r"`model\.loss\.gamma`, which whole\.Loss needs, got no value"),
    ],
)
def test_a_part_is_looked_at_before_the_first_training(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: Any, said: str
) -> None:
    (tmp_path / "whole.py").write_text(WHOLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DOCCLF_ALLOW", "whole.*")
    OmegaConf.update(cfg, key, value, merge=False, force_add=True)
    with pytest.raises(ConfigError, match=said):
        check_added(cfg, [])
    OmegaConf.update(cfg, "hydra.sweeper.baseline", False, force_add=True)
    if "needs" in said or value.get("_partial_"):
        check_added(cfg, [])  # the search may draw what is missing


def test_parts_that_have_all_that_they_need_are_not_refused(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole.py").write_text(WHOLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DOCCLF_ALLOW", "whole.*")
    cfg.callbacks = {"a": {"_target_": "whole.Callback", "patience": 2}, "b": None}
    cfg.optimizer = {"_target_": "whole.Lion", "_partial_": True, "lr": 1}
    cfg.scheduler = {"_target_": "whole.plateau", "_partial_": True, "patience": 1}
    OmegaConf.update(cfg, "model.net", {"_target_": "whole.Net", "width": 2}, force_add=True)
    OmegaConf.update(cfg, "model.loss", {"_target_": "whole.Loss", "_partial_": True}, force_add=True)
    check_added(cfg, [])
    cfg.model.loss = {"_target_": "whole.Loss", "_args_": [1.0]}
    check_added(cfg, [])


@pytest.mark.parametrize("mode", [(), *slowly((("-m", "hparams_search=head"),))])
def test_what_a_folder_of_configs_adds_must_fit_without_a_plus_too(
    pages_root: Path, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\nrefti: all\noptimizer: {learning_rate: 1e-3}\n")
    own = ("--config-dir", "conf", "experiment=mine", "data=csv", f"data.root={pages_root}", "model.name=pixels")
    done = command(tmp_path, "docclf.train", *mode, *own)
    assert done.returncode == 1 and "reads no key `refti`. Did you mean `refit`?" in done.stdout
    assert "Expected arguments of torch.optim.AdamW below `optimizer`, got learning_rate." in done.stdout


def test_keys_at_the_top_that_nothing_reads_are_told_of_where_another_one_was_meant(
    cfg: DictConfig, caplog: pytest.LogCaptureFixture
) -> None:
    OmegaConf.set_struct(cfg, False)
    cfg.width, cfg.optimiser = 3, {"lr": 1}
    check_added(cfg, [])
    assert not caplog.messages, "there are no configs besides docclf's own"
    check_added(cfg, [], [Path("conf")])
    assert [text.partition(" If")[0] for text in caplog.messages] == [
        "docclf reads no key `optimiser`. Did you mean `optimizer`?"
    ]


def test_a_key_of_the_data_that_there_is_not_is_told_of() -> None:
    with pytest.raises(ConfigError, match=r"known keys below `data`, got excludes. Did you mean data.exclude\?"):
        make_options(32, 1.0, excludes="x.csv")


def test_a_part_that_needs_more_than_it_is_given_says_what(cfg: DictConfig) -> None:
    with pytest.raises(ConfigError, match=r"`data.root`, which .*PageDataModule needs, got no value. Say \+data.root"):
        build({"_target_": "docclf.data.module.PageDataModule"}, "data")


@pytest.mark.parametrize("group", ["sampler", *slowly("pruner")])
def test_a_part_of_the_sweeper_can_be_chosen_on_the_command_line(root: Path, tmp_path: Path, group: str) -> None:
    text = {"sampler": "_target_: optuna.samplers.RandomSampler\nseed: 1\n", "pruner": "_target_: mine.Pruner\n"}[group]
    folder = tmp_path / "conf" / "hydra" / "sweeper" / group
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(text)
    given = ("--config-dir", "conf", "hparams_search=head", f"hydra/sweeper/{group}=mine", "--cfg", "hydra")
    done = command(tmp_path, "docclf.train", "-m", f"data.root={root}", *given)
    assert done.returncode == 0 and text.splitlines()[0] in done.stdout


def test_other_arguments_of_the_trainer_are_lightnings(root: Path, tmp_path: Path) -> None:
    arguments = ("+trainer.detect_anomaly=true", "trainer.deterministic=true", "+trainer.limit_train_batches=1")
    tiny = [text for text in TINY if not text.startswith(("model=", "data="))]
    own = ("data=csv", "model.name=test_resnet", "model.tune=all", f"data.root={root}", "hydra.run.dir=run")
    done = command(tmp_path, "docclf.train", *tiny, *own, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize(
    "more", [("--cfg", "job"), ("--cfg", "hydra"), *slowly((("--cfg", "all", "--resolve"),), (("--info", "config"),))]
)
def test_a_search_shows_its_config(tmp_path: Path, more: tuple[str, ...]) -> None:
    done = command(tmp_path, "docclf.train", "-m", "hparams_search=optuna", *more, "search.n_trials=7")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "n_trials" in done.stdout or more[0] == "--info"


@pytest.mark.slow
def test_the_template_runs_as_its_readme_says_in_an_empty_environment(root: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    docclf = PROJECT.parents[1]
    install = [python, "-m", "pip", "install", "--quiet", "-c", docclf / "constraints.txt", docclf]
    done = subprocess.run(install, capture_output=True, text=True)
    if "Failed to establish a new connection" in done.stderr:
        pytest.skip("no package registry is to be had")
    assert done.returncode == 0, done.stderr
    folder = shutil.copytree(PROJECT, tmp_path / "my_project")
    (said,) = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("    python ")]
    arguments = shlex.split(said.replace("=DIR", f"={root}"))[1:]
    subprocess.run([python, *arguments, "validation.epochs=1", "hydra.run.dir=run"], check=True, cwd=folder)
    assert yaml.safe_load((folder / "run" / "result.yaml").read_text(encoding="utf-8"))["state"] == "COMPLETE"
