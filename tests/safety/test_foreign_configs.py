"""What a folder of configs that was sent may decide."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.utils import get_args
from omegaconf import OmegaConf
from slowly import slowly

from docclf import CONF_DIR
from docclf.cli.foreign import check_foreign
from docclf.errors import ConfigError, DataError
from docclf.safety.allow import require_allowed
from docclf.safety.targets import whitelist


def refused(folder: Path, content: str, *arguments: str, file: str = "config.yaml") -> str:
    """What is said of a command with a config of somebody else; empty where it is taken."""
    path = folder / "theirs" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "defaults:\n  - train\n  - _self_\n" if file == "config.yaml" and "defaults:" not in content else ""
    path.write_text(head + content, encoding="utf-8")
    name = ["--config-name", "config"] if file == "config.yaml" else []
    try:
        check_foreign(get_args(["--config-dir", str(folder / "theirs"), *name, *arguments]), "train")
    except ConfigError as error:
        return str(error)
    return ""


SEARCH = ("-m", "hparams_search=optuna")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("hydra: {job_logging: {handlers: {file: {filename: /x}}}}", "hydra.job_logging.handlers.file.filename"),
        ("hydra: {job_logging: {handlers: {x: {(): os.system, command: x}}}}", "hydra.job_logging.handlers.x"),
        ("hydra: {hydra_logging: {formatters: {x: {class: mine.Turned}}}}", "hydra.hydra_logging.formatters.x"),
        ("hydra: {run: {dir: /x}}", "hydra.run.dir"),
        ("hydra: {sweep: {subdir: ../../x}}", "hydra.sweep.subdir"),
        ("hydra: {output_subdir: ../../x}", "hydra.output_subdir"),
        ("hydra: {callbacks: {x: {_target_: mine.Turned}}}", "hydra.callbacks.x"),
        *slowly(
            ("hydra: {launcher: {_target_: mine.Turned}}", "hydra.launcher._target_"),
            ("hydra: {job: {env_set: {LD_PRELOAD: /x}}}", "hydra.job.env_set"),
            ("hydra: {searchpath: ['pkg://mine']}", "hydra.searchpath"),
            ("hydra: {sweeper: {_target_: mine.Turned}}", "hydra.sweeper._target_"),
            ("hydra: {sweeper: {preload: [mine]}}", "hydra.sweeper.preload"),
            ("hydra: {sweeper: {preflight: mine.Turned}}", "hydra.sweeper.preflight"),
            ("hydra: {sweeper: {on_best: mine.Turned}}", "hydra.sweeper.on_best"),
            ("hydra: {sweeper: {finalists: {members: mine.Turned}}}", "hydra.sweeper.finalists.members"),
            ("hydra: {sweeper: {custom_search_space: mine.Turned}}", "hydra.sweeper.custom_search_space"),
            ("hydra: {sweeper: {storage: 'sqlite:////x.db'}}", "hydra.sweeper.storage"),
            ("hydra: {sweeper: {warm_start_from: 'mysql://me@host/x'}}", "hydra.sweeper.warm_start_from"),
            ("hydra: {sweeper: {params: {hydra.run.dir: /x}}}", "hydra.run.dir"),
            ("hydra: {sweeper: {params: {+hydra.job.env_set.X: y}}}", "hydra.job.env_set"),
            ("hydra: {sweeper: {params: {'+augment@hydra.callbacks': x}}}", "hydra.callbacks"),
            ("hydra: {sweeper: {params: {hydra/launcher: x}}}", "hydra/launcher"),
            ("hydra: {sweeper: {params: {'hydra[run][dir]': /x}}}", "hydra[run][dir]"),
            ("hydra: {overrides: {hydra: ['hydra.run.dir=/x']}}", "hydra.overrides.hydra"),
            ("hydra: {aliases: {fast: 'hydra.run.dir=/x'}}", "hydra.aliases"),
            ("hydra: {runtime: {output_dir: /x}}", "hydra.runtime.output_dir"),
            ("x: ../x\nhydra: {job: {name: '${x}'}}", "hydra.job.name"),
            ("hydra: {job: {num: 1}}", "hydra.job.num"),
            ("hydra: {sweeper: {conditional: [{when: {a: 1}, params: {data.cache_dir: /x}}]}}", "data.cache_dir"),
            ("hydra: {sweeper: {finalists: {overrides: {study_name: /x}}}}", "study_name"),
            ("a: $\nhydra: {sweeper: {params: {model.name: '${a}{oc.env:HOME}'}}}", "hydra.sweeper.params.model.name"),
            ("study_name: ../x", "study_name"),
            ("x: ../y\nstudy_name: ${x}", "study_name"),
            ("study_name: /x", "study_name"),
            ("data: {cache_dir: /x}", "data.cache_dir"),
            ("data: {root: /nowhere/x}", "data.root"),
            ("trainer: {default_root_dir: /x}", "trainer.default_root_dir"),
            ("trainer: {profiler: pytorch}", "trainer.profiler"),
            ("search: {storage: 'postgresql://me@host/x'}", "search.storage"),
            ("search: {storage: x.log}", "search.storage"),
            ("search: {warm_start_from: /x}", "search.warm_start_from"),
            ("search: {memory: /x}", "search.memory"),
            ("hydra: {sweeper: {memory: /x}}", "hydra.sweeper.memory"),
            ("refit: distill\nteacher: /x", "teacher"),
            ("model: {name: '${oc.env:HOME}'}", "model.name"),
            ("x: oc.env\nmodel: {name: '${${x}:HOME}'}", "model.name"),
            ("optimizer: {lr: '${oc.select:a,${oc.env:HOME}}'}", "optimizer.lr"),
            ("model: {name: '\\${oc.env:HOME}'}", "model.name"),
        ),
    ],
)
def test_a_folder_of_configs_decides_nothing_that_is_not_about_training(content: str, key: str, tmp_path: Path) -> None:
    message = refused(tmp_path, content, *SEARCH)
    assert key in message.partition("got")[0], message


@pytest.mark.slow
def test_options_that_a_sweep_could_choose_are_looked_at_too(tmp_path: Path) -> None:
    content = "# @package _global_\nhydra: {run: {dir: /x}}\n"
    assert "hydra.run.dir" in refused(tmp_path, content, "-m", "experiment=basic,evil", file="experiment/evil.yaml")
    assert "hydra.run.dir" in refused(tmp_path, content, *SEARCH, file="experiment/evil.yaml")
    (tmp_path / "theirs" / "experiment" / "evil.yaml").unlink()
    (tmp_path / "theirs" / "experiment" / "aaa.yaml").write_text("defaults: [nothing_of_the_kind]\n")
    hidden = "defaults: [{'/experiment/deep/x@_global_.hydra.callbacks.x': y}]\n"
    (tmp_path / "theirs" / "experiment" / "deep" / "x").mkdir(parents=True)
    (tmp_path / "theirs" / "experiment" / "deep" / "x" / "y.yaml").write_text("_target_: mine.Turned\n")
    assert "hydra.callbacks.x" in refused(tmp_path, hidden, *SEARCH, file="experiment/evil.yaml")
    (tmp_path / "theirs" / "experiment" / "evil.yaml").unlink()
    mixed = "defaults: [{'/experiment/${experiment}@_global_': x}]\n"
    assert "interpolated defaults" in refused(tmp_path, mixed, *SEARCH, file="augment/evil.yaml")


def write(folder: Path, **files: str) -> Path:
    """A folder of configs; names with __ for the groups."""
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


RUN_DIR = "# @package _global_\nhydra: {run: {dir: ran}}\n"


@pytest.mark.parametrize(
    ("name", "files", "arguments", "expected"),
    [
        # an option of docclf's own that is broken in the folder, where Hydra does not look for it
        ("theirs", {"config": f"defaults: [train, _self_]\n{RUN_DIR}", "optimizer__adamw": "defaults: [x]"}, [],
         "`hydra.run.dir`"),
        *slowly(("kim's", {"augment__evil": RUN_DIR}, ["augment=evil"], "`hydra.run.dir`"),
        ("theirs", {"config": f"defaults: [train, x, _self_]\n{RUN_DIR}"}, [], "In 'config': Could not load 'x'"),
        ("theirs", {"config": "defaults: [train]\nhydra: {aliases: {fast: hydra.run.dir=ran}}"}, ["fast"], "'fast'"),
        ("theirs", {"config": "defaults: [train, _self_]\nhydra: {mode: MULTIRUN}"}, [],
         "`hydra.mode`")),
    ],
)  # fmt: skip
def test_what_is_checked_is_what_hydra_composes(
    name: str, files: dict[str, str], arguments: list[str], expected: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / name, **files)
    command = [sys.executable, "-m", "docclf.train", "--config-dir", str(folder), "data=csv", "data.root=nowhere"]
    named = ["--config-name", "config"] if "config" in files else []
    done = subprocess.run([*command, *named, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and expected in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("mode", ["typed", "flag"])
def test_a_search_is_one_by_its_mode_too(mode: str, tmp_path: Path) -> None:
    given = ["-m"] if mode == "flag" else ["hydra.mode=MULTIRUN"]
    content = "search: {storage: 'postgresql://me@host/x'}"
    assert "search.storage" in refused(tmp_path, content, "hparams_search=optuna", *given)


@pytest.mark.slow
def test_options_are_looked_at_as_a_search_adds_them(tmp_path: Path) -> None:
    theirs = write(
        tmp_path / "theirs",
        augment__evil="hydra: {run: {dir: /x}}\n",
        experiment__a="# @package _global_\ndefaults: [{'/mine@_global_': x}]\n",
        optimizer__b="defaults: [{'override /mine@_global_': evil}]\n",
        mine__x="foo: {}\n",
        mine__evil="hydra: {run: {dir: /x}}\n",
    )
    assert "hydra.run.dir" in refused(tmp_path, "hydra: {sweeper: {params: {'+augment@_global_': evil}}}", "-m")
    together = "hydra: {sweeper: {params: {'+experiment': a, 'optimizer': b}}}"  # neither choice can be made alone
    assert "`optimizer=b`" in refused(tmp_path, together, "-m")
    (theirs / "augment" / "deep").symlink_to(theirs / "mine")
    with pytest.raises(DataError, match="leads elsewhere"):
        refused(tmp_path, "hydra: {sweeper: {params: {augment: deep/evil}}}", "-m")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config-path", "theirs"], "--config-dir theirs --config-name NAME"),
        (["--config-name", "/tmp/theirs/config"], "--config-dir /tmp/theirs --config-name config"),
        (["--config-name", "../theirs/config"], "--config-dir ../theirs --config-name config"),
    ],
)
def test_configs_are_docclfs_own_first_and_named_by_name(arguments: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        check_foreign(get_args(arguments), "train")


def test_a_launcher_of_the_folder_does_not_shadow_the_installed_one(tmp_path: Path) -> None:
    content = "_target_: mine.Turned\n"
    assert "hydra.launcher" in refused(
        tmp_path, content, "hydra/launcher=basic", "-m", file="hydra/launcher/basic.yaml"
    )


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("password: x\n")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "more.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(Exception, match="leads elsewhere"):
        refused(tmp_path, "seed: 1")


@pytest.mark.parametrize("content", ["defaults: [train, {override optimizer: mine}, _self_]", "defaults: [train, a/b]"])
def test_an_option_that_is_a_link_out_of_the_folder_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("password: x\n")
    for place in ("optimizer/mine.yaml", "a/b.yaml"):
        (tmp_path / "theirs" / place).parent.mkdir(parents=True)
        (tmp_path / "theirs" / place).symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(DataError, match="leads elsewhere"):
        refused(tmp_path, content)


def test_reruns_of_somebody_elses_command_are_refused() -> None:
    with pytest.raises(ConfigError, match="--experimental-rerun"):
        check_foreign(get_args(["--experimental-rerun", "x"]), "train")


@pytest.mark.parametrize(
    ("content", "file", "arguments"),
    [
        ("optimizer: {lr: 0.1}\nstudy_name: 서식 2", "config.yaml", SEARCH),
        ("hydra: {sweeper: {baseline: false, params: {optimizer.lr: 'interval(1e-4, 1e-3)'}}}", "config.yaml", SEARCH),
        ("hydra: {sweeper: {sampler: {n_startup_trials: 3}}}", "config.yaml", SEARCH),
        *slowly(("logger: {wandb: {project: '${oc.env:WANDB_PROJECT,docclf}'}}", "config.yaml", ()),
        ("{{optuna}}", "hparams_search/mine.yaml", ("-m", "hparams_search=mine")),
        ("# @package _global_\nsearch: {n_trials: 3}", "experiment/mine.yaml", (*SEARCH, "experiment=mine")),
        ("strength: 2\ndefaults: [light, _self_]", "augment/mine.yaml", ("augment=mine",)),
        ("hydra: {run: {dir: /x}}", "config.yaml", ("hydra.run.dir=/y",)),
        ("data: {cache_dir: /x}", "config.yaml", ("data.cache_dir=y",)),
        ("search: {storage: x.log}", "config.yaml", ("search.storage=y.log", *SEARCH))),
    ],
)  # fmt: skip
def test_what_is_about_training_and_what_was_typed_is_taken(
    content: str, file: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    own = Path("conf/hparams_search/optuna.yaml").read_text(encoding="utf-8")
    assert refused(tmp_path, content.replace("{{optuna}}", own), *arguments, file=file) == ""


def test_keys_may_be_allowed_where_the_command_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCCLF_ALLOW", "hydra.launcher.*")
    content = "hydra: {launcher: {setup: [module load cuda]}}"
    assert refused(tmp_path, content, "hydra/launcher=submitit_slurm") == ""
    assert "hydra.run.dir" in refused(tmp_path, "hydra: {run: {dir: /x}}")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
def test_what_is_allowed_is_so_in_workers_and_jobs_and_recorded(launcher: str, seen: Path, pages_root: Path) -> None:
    module = "from docclf.data.augment.batch import BatchAugment\nclass Mine(BatchAugment): pass\n"
    (seen.parent / "mine.py").write_text(module)
    command = [sys.executable, "-m", "docclf.train", "-m", "hparams_search=head", "search.n_trials=2", "report=false"]
    command += [f"hydra/launcher={launcher}", "augment._target_=mine.Mine", "data=csv", f"data.root='{pages_root}'"]
    command += ["model.name=test_resnet", "data.image_size=32", "search.workers=2", "finalists.top_k=0", "logger=none"]
    path = os.pathsep.join([str(seen.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=seen.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode and "--allow mine.Mine" in done.stdout + done.stderr
    environment["DOCCLF_ALLOW"] = "mine.*"
    done = subprocess.run(command, cwd=seen.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = seen.parent / "multirun" / "search"
    assert OmegaConf.load(folder / "1" / "result.yaml").allowed == ["mine.*"]
    assert "DOCCLF_ALLOW=mine.*" in (folder / "best" / "config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", sorted(path.stem for path in (CONF_DIR / "hparams_search").glob("*.yaml")))
def test_what_a_search_of_conf_calls_is_listed(option: str, compose_config: Any) -> None:
    hydra = compose_config(f"hparams_search={option}", hydra=True).hydra
    sweeper = hydra.sweeper
    named = [sweeper.preflight, sweeper.on_best, sweeper.finalists.members, *sweeper.preload]
    named += [callback._target_ for callback in hydra.callbacks.values()]
    for name in filter(None, named):
        require_allowed(name, whitelist(), "hydra")


def test_pages_are_looked_at_with_the_config_of_a_training(tmp_path: Path) -> None:
    path = tmp_path / "best" / "config.yaml"
    path.parent.mkdir()
    path.write_text("defaults: [train, app, _self_]\ndata: {image_size: 64}\n", encoding="utf-8")
    given = get_args(["--config-dir", str(path.parent), "--config-name", "config"])
    found = check_foreign(given, "look")
    assert found.data.image_size == 64
