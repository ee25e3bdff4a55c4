"""Train one configuration, or with `-m hparams_search=optuna` search for the best.

python -m docclf.train                              one configuration, k-fold
python -m docclf.train -m hparams_search=optuna     the search
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from docclf import CONF_DIR, quick_imports
from docclf.cli.leaves import SCORES
from docclf.cli.preflight import check_config, tell_duplicates, tell_few_steps, tell_unused
from docclf.cli.typos import answer_typos
from docclf.errors import ConfigError, DataError, DocclfError, MachineError, TrainingError
from docclf.loggers.choice import chosen_loggers
from docclf.sweeper import current_trial
from docclf.sweeper.run.faults import fault_of
from docclf.targets import build, build_model, own_model, whitelist
from docclf.untrusted import allowed

if TYPE_CHECKING:
    from docclf.data.module import PageDataModule
    from docclf.loggers.run import RunLoggers
    from docclf.models.feature_cache import FeatureCache
    from docclf.models.heads import Heads
    from docclf.sweeper.trial import JobTrial
    from docclf.training.crossval import CrossValidation
    from docclf.training.fitting import FoldTrainer
    from docclf.training.resume import FoldCheckpoints

# What Hydra itself may call: callbacks, and functions that the sweeper is given by name. See docclf/targets.py.
TARGETS = whitelist()


def _larger(size: int) -> int:
    """The other image size of the default search: 1.43 times as many pixels a side, in steps of 32."""
    return 32 * round(size * 10 / 7 / 32)


def _other_seed(seed: int) -> int:
    """The seed of finalists, whose folds must be other ones."""
    return int(seed) + 1000


OmegaConf.register_resolver("docclf.larger", _larger, replace=True)
OmegaConf.register_resolver("docclf.other_seed", _other_seed, replace=True)

# OpenMP threads that wait for work spin for milliseconds, on cores that others could use: with one more busy process on
# 2 cores a training was seen to take 10 times as long. Read when torch is imported; the user's own setting stands.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

# Augmented views of each training page that heads see where validation pages are augmented.
_VIEWS = 2

log = logging.getLogger(__name__)

# Keys of `data` that say which pages there are, and with what labels.
_WHICH_PAGES = ("root", "reader", "multi_page", "on_error", "corrections")
_PAGES_BACK = (
    "All pages could be read when the search began. No trial is counted for it: when they are back, as they were, "
    "give the same command again."
)


@answer_typos("train")
@hydra.main(config_path=str(CONF_DIR), config_name="train", execution_whitelist=TARGETS)
def main(cfg: DictConfig) -> float | tuple[float, ...] | None:
    hydra_cfg = HydraConfig.get()
    asked = hydra_cfg.runtime.choices.get("hparams_search")
    if hydra_cfg.mode == RunMode.RUN and asked not in (None, "null"):  # not logged: that goes to the search's log
        raise SystemExit(
            f"ConfigError: Expected -m with hparams_search={asked}, which makes this a search, got none. "
            f"Say python -m docclf.train -m hparams_search={asked} ..."
        )
    try:
        if hydra_cfg.mode == RunMode.RUN:
            tell_unused(cfg, hydra_cfg.overrides.task)
        return train(cfg, Path(hydra_cfg.runtime.output_dir))
    except Exception as error:
        fault = fault_of(error)  # here, since what an exception came from is lost between processes
        told = fault or _lacking(error) or error
        if hydra_cfg.mode == RunMode.MULTIRUN and told is not error:
            raise told from error
        if hydra_cfg.mode == RunMode.MULTIRUN or not isinstance(told, DocclfError):
            raise  # the trial's failure, with its cause
        log.error(f"{type(told).__name__}: {told}")
        raise SystemExit(1) from error


def _lacking(error: Exception) -> ConfigError | None:
    """What to say of a config that lacks a key which every config has, as one that was damaged."""
    if not isinstance(error, ConfigAttributeError | ConfigKeyError):
        return None
    return ConfigError(f"Expected `{error.full_key or error.key}` in the config, which lacks it. Export it again.")


def train(cfg: DictConfig, folder: Path) -> float | tuple[float, ...] | None:
    """Train and score one configuration fold by fold, and refit it if asked to.

    Args:
        cfg: The whole config, see conf/train.yaml.
        folder: Where the results go.

    Returns:
        `search.objective`: by default the mean macro-F1 over the folds; None if the trial was stopped early,
        or where this job helps the one that has the trial.

    Raises:
        ConfigError, DataError: The config or the pages are wrong.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    check_config(cfg)
    with quick_imports():
        from docclf.models.floors import measure_floors
        from docclf.results.run import write_folds, write_predictions, write_result
        from docclf.training.crossval import cross_validate, cross_validate_heads, help_folds
        from docclf.training.fitting import FoldTrainer
        from docclf.training.refit import assess, foretell, score_test
        from docclf.training.resume import drop_worst

    started = time.perf_counter()
    trial = current_trial()
    validation = build(cfg.validation, "validation")
    if cfg.search.objective not in SCORES:
        # Reported is the score, and by that a search for anything else would stop its best trials.
        validation = replace(validation, prune_after=validation.n_runs * validation.epochs + 1)
    data = _open_data(
        cfg,
        trial,
        augment=build(cfg.augment, "augment"),
        validation_augment=_read_augment(cfg.validation.augment),
        is_robust=validation.robust,
        **({"n_folds": validation.folds} if cfg.data.get("rare_classes") == "drop" else {}),
    )
    tune = cfg.model.get("tune", "all")
    if trial.number is None:  # a search has told
        tell_duplicates(data.data)
        if tune != "head":
            tell_few_steps(cfg, len(data.labels))
    heads = _make_heads(cfg, data)
    weights = heads.cache.backbone.weights
    builders = {"build_model": lambda: _make_model(cfg, data), "build_trainer": _trainer_builder(cfg)}
    keeps = _may_keep(cfg, trial)
    same = [data.data.fingerprint, data.pages.targets, keeps == "folds"]
    checkpoints = _make_checkpoints(cfg, folder, trial.retry_of, same)
    trainer = FoldTrainer(
        data,
        validation,
        checkpoints=checkpoints,
        keep_weights=keeps == "folds",
        heads=heads if weights.are_trained else None,
        **builders,
    )
    if trial.is_helper:
        help_folds(trainer, trial.is_wanted)
        return None
    logger = _make_logger(cfg, folder, trial)
    facts = {
        "fingerprint": data.data.fingerprint,
        "pages": len(data.labels),
        "dropped": len(data.data.dropped),
        **(
            {"fingerprint_of_rows": before}
            if (before := data.data.fingerprint_of_rows) != data.data.fingerprint
            else {}
        ),
        "targets": data.pages.targets,
        "class_names": data.pages.class_names,
        **({"corrections": data.data.corrections} if data.data.corrections else {}),
    }
    result: dict[str, Any] = {"state": "INTERRUPTED", "params": trial.params, "data": facts, "tune": tune}
    if names := allowed():
        result["allowed"] = list(names)
    result["weights"] = {"name": cfg.model.name, "source": weights.source}
    trial.set_user_attr("hardware", result.setdefault("hardware", _hardware()))
    try:
        assignment = trainer.assign()
        floors = measure_floors(data, assignment, validation.n_runs, heads.cache)
        result["floors"] = floors
        means = {name: floor["mean"] for name, floor in floors.items()}
        attributes: dict[str, Any] = {"tune": tune, "weights": weights.source, "floors": means}
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        if trial.number is not None and not trial.is_finalist:
            _compare_test_pages(cfg, data, heads.cache, trial.folder)
        if tune == "head":
            done = cross_validate_heads(heads, validation, assignment, trial)
        else:
            done = cross_validate(trainer, trial, logger.fold, is_shared=trial.may_be_helped)
        result |= {"folds": done.scores, "mean": done.mean, "spread": done.spread}
        result |= {"folds_clean": done.clean_scores} if done.clean_scores else {}
        halved = _what_was_halved(data)
        result |= halved
        for name, value in ({"folds": done.scores} | halved).items():
            trial.set_user_attr(name, value)
        if done.kept_scores:
            result |= {"kept": done.kept, "kept_scores": done.kept_scores}
            trial.set_user_attr("kept", done.kept)
        if done.out_of_time:
            return None
        if done.paused:
            result["state"] = "PAUSED"
            drop_worst(folder.parent, trial.paused, float(cfg.search.keep_gb))
            return None
        if done.pruned:
            result["state"] = "PRUNED"
            checkpoints.clear()
            return None
        metrics, objectives = done.metrics, cfg.search.objective
        objectives = [objectives] if isinstance(objectives, str) else objectives
        result["metrics"] = metrics
        for name, value in metrics.items():
            trial.set_user_attr(name, value)
        result["passes"] = {"frozen": heads.passes, "net": 0 if tune == "head" else heads.cache.flops(data.image_size)}
        write_folds(folder, data.pages.train.ids, done.assignment, data.pages.train.groups)
        is_shown = trial.number is None or trial.is_finalist
        picture = is_shown or tune != "head"  # it would take longer to draw than the head to fit
        write_predictions(folder, data.pages, done.assignment, done.probabilities, picture=picture)
        if (folder / "confusion.png").is_file():
            trial.attach(folder / "confusion.png")
        value = [metrics[name] for name in objectives]
        is_best = trial.would_be_best(value[0])
        if is_shown:
            result |= assess(data, done, folder)
        if is_shown or (is_best and tune != "head"):  # what takes a head longer than to be fitted
            trial.set_user_attr("foretold", result.setdefault("foretold", foretell(heads, done)))
        if keeps and (is_shown or is_best or cfg.keep_checkpoints == "all"):
            _keep(cfg, trainer, done, folder, heads, whole=keeps == "all")
            if trial.number is None:  # test pages must not guide a search
                result["refit"] = score_test(data, folder, builders["build_trainer"])
        result["state"] = "COMPLETE"
        checkpoints.clear()
        if trial.number is None:
            _tell(done, result, folder)
        return value[0] if isinstance(cfg.search.objective, str) else tuple(value)
    except Exception as error:
        result |= {"state": "FAIL", "cause": f"{type(error).__name__}: {error}"}
        if isinstance(error, TrainingError):
            checkpoints.clear()  # another attempt would end the same way
        raise
    finally:
        result["seconds"] = time.perf_counter() - started
        write_result(folder, result)
        logger.finish(result)


