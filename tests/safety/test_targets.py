"""What a config may call, and what a folder of configs may decide. Nothing in one that was sent runs code."""

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from docclf.cli.preflight import check_added, check_config
from docclf.errors import ConfigError, NotAllowedError
from docclf.safety.allow import require_allowed
from docclf.safety.permission import allowed
from docclf.safety.targets import build, check_targets
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.pruners import make_pruner
from docclf.sweeper.strategy.samplers import make_sampler
from docclf.train import train

# Each runs code, loads a pickle or writes a file where its arguments say.
GADGETS = [
    {"_target_": "torch.utils.collect_env.run", "command": "touch {seen}"},
    {"_target_": "torch.utils.collect_env.run", "command": "touch {seen}", "_partial_": True},
    {"_target_": "torch.distributed.run.main", "args": ["--nproc_per_node=1", "{code}"]},
    {"_target_": "torch.hub.load", "repo_or_dir": "{folder}", "model": "x", "source": "local"},
    {"_target_": "torch.utils.cpp_extension.load_inline", "name": "x", "cpp_sources": "int x;"},
    {"_target_": "torch.load", "f": "{pickle}", "weights_only": False},
    {"_target_": "torch.save", "obj": 1, "f": "{seen}"},
    {"_target_": "torch.hub.load_state_dict_from_url", "url": "file://{pickle}", "weights_only": False},
    {"_target_": "torch.package.PackageImporter", "file_or_buffer": "{pickle}"},
    {"_target_": "torch.jit.load", "f": "{pickle}"},
    {"_target_": "torch.compile", "model": {"_target_": "torch.load", "f": "{pickle}"}},
    {"_target_": "timm.models.load_checkpoint", "checkpoint_path": "{pickle}"},
    {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "{folder}"},
    {"_target_": "pytorch_lightning.Trainer", "default_root_dir": "{folder}"},
    {"_target_": "logging.FileHandler", "filename": "{seen}"},
    {"_target_": "logging.config.fileConfig", "fname": "{code}"},
    {"_target_": "optuna.storages.JournalStorage", "log_storage": 1},
    {"_target_": "optuna.artifacts.FileSystemArtifactStore", "base_path": "{folder}"},
    {"_target_": "docclf.demo.draw_pages", "root": "{folder}/drawn"},
    {"_target_": "docclf.results.study.files.write_pickle", "path": "{seen}"},
    {"_target_": "docclf.sweeper.job.worker.begin", "parent": 1, "path": "{pickle}"},
    {"_target_": "docclf.inference.folder.save_weights", "path": "{seen}", "weights": {}},
    {"_target_": "os.system", "command": "touch {seen}"},
    {"_target_": "hydra.utils.get_method", "path": "mine.Turned"},
    {"_target_": "mine.Turned"},
    {"_target_": "${{oc.decode:mine.Turned}}"},
]


def filled(gadget: Any, seen: Path) -> Any:
    names = {"seen": seen, "folder": seen.parent, "code": seen.parent / "code.py", "pickle": seen.parent / "a.pickle"}
    if isinstance(gadget, dict):
        return {key: filled(value, seen) for key, value in gadget.items()}
    return gadget.format(**names) if isinstance(gadget, str) else gadget


@pytest.mark.parametrize("gadget", GADGETS, ids=lambda gadget: gadget["_target_"])
def test_nothing_else_is_called_wherever_it_stands(gadget: dict[str, Any], cfg: DictConfig, seen: Path) -> None:
    before = set(seen.parent.iterdir())
    gadget = filled(gadget, seen)
    nested = OmegaConf.create({"_target_": "docclf.data.augment.batch.BatchAugment", "strength": [gadget]})
    keys = ("augment", "data.reader", "data.draw", "model.head", "optimizer", "logger.mine", "validation", "trainer")
    for key in keys:
        for value in (gadget, nested):
            if value.get("_target_") == "docclf.demo.draw_pages" and key == "data.draw":
                continue  # where it draws is looked at apart
            changed = cfg.copy()
            OmegaConf.update(changed, key, value, merge=False, force_add=True)
            with pytest.raises(ConfigError, match=r"_target_` to be .*, got"):
                check_config(changed)
            with pytest.raises(ConfigError, match=r"_target_` to be .*, got"):
                build(OmegaConf.select(changed, key), key)
    assert set(seen.parent.iterdir()) == before, "nothing ran, nothing was written"
    assert "mine" not in sys.modules


def test_what_may_stand_at_one_key_may_not_at_another(cfg: DictConfig) -> None:
    cfg.augment = {"_target_": "torch.optim.SGD", "params": []}
    with pytest.raises(ConfigError, match=r"`augment._target_` to be one of docclf.data.augment.batch.BatchAugment"):
        train(cfg, Path())


def test_a_whitelist_cannot_come_with_the_config(cfg: DictConfig) -> None:
    cfg.augment = {"_target_": "docclf.data.augment.batch.BatchAugment", "_execution_whitelist_": "*"}
    with pytest.raises(Exception, match="_execution_whitelist_"):
        build(cfg.augment, "augment")


