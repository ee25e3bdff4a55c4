"""Every option on disk composes and builds, and says which command uses it."""

import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import docclf
from docclf.data.augment.batch import BatchAugment
from docclf.loggers.choice import chosen_loggers
from docclf.loggers.run import RunInfo, RunLogger
from docclf.training.trainer import choose_precision

Compose = Callable[..., DictConfig]

CONF = docclf.CONF_DIR
OPTIONS = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*/*.yaml"))
# Options of Hydra's own groups are selected by those of ours.
OURS = [option for option in OPTIONS if not option.startswith("hydra/")]
# Of `logger` several options are chosen at once, so each has a key of its own, and an exported config holds the choice.
GROUPS = sorted({option.partition("/")[0] for option in OURS} - {"experiment", "hparams_search", "logger"})

# Keys that one option of a group has more than its siblings, with the reason.
OWN_KEYS = {
    "model/wrap": {"net._target_"},  # of the net, which other models have not
    "optimizer/sgd": {"momentum", "nesterov"},  # AdamW has no such thing; `~optimizer.momentum` takes one out
}


def split(option: str) -> tuple[str, str]:
    group, _, name = option.rpartition("/")
    return group, name


def keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys; what is below another `_target_` is that target's own business."""
    for key, value in node.items_ex(resolve=False):
        yield f"{prefix}{key}"
        if isinstance(value, DictConfig) and "_target_" not in value:
            yield from keys(value, f"{prefix}{key}.")


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(compose_config: Compose, option: str) -> None:
    group, name = split(option)
    sweeper = ["hydra/sweeper=docclf"] if group.startswith("hydra/sweeper/") else []
    cfg = compose_config(*sweeper, f"{group}={name}", hydra=True)
    assert cfg.hydra.runtime.choices[group] == name
    if group == "hparams_search":
        assert cfg.hydra.sweeper._target_ == "docclf.sweeper.plugin.DocclfSweeper"
    OmegaConf.to_container(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]), resolve=True)


@pytest.mark.parametrize("option", OURS)
def test_the_first_lines_of_an_option_hold_the_command_that_uses_it(compose_config: Compose, option: str) -> None:
    lines = (CONF / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    comments = [line for i, line in enumerate(lines) if all(before.startswith("#") for before in lines[: i + 1])]
    commands = [line.removeprefix("# ") for line in comments if line.startswith("# python -m docclf.")]
    assert commands, f"{option}.yaml begins without `# python -m docclf.COMMAND OVERRIDES`"
    for command in commands:
        module, *overrides = shlex.split(command)[2:]
        overrides = [word for word in overrides if "=" in word and not word.startswith("-")]
        choices = compose_config(*overrides, config=module.removeprefix("docclf."), hydra=True).hydra.runtime.choices
        group, name = split(option)
        assert choices[group] == name, "the command selects this very option"


@pytest.mark.parametrize("group", GROUPS)
def test_options_of_one_group_have_the_same_keys(compose_config: Compose, group: str) -> None:
    """An exported config has the winner's keys, and `group=option` merges over them: a key left over would stay."""
    found = {}
    for option in OURS:
        if split(option)[0] == group:
            cfg = compose_config(f"{group}={split(option)[1]}")
            found[option] = set(keys(cfg[group])) - OWN_KEYS.get(option, set())
            assert OWN_KEYS.get(option, set()) <= set(keys(cfg[group]))
    assert len({frozenset(names) for names in found.values()}) == 1, found


# Every `_target_` is built, as train.py builds it


@pytest.mark.parametrize(
    "option", [option for option in OURS if split(option)[0] == "model" and option != "model/wrap"]
)
def test_every_model_builds_and_classifies(compose_config: Compose, option: str) -> None:
    model = instantiate(
        compose_config(f"model={split(option)[1]}", "model.tune=all", "model.pretrained=false").model,
        num_classes=3,
        image_size=64,
        optimizer=torch.optim.AdamW,
        scheduler=lambda optimizer: None,
    )
    model.eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize("option", [option for option in OURS if split(option)[0] == "augment"])
def test_every_augmentation_builds_and_augments(compose_config: Compose, option: str) -> None:
    augment = instantiate(compose_config(f"augment={split(option)[1]}").augment)
    assert isinstance(augment, BatchAugment)
    assert augment.view(torch.zeros(2, 40, 40, 3, dtype=torch.uint8), 32)[0].shape == (2, 3, 32, 32)


@pytest.mark.parametrize("optimizer", [split(option)[1] for option in OURS if split(option)[0] == "optimizer"])
@pytest.mark.parametrize("scheduler", [split(option)[1] for option in OURS if split(option)[0] == "scheduler"])
def test_every_optimizer_and_scheduler_build_and_step(compose_config: Compose, optimizer: str, scheduler: str) -> None:
    cfg = compose_config(f"optimizer={optimizer}", f"scheduler={scheduler}")
    weight, bias = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    built = instantiate(cfg.optimizer)([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}])
    assert [group["weight_decay"] for group in built.param_groups] == [float(cfg.optimizer.weight_decay), 0.0]
    schedule = instantiate(cfg.scheduler)(built, total_steps=5)
    (weight.sum() + bias.sum()).backward()
    built.step()
    schedule.step()
    assert (weight < 1).all() and (bias < 1).all()


@pytest.mark.parametrize("option", [option for option in OURS if split(option)[0] == "validation"])
def test_every_validation_builds(compose_config: Compose, option: str) -> None:
    cfg = compose_config(f"validation={split(option)[1]}", "seed=7").validation
    validation = instantiate(cfg)
    assert validation.seed == 7
    assert validation.n_trained_folds == {"validation/quick": 3, "validation/full": 5, "validation/holdout": 1}[option]
    assert validation.prune_after <= validation.epochs
    assert validation.prune_after < validation.n_trained_folds * validation.epochs, "or no trial can be pruned"


@pytest.mark.parametrize("option", [option for option in OURS if split(option)[0] == "trainer"])
def test_every_trainer_builds(compose_config: Compose, option: str) -> None:
    trainer = instantiate(compose_config(f"trainer={split(option)[1]}").trainer)(max_epochs=1, logger=False)
    assert trainer.max_epochs == 1
    assert trainer.precision == choose_precision()
    if not torch.cuda.is_available():
        has_bf16 = {"avx512_bf16", "amx_bf16"} & set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
        is_told = hasattr(torch.cpu, "get_capabilities")  # since torch 2.9
        assert trainer.precision == ("bf16-mixed" if has_bf16 and is_told else "32-true")


@pytest.mark.parametrize("option", [option for option in OURS if split(option)[0] == "logger"])
def test_every_logger_builds_and_finishes(compose_config: Compose, option: str, tmp_path: Path) -> None:
    name = split(option)[1]
    chosen = chosen_loggers(compose_config(f"logger={name}").logger)
    assert list(chosen) == ([] if name == "none" else [name]), "its key is its name"
    for node in chosen.values():
        logger = instantiate(node)(run=RunInfo(tmp_path, "run", "search", {"seed": 1}))
        assert isinstance(logger, RunLogger)
        logger.fold(0)
        logger.finish({"state": "COMPLETE"})


def test_csv_pages_build(compose_config: Compose, pages_root: Path) -> None:
    cfg = compose_config("data=csv", f"data.root='{pages_root}'", "data.image_size=32")
    assert instantiate(cfg.data, augment=BatchAugment()).pages.class_names == ["invoice", "계약서", "letter of intent"]


def test_pages_in_folders_build(compose_config: Compose, pages_root: Path, tmp_path: Path) -> None:
    for path in (pages_root / "train").iterdir():
        folder = tmp_path / path.name.partition(" ")[0]
        folder.mkdir(exist_ok=True)
        (folder / path.name).symlink_to(path)
    cfg = compose_config("data=folder", f"data.root='{tmp_path}'", "data.image_size=32")
    assert instantiate(cfg.data, augment=BatchAugment()).pages.class_names == ["0", "10", "7"]


def test_drawn_pages_build(compose_config: Compose, tmp_path: Path) -> None:
    few = ["data.draw.pages_per_class=2", "data.draw.test_pages_per_class=1", "data.image_size=32"]
    cfg = compose_config("data=synthetic", f"data.root='{tmp_path / 'pages'}'", *few)
    data = instantiate(cfg.data, augment=BatchAugment())
    assert len(data.labels) == 2 * len(data.pages.class_names) >= 24


@pytest.mark.parametrize(
    ("overrides", "augment", "validation", "size"),
    [
        ([], 0.5, "photo", 96),
        (["data=folder", "data.root=DIR"], 0, None, 320),
        (["data=csv", "data.root=DIR", "augment=photo"], 0.5, None, 320),
        (["augment=none", "validation=full"], 0, "photo", 96),
        (["data.draw.test_look=none", "data.image_size=64"], 0.5, "none", 64),
        (["validation.augment=null"], 0.5, None, 96),
        (["experiment=basic"], 0, "photo", 300),
    ],
    ids=str,
)
def test_drawn_pages_alone_are_trained_and_validated_as_photographs(
    compose_config: Compose, overrides: list[str], augment: float, validation: str | None, size: int
) -> None:
    cfg = compose_config(*overrides)
    assert (cfg.augment.quarter_turns, cfg.validation.augment, cfg.data.image_size) == (augment, validation, size)


# The primary config


def test_a_missing_folder_of_real_pages_is_asked_for_by_its_key(compose_config: Compose) -> None:
    assert OmegaConf.missing_keys(compose_config("data=folder")) == {"data.root"}
    assert OmegaConf.missing_keys(compose_config()) == set()


@pytest.mark.parametrize("name", ["basic", "highperf"])
def test_an_experiment_yields_to_the_command_line(compose_config: Compose, name: str) -> None:
    cfg = compose_config(f"experiment={name}", "augment=none", "model.drop_rate=0.2", "data.image_size=64")
    assert (cfg.augment.degrees, cfg.model.drop_rate, cfg.data.image_size) == (0, 0.2, 64)
    assert cfg.model.name == {"basic": "efficientnet_b3", "highperf": "swin_tiny_patch4_window7_224"}[name]


def test_the_space_of_the_default_search_is_within_the_config(compose_config: Compose) -> None:
    cfg = compose_config("hparams_search=optuna", hydra=True)
    for key in cfg.hydra.sweeper.params:
        assert OmegaConf.select(cfg, key) is not None, key
    assert re.fullmatch(r"multirun/\w+", cfg.hydra.sweep.dir)


def test_the_budget_of_a_search_is_set_by_its_short_keys(compose_config: Compose) -> None:
    short = ["search.n_trials=7", "search.timeout=60", "search.workers=2", "search.seed=5", "study_name=mine"]
    sweeper = compose_config("hparams_search=optuna", *short, hydra=True).hydra.sweeper
    select = partial(OmegaConf.select, sweeper)
    found = [select(key) for key in ("n_trials", "timeout", "n_jobs", "sampler.seed", "study_name")]
    assert found == [7, 60, 2, 5, "mine"]


@pytest.mark.parametrize(
    ("given", "seeds"), [([], (42, 42, 1042)), (["seed=1"], (1, 1, 1001)), (["search.seed=5"], (42, 5, 1042))]
)
def test_one_seed_is_the_root_of_all_others(
    compose_config: Callable[..., DictConfig], given: list[str], seeds: tuple[int, int, int]
) -> None:
    cfg = compose_config("hparams_search=optuna", *given)
    assert (cfg.validation.seed, cfg.search.seed, cfg.finalists.seed) == seeds