def _open_data(cfg: DictConfig, trial: JobTrial, **given: Any) -> PageDataModule:
    """The pages; in a search, those that it began with.

    Args:
        **given: Further arguments of `docclf.data.module.PageDataModule`.

    Raises:
        MachineError: They were there when the search began, and are not now.
    """
    began, chosen = trial.facts, {"data", *(f"data.{key}" for key in _WHICH_PAGES)}
    try:
        data: PageDataModule = build(cfg.data, "data", **given)
        found = [data.data.fingerprint, data.data.fingerprint_of_rows]  # the latter of a study from before
    except DataError as error:
        if not began or chosen & trial.params.keys():
            raise
        raise MachineError(f"{error}\n{_PAGES_BACK}") from error
    if began and began["data"] not in found and not chosen & trial.params.keys():
        raise MachineError(f"Expected the pages with the fingerprint {began['data']}, got {found[0]}.\n{_PAGES_BACK}")
    return data


def _compare_test_pages(cfg: DictConfig, data: PageDataModule, cache: FeatureCache, folder: Path | None) -> None:
    """Say how well test pages are told from training pages, once a search. It costs no trial where it fails."""
    from docclf.results.shift import shift_lines
    from docclf.training.shift import compare_test_pages

    validation = data.validation_views if data.validation_augment is not None else None
    try:
        if folder is not None and (facts := compare_test_pages(cfg, data.data, cache, folder, validation)):
            for line in shift_lines(facts, areas_alone=True):  # the rest was said before the first trial
                log.info(line)
    except Exception:
        log.exception("Could not compare the test pages with the training pages; the search goes on.")