def test_the_environment_allows_ones_own(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pattern in ("mine.Turned", "other, mine.*"):
        monkeypatch.setenv("DOCCLF_ALLOW", pattern)
        assert build({"_target_": "mine.Turned", "by": 2}, "augment").by == 2
    monkeypatch.setenv("DOCCLF_ALLOW", "min.*,mine.Turne")
    with pytest.raises(
        ConfigError,
        match=r"--allow mine\.Turned, or DOCCLF_ALLOW=min\.\*,mine\.Turne,mine\.Turned in front \(in Python "
        r"allow=\['mine\.Turned'\]\)$",
    ):
        build({"_target_": "mine.Turned", "by": 2}, "augment")


@pytest.mark.parametrize(
    ("name", "leads_out"),
    [
        ("theirs.Net", False),
        ("theirs.inner.Net", False),
        ("theirs.Net.made", False),
        ("theirs.os.mkdir", True),
        ("theirs.torch.hub.load", True),
        ("theirs.inner.mkdir", True),
        ("theirs.inner.Path.unlink", True),
        ("theirs.Net.load_state_dict", True),
    ],
)
def test_a_pattern_allows_what_its_package_defines_and_not_what_it_imports(
    name: str, leads_out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os\nimport torch\nclass Net(torch.nn.Module):\n    @staticmethod\n    def made(): return 1\n"
    )
    (package / "inner.py").write_text("from os import mkdir\nfrom pathlib import Path\nclass Net: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for pattern in ("theirs.*", name.rpartition(".")[0] + ".*"):
        monkeypatch.setenv("DOCCLF_ALLOW", pattern)
        if not leads_out:
            require_allowed(name, (), "model.net._target_")
        elif pattern == "theirs.*":
            with pytest.raises(
                NotAllowedError,
                match=rf"of theirs itself.*, got {name}.* --allow {name}, or DOCCLF_ALLOW=theirs\.\*,{name} in front$",
            ):
                require_allowed(name, (), "model.net._target_")
    monkeypatch.setenv("DOCCLF_ALLOW", f"theirs.*,{name}")
    require_allowed(name, (), "model.net._target_")


def test_what_may_not_be_called_is_not_imported_to_look_at_its_arguments(
    seen: Path, cfg: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (seen.parent / "acts.py").write_text("from pathlib import Path\nPath('acted').touch()\nclass Net: ...\n")
    monkeypatch.chdir(seen.parent)
    monkeypatch.setenv("DOCCLF_ALLOW", "other.*")
    OmegaConf.update(cfg, "model.net", {"_target_": "acts.Net"}, force_add=True)
    with pytest.raises(NotAllowedError, match=r"--allow acts\.Net"):
        check_added(cfg, ["+a=1"])
    assert not (seen.parent / "acted").exists()


def test_what_an_allowed_function_returns_may_be_called_where_its_class_is_allowed_too(
    seen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (seen.parent / "made.py").write_text("class Loss:\n    def __call__(self): ...\n\ndef loss(): return Loss()\n")
    monkeypatch.setenv("DOCCLF_ALLOW", "made.*")
    assert type(build({"_target_": "made.loss"}, "augment")).__name__ == "Loss"
    monkeypatch.setenv("DOCCLF_ALLOW", "made.loss")
    with pytest.raises(
        ConfigError,
        match=r"`augment` .* got an object of made.Loss from made.loss.* or DOCCLF_ALLOW=made.loss,made.Loss in front$",
    ):
        build({"_target_": "made.loss"}, "augment")
    monkeypatch.setenv("DOCCLF_ALLOW", "made.loss, made.Loss")
    assert type(build({"_target_": "made.loss"}, "augment")).__name__ == "Loss"


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("_partial_", "yes", "true or false"),
        ("_recursive_", 1, "true or false"),
        ("_convert_", 1, "a text"),
        ("_args_", "x", "a list"),
    ],
)
def test_what_stands_beside_a_target_is_of_its_kind(flag: str, value: object, expected: str, cfg: DictConfig) -> None:
    cfg.data.reader = {"_target_": "docclf.data.readers.read_csv", flag: value}
    with pytest.raises(ConfigError, match=rf"Expected `data\.reader\.{flag}` to be {expected}, got {value}\."):
        check_targets(cfg)


@pytest.mark.parametrize("pattern", ["*", "mine*", "mine.*.x", "a b", "mine.", ".mine"])
def test_a_pattern_that_says_too_much_is_refused(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCCLF_ALLOW", pattern)
    with pytest.raises(ConfigError, match="Expected DOCCLF_ALLOW to hold dotted names"):
        allowed()


@pytest.mark.parametrize("gadget", GADGETS, ids=lambda gadget: gadget["_target_"])
def test_samplers_and_pruners_are_chosen_by_name(gadget: dict[str, Any], seen: Path) -> None:
    gadget = filled(gadget, seen)
    space = parse_space({"x": "interval(0, 1)"})
    for config in (gadget, {"_target_": "optuna.samplers.TPESampler", "gamma": gadget}):
        with pytest.raises(ConfigError, match=r"hydra\.sweeper\.sampler"):
            make_sampler(OmegaConf.create(config), space, 0)
    for config in (gadget, {"_target_": "optuna.pruners.PatientPruner", "patience": 1, "wrapped_pruner": gadget}):
        with pytest.raises(ConfigError, match=r"hydra\.sweeper\.pruner"):
            make_pruner(OmegaConf.create(config))
    assert not seen.exists()


@pytest.mark.parametrize("key", ["model.head", "data", "validation", "optimizer", "trainer", "augment"])
def test_a_part_without_its_target_is_told_with_the_way_out(key: str, compose_config: Any) -> None:
    cfg = compose_config(f"~{key}._target_")
    with pytest.raises(ConfigError, match=rf"Expected `{key}\._target_`.* Leave ~{key}\._target_ out"):
        build(OmegaConf.select(cfg, key), key)
