"""What every key of conf/ may be: one table a command. Looked at before anything starts; imports nothing heavy."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from docclf import CONF_DIR
from docclf.errors import ConfigError
from docclf.safety.rules import FLAG, Rule, either, file, listed, mapping, number, one_of, text
from docclf.safety.untrusted import is_folder_name, plain
from docclf.sweeper.space.duration import read_timeout
from docclf.sweeper.space.keys import nearest
from docclf.training.validation import SCORES

KEEP = ("winner", "finalists", "all", "none")
# What `search.objective` can name: see docclf.training.crossval.CrossValidation.metrics.
CLEAN = "macro_f1_clean"
METRICS = (*SCORES, CLEAN, "train_seconds", "parameters")

_PRECISIONS = ("64-true", "32-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed", "64", "32", "16", "bf16")
_SEED = number(0, most=2**32 - 1, whole=True)
_SEED_OR_NONE = number(0, most=2**32 - 1, whole=True, null=True)
_COUNT = number(1, most=10**9, whole=True)
_COUNT_OR_NONE = number(1, most=10**9, whole=True, null=True)
_FRACTION = number(0, most=1)
_AMOUNT = number(0, most=10)
_PATH = text("a path, or null", null=True)
_ANY_PATH = text("a path, or null", null=True, numbers=True)
_FOLDER = text("the name of a folder, without / and other than . and ..", numbers=True, fits=is_folder_name)
_BOUND = re.compile(r"\s*([<>]=)?\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)


def _timeout(value: Any) -> str:
    try:
        read_timeout(value)
    except ConfigError:
        return "seconds, or a text such as 90s, 30m or 1h30m, above 0, or null for none"
    return ""


def _augmentation(value: Any) -> str:
    return one_of(None, *sorted(path.stem for path in (CONF_DIR / "augment").glob("*.yaml")))(value)


_ENTRY = either(mapping("values"), text(), listed(text(), "overrides"))
_OBJECTIVES = f"out of {', '.join(METRICS)}"
_AUGMENT: dict[str, Rule] = {
    "augment.strength": _AMOUNT,
    "augment.degrees": number(0, most=180),
    **{f"augment.{key}": _AMOUNT for key in ("blur", "mixup", "cutmix")},
    **{f"augment.{key}": _FRACTION for key in ("quarter_turns", "flips", "crop", "perspective")},
    **{f"augment.{key}": _FRACTION for key in ("fading", "stains", "creases", "erasing", "brightness", "contrast")},
    **{f"augment.{key}": _FRACTION for key in ("shading", "shadow", "noise", "jpeg")},
}
_DATA: dict[str, Rule] = {
    "data.batch_size": _COUNT,
    "data.image_size": number(8, most=4096, whole=True),
    "data.fit": one_of("squeeze", "letterbox"),
    "data.margin": number(1, most=8),
    "data.channels": one_of(1, 3),
    "data.multi_page": one_of("first", "all"),
    "data.on_error": one_of("raise", "drop"),
    "data.near_duplicates": number(0, most=256, whole=True, null=True),
    "data.max_megapixels": number(1, most=1e6),
    "data.rare_classes": one_of("raise", "drop", "train"),
    "data.exclude": file(),
    "data.corrections": file(),
    "data.balance": one_of("none", "sampler"),
    "data.cache_gb": number(0),
    "data.cache_dir": _PATH,
    "data.root": _ANY_PATH,  # see docclf.cli.preflight.require_root
    "data.reader": mapping("how pages are listed, with its _target_"),
    "data.draw": mapping("null, or how pages are drawn", null=True),
    "data.draw.pages_per_class": number(1, most=100_000, whole=True),
    "data.draw.test_pages_per_class": number(0, most=100_000, whole=True),
    "data.draw.test_look": one_of("photo", "none"),
}
_MODEL: dict[str, Rule] = {
    "model.name": text("a model of timm"),
    "model.tune": one_of("head", "last", "all"),
    "model.pretrained": one_of("auto", True, False),
    "model.checkpoint_path": file("a file of weights"),
    "model.head.C": number(1e-9, most=1e9),
    "model.head.sqrt": FLAG,
    "model.head.scales": listed(number(0.01, most=1), "fractions above 0 and up to 1, such as [1.0, 0.7]", least=1),
    "model.head.second_order": FLAG,
    "model.head.stages": FLAG,
    "model.head.aspect": FLAG,
    "model.head.views": number(0, most=100, whole=True, null=True),
    "model.drop_rate": number(0, below=1, null=True),
    "model.label_smoothing": number(0, below=1),
    "model.class_weights": FLAG,
    "model.layer_decay": number(0.01, most=1),
    "model.batch_norm": one_of("auto", "frozen", "running", "epoch"),
    "model.ema": number(0, below=1),
    "model.net": mapping("null, or a net of your own with its _target_", null=True),
    "model.net._target_": text("the dotted name of a net, such as mine.Net"),
    "model.loss": mapping("null, or a loss of your own with its _target_", null=True),
    "optimizer.lr": number(0),
    "optimizer.weight_decay": number(0),
    "optimizer.momentum": number(0, below=1),
    "optimizer.nesterov": FLAG,
    "optimizer.fused": either(one_of(None), FLAG),
    "scheduler.warmup": _FRACTION,
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.precision": one_of("auto", *_PRECISIONS, 64, 32, 16),
    "trainer.gradient_clip_val": number(0, null=True),
    "trainer.deterministic": one_of(None, True, False, "warn"),
    "trainer.devices": number(1, whole=True),
    "trainer.strategy": one_of("auto", "ddp", "ddp_find_unused_parameters_true"),
}
_VALIDATION: dict[str, Rule] = {
    "validation.folds": number(2, most=1000, whole=True),
    "validation.run_folds": _COUNT_OR_NONE,
    "validation.epochs": number(1, most=100_000, whole=True),
    "validation.max_batch_size": _COUNT_OR_NONE,
    "validation.prune_after": _COUNT,  # after epochs, which it is by default
    "validation.report": one_of("epoch", "fold"),
    "validation.augment": _augmentation,
    "validation.robust": FLAG,
    "validation.split_file": file("a CSV file with the columns ID and fold"),
    "validation.order": one_of("content", "rows"),
    "validation.seed": _SEED,
}
_SEARCH: dict[str, Rule] = {
    "study_name": _FOLDER,
    "seed": _SEED,
    "refit": one_of("all", "folds", "distill", False),
    "teacher": _PATH,  # see docclf.cli.combinations
    "report": FLAG,
    "results.pickle": FLAG,
    "keep_checkpoints": one_of(*KEEP),
    "finalists.top_k": number(0, whole=True),
    "finalists.seed": _SEED,
    "finalists.validation": text("an option of validation, or null", null=True),
    "logger.none": FLAG,
    "logger.wandb.project": text("the name of a project, or null", null=True),
    "logger.wandb.entity": text("a user or a team, or null", null=True),
    "search.n_trials": _COUNT_OR_NONE,
    "search.timeout": _timeout,
    "search.stop_when_stagnant": _COUNT_OR_NONE,
    "search.workers": either(one_of("auto"), number(1, whole=True)),
    "search.storage": either(
        mapping("an object"), text("a storage URL, a path that ends with .log, or null", null=True)
    ),
    "search.seed": _SEED_OR_NONE,
    "search.objective": either(one_of(*METRICS), listed(one_of(*METRICS), _OBJECTIVES, least=1)),
    "search.constraints": mapping(
        "names with bounds, as in '{train_seconds: 60}', or null",
        fits=lambda pair: isinstance(pair[0], str) and bool(_BOUND.fullmatch(str(pair[1]))),
        null=True,
    ),
    "search.enqueue": either(one_of(None), listed(_ENTRY, "a list of files or of overrides, as in ['model.tune=all']")),
    "search.warm_start_from": text("a folder of a search, a storage URL, or null", null=True),
    "search.ensemble": one_of("auto", True, False),
    "search.report": one_of("epoch", "fold"),  # which wilcoxon.yaml adds
    "search.max_predict_cost": number(1),
    "search.keep_gb": number(0),
    "search.memory": text("auto, none, or a folder of searches", null=True, numbers=True),
    "search.warm_start": one_of("best", "all"),
}
TRAIN: dict[str, Rule] = {**_SEARCH, **_DATA, **_MODEL, **_VALIDATION, **_AUGMENT}
PREDICT: dict[str, Rule] = {
    "run": _ANY_PATH,
    "data.root": _ANY_PATH,
    "data.sample_submission": _ANY_PATH,
    "data.multi_page": one_of("first", "all"),
    "data.max_megapixels": number(1, most=1e6),
    "output": text("the name of a file", numbers=True),
    "tta": one_of("none", "flips", "rotations"),
    "calibrated": FLAG,
    "abstain": lambda value: (
        "an accuracy between 0 and 1, such as abstain=0.95, or null"
        if number(above=0, below=1, null=True)(value)
        else ""
    ),
    "batch_size": _COUNT,
    "device": text("auto, or a device such as cpu, cuda or cuda:1"),
}
EXPORT: dict[str, Rule] = {"run": _ANY_PATH, "output": _ANY_PATH, "pages": _ANY_PATH}
TABLES = {"train": TRAIN, "look": TRAIN, "predict": PREDICT, "export_model": EXPORT}
# Without a value in conf/: who needs it says so.
_MAY_LACK = ("data.root", "run", "model.net._target_")
# What to do instead.
_WAYS_OUT = {"validation.folds=1": "Use validation=holdout for a single split."}


def check_leaves(cfg: DictConfig, table: Mapping[str, Rule] = TRAIN) -> None:
    """Refuse a value that is not of its key's kind, or out of its range, with a `ConfigError`.

    A key that a config has not, as another option may have none, is not asked for.
    """
    for room in dict.fromkeys(key.partition(".")[0] for key in table if "." in key):
        if room in cfg and not isinstance(found := cfg[room], DictConfig) and (room, found) != ("logger", None):
            raise ConfigError(f"Expected keys below `{room}`, got {plain(str(found))}. Leave it out for the default.")
    for key, rule in table.items():
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if not isinstance(node, DictConfig) or leaf not in map(str, node):
            continue
        if OmegaConf.is_missing(node, leaf):
            if key in _MAY_LACK:
                continue
            raise ConfigError(f"Expected a value of `{key}`, got none. Leave it out for the default.")
        value: Any = node[leaf]
        value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        if expected := rule(value):
            got = "null" if value is None else "nothing" if value == "" else plain(str(value))
            way_out = _WAYS_OUT.get(f"{key}={got}", "Leave it out for the default.")
            raise ConfigError(f"Expected `{key}` to be {expected}, got {got}. {way_out}")
    for group in map(str, cfg):
        partial = OmegaConf.select(cfg, f"{group}._partial_", default=False)
        if FLAG(partial):
            raise ConfigError(f"Expected `{group}._partial_` to be true or false, got {plain(str(partial))}.")


def require_known_keys(config: DictConfig, known: Iterable[str]) -> None:
    """Refuse keys that would change nothing, in the sections that only docclf reads.

    Raises:
        ConfigError: There is one.
    """
    for room in ("search", "finalists", "results"):
        keys = [key for key in known if key.startswith(f"{room}.")]
        for key in (f"{room}.{name}" for name in config.get(room) or ()):
            if key not in keys:
                near = nearest(key, keys, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"Leave it out: there are {', '.join(keys)}."
                raise ConfigError(f"Expected keys that `{room}` has, got `{key}`. {hint}")