def _tell(done: CrossValidation, result: dict[str, Any], folder: Path) -> None:
    """Say what a run came to."""
    from docclf.results.floors import floor_lines, foretold_text

    folds = ", ".join(f"{score:.3f}" for score in done.scores)
    kept = f"; kept: {done.kept}" if done.kept_scores else ""
    pooled = f"{result['metrics']['macro_f1_pooled']:.3f}"
    clean = f"; clean {result['metrics']['macro_f1_clean']:.3f}" if done.clean_scores else ""
    for line in floor_lines(result["floors"], done.mean, tune=result["tune"]):
        log.info(line)
    log.info(f"  {foretold_text(result['foretold'])}")
    log.info(f"macro-F1 {done.mean:.3f} (folds {folds}; pooled {pooled}{clean}){kept}, in {folder}")


def _what_was_halved(data: PageDataModule) -> dict[str, int]:
    """How many pages went through the model at once, where that is less than the batch."""
    if data.max_batch_size is None or data.max_batch_size >= data.batch_size:
        return {}
    return {"max_batch_size": data.max_batch_size, **({"halved": data.halved} if data.halved else {})}


def _keep(
    cfg: DictConfig,
    trainer: FoldTrainer,
    done: CrossValidation,
    folder: Path,
    heads: Heads,
    *,
    whole: bool,
) -> None:
    """Write the run's model: a head alone, the folds' nets, or one net that is trained on all pages."""
    from docclf.inference.description import FOLDER as MODEL
    from docclf.training.fold_training import HEAD
    from docclf.training.refit import keep_model, refit_all

    weights: dict[str, Any] = {}
    if done.kept != HEAD and whole:
        path, builders = folder / MODEL / "all.ckpt", {"build_model": trainer.build_model}
        data, validation = trainer.data, trainer.validation
        trained = refit_all(
            data, validation, done.epochs, path, build_trainer=trainer.build_trainer, heads=trainer.heads, **builders
        )
        weights = {"all": trained}
    elif done.kept != HEAD:
        assert trainer.checkpoints is not None
        weights = {f"fold_{fold.fold}": trainer.checkpoints.weights(fold.fold, done.kept) for fold in done.folds}
    own = own_model(cfg.model) if weights else None
    keep_model(trainer.data, done, folder, weights, backbone=cfg.model.name, heads=heads, own=own)


def make_feature_cache(cfg: DictConfig, **places: Any) -> FeatureCache:
    """Features of the frozen backbone of a config.

    Args:
        cfg: The whole config.
        **places: See `docclf.models.feature_cache.FeatureCache`.

    Raises:
        ConfigError: There is no such backbone.
    """
    from docclf.models.backbone import require_known
    from docclf.models.feature_cache import FeatureCache
    from docclf.models.features import PIXELS, FrozenBackbone
    from docclf.training.trainer import choose_device, choose_precision

    model = cfg.model
    if model.name != PIXELS:
        require_known(model.name)
    backbone = FrozenBackbone(
        model.name,
        cfg.data.image_size,
        cfg.data.channels,
        pretrained=model.get("pretrained", False),
        checkpoint_path=model.get("checkpoint_path"),
    )
    accelerator, precision = (cfg.trainer.get(key, "auto") for key in ("accelerator", "precision"))
    precision, device = choose_precision(accelerator, precision), choose_device(accelerator)
    return FeatureCache(backbone, precision=precision, device=device, **places)


def _make_heads(cfg: DictConfig, data: PageDataModule) -> Heads:
    """Heads on the frozen backbone. A config of before has neither `tune` nor `head`."""
    from docclf.models.head import HeadOptions
    from docclf.models.heads import Heads

    model, cache = cfg.model, make_feature_cache(cfg, **data.places)
    options = build(model.head, "model.head") if model.get("head") else HeadOptions()
    if options.views is None:
        options = replace(options, views=_VIEWS if data.validation_augment is not None else 0)
    weights = None
    if model.get("class_weights"):
        from docclf.data.module import class_weights

        weights = class_weights(data.labels, len(data.pages.class_names))
    return Heads(data, cache, options, weights)


def _hardware() -> dict[str, Any]:
    """What this process trains on."""
    import torch

    from docclf.data.contents import n_cpus

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"name": gpu or platform.processor() or platform.machine(), "cores": n_cpus()}


def _may_keep(cfg: DictConfig, trial: JobTrial) -> str | bool:
    """`refit` of a run alone. Of a search, the folds' models of finalists, and of a trial that is the best so far."""
    if trial.number is None:
        kept: str | bool = cfg.refit
        return kept
    return False if cfg.keep_checkpoints == "none" else "folds"


def _make_checkpoints(cfg: DictConfig, folder: Path, retry_of: tuple[int, ...], facts: list[Any]) -> FoldCheckpoints:
    from docclf.training.resume import FoldCheckpoints

    # What an interrupted run trained is of use to one that trains the same.
    trained = [
        OmegaConf.to_yaml(cfg[key], resolve=True)
        for key in (
            "data",
            "augment",
            "model",
            "optimizer",
            "scheduler",
            *(["callbacks"] if cfg.get("callbacks") else []),
        )
    ]
    validation = {key: value for key, value in cfg.validation.items() if key != "max_batch_size"}
    key = hashlib.sha256("".join([*trained, str(validation), *map(str, facts)]).encode()).hexdigest()
    return FoldCheckpoints(folder, key, [folder.parent / str(number) for number in retry_of])


def _read_augment(name: str | None) -> Any:
    """An augmentation by the name of its option in `augment`."""
    if name is None:
        return None
    options = {path.stem: path for path in (CONF_DIR / "augment").glob("*.yaml")}
    if name not in options:
        raise ConfigError(
            f"Expected `validation.augment` to be null or one of {', '.join(sorted(options))}, got {name}."
        )
    merged = OmegaConf.merge(OmegaConf.load(options["none"]), OmegaConf.load(options[name]))
    assert isinstance(merged, DictConfig)
    merged.pop("defaults", None)
    return build(merged, "augment")


def _trainer_builder(cfg: DictConfig) -> Callable[..., Any]:
    """Makes trainers, each with fresh callbacks of the config behind those that it is given."""
    make, nodes = build(cfg.trainer, "trainer"), cfg.get("callbacks") or {}

    def make_with_callbacks(*, callbacks: Sequence[Any] = (), **options: Any) -> Any:
        own = [build(node, f"callbacks.{name}") for name, node in nodes.items() if node is not None]
        return make(callbacks=[*callbacks, *own], **options)

    return make_with_callbacks


def _make_model(cfg: DictConfig, data: PageDataModule) -> Any:
    weights = None
    if cfg.model.class_weights:
        from docclf.data.module import class_weights

        weights = class_weights(data.labels, len(data.pages.class_names)).tolist()
    return build_model(
        cfg.model,
        num_classes=len(data.pages.class_names),
        image_size=data.image_size,
        channels=cfg.data.channels,
        class_weights=weights,
        optimizer=build(cfg.optimizer, "optimizer"),
        scheduler=build(cfg.scheduler, "scheduler"),
    )


def _make_logger(cfg: DictConfig, folder: Path, trial: JobTrial) -> RunLoggers:
    from docclf.loggers.run import RunInfo, RunLoggers

    described: dict[str, Any] = {"kind": "run", "name": folder.name}
    if trial.number is not None and HydraConfig.initialized():
        kind = "finalist" if trial.is_finalist else "trial"
        again = f", attempt {trial.attempt + 1}" if trial.attempt else ""
        described = {"kind": kind, "name": f"{kind} {trial.number}{again}", "params": trial.params}
        described |= {"search": trial.folder, "standing": trial.standing}
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    objective = cfg.search.objective if isinstance(cfg.search.objective, str) else None
    run = RunInfo(folder=folder, group=cfg.study_name, config=config, objective=objective, **described)
    loggers = chosen_loggers(cfg.get("logger"))
    return RunLoggers({name: build(node, f"logger.{name}") for name, node in loggers.items()}, run)


if __name__ == "__main__":
    main()
