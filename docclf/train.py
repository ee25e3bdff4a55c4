"""Train one configuration, or with `-m hparams_search=optuna` search for the best.

python -m docclf.train                              one configuration, k-fold
python -m docclf.train -m hparams_search=optuna     the search
"""

from __future__ import annotations

import logging
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from docclf import CONF_DIR, quick_imports
from docclf.cli.preflight import check_config, tell_duplicates, tell_few_steps, tell_unused
from docclf.cli.typos import answer_typos
from docclf.errors import ConfigError, DocclfError, TrainingError
from docclf.loggers.choice import chosen_loggers
from docclf.safety.permission import allowed
from docclf.safety.targets import build, whitelist
from docclf.sweeper import current_trial
from docclf.sweeper.run.faults import fault_of

if TYPE_CHECKING:
    from docclf.data.module import PageDataModule
    from docclf.loggers.run import RunLoggers
    from docclf.models.frozen.cache import FeatureCache
    from docclf.sweeper.trial import JobTrial
    from docclf.training.crossval import CrossValidation
    from docclf.training.parts import Parts

# What Hydra itself may call: callbacks, and functions that the sweeper is given by name. See docclf/safety/targets.py.
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

log = logging.getLogger(__name__)


@answer_typos("train")
@hydra.main(config_path=str(CONF_DIR), config_name="train", execution_whitelist=TARGETS)
def main(cfg: DictConfig) -> float | tuple[float, ...] | None:
    """The command: train, or with `-m` run one trial of a search."""
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
        `search.objective`: by default the mean macro-F1 over the folds; None if the trial was pruned,
        or where this job helps the one that has the trial.

    Raises:
        ConfigError, DataError: The config or the pages are wrong.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    check_config(cfg)
    with quick_imports():
        from docclf.results.run import write_result
        from docclf.training.crossval import help_folds
        from docclf.training.parts import prepare

    started = time.perf_counter()
    parts = prepare(cfg, folder, current_trial())
    if parts.trial.is_helper:
        help_folds(parts.trainer, parts.trial.is_wanted)
        return None
    if parts.trial.number is None:  # a search has told
        tell_duplicates(parts.data.data)
        if parts.tune != "head":
            tell_few_steps(cfg, len(parts.data.labels))
    logger = _make_logger(cfg, folder, parts.trial)
    result = _describe(parts)
    try:
        done = _cross_validate(parts, logger, result)
        return None if _is_cut_off(parts, done, result) else _conclude(parts, done, result)
    except Exception as error:
        result |= {"state": "FAIL", "cause": f"{type(error).__name__}: {error}"}
        if isinstance(error, TrainingError):
            parts.checkpoints.clear()  # another attempt would end the same way
        raise
    finally:
        result["seconds"] = time.perf_counter() - started
        write_result(folder, result)
        logger.finish(result)


def _describe(parts: Parts) -> dict[str, Any]:
    """What `result.yaml` says before anything is trained."""
    data = parts.data.data
    facts = {
        "fingerprint": data.fingerprint,
        "pages": len(parts.data.labels),
        "dropped": len(data.dropped),
        **({"fingerprint_of_rows": rows} if (rows := data.fingerprint_of_rows) != data.fingerprint else {}),
        "targets": data.pages.targets,
        "class_names": data.pages.class_names,
        **({"corrections": data.corrections} if data.corrections else {}),
    }
    result: dict[str, Any] = {"state": "INTERRUPTED", "params": parts.trial.params, "data": facts, "tune": parts.tune}
    if names := allowed():
        result["allowed"] = list(names)
    result["weights"] = {"name": parts.cfg.model.name, "source": parts.heads.cache.backbone.weights.source}
    result["hardware"] = _hardware()
    parts.trial.set_user_attr("hardware", result["hardware"])
    return result


def _cross_validate(parts: Parts, logger: RunLoggers, result: dict[str, Any]) -> CrossValidation:
    """Measure the floors, train the folds, and note what came out."""
    from docclf.models.frozen.floors import measure_floors
    from docclf.training.crossval import cross_validate, cross_validate_heads

    trial, heads, validation = parts.trial, parts.heads, parts.trainer.validation
    assignment = parts.trainer.assign()
    result["floors"] = measure_floors(parts.data, assignment, validation.n_runs, heads.cache)
    means = {name: floor["mean"] for name, floor in result["floors"].items()}
    attributes: dict[str, Any] = {"tune": parts.tune, "weights": heads.cache.backbone.weights.source, "floors": means}
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    if trial.number is not None and not trial.is_finalist:
        _compare_test_pages(parts.cfg, parts.data, heads.cache, trial.folder)
    if parts.tune == "head":
        done = cross_validate_heads(heads, validation, assignment, trial)
    else:
        done = cross_validate(parts.trainer, trial, logger.fold, is_shared=trial.may_be_helped)
    result |= {"folds": done.scores, "mean": done.mean, "spread": done.spread}
    result |= {"folds_clean": done.clean_scores} if done.clean_scores else {}
    result |= parts.halved
    for name, value in ({"folds": done.scores} | parts.halved).items():
        trial.set_user_attr(name, value)
    if done.kept_scores:
        result |= {"kept": done.kept, "kept_scores": done.kept_scores}
        trial.set_user_attr("kept", done.kept)
    return done


def _is_cut_off(parts: Parts, done: CrossValidation, result: dict[str, Any]) -> bool:
    """Whether the folds did not come to their end: out of time, paused or pruned."""
    from docclf.training.folds.resume import drop_worst

    if done.paused and not done.out_of_time:
        result["state"] = "PAUSED"
        drop_worst(parts.folder.parent, parts.trial.paused, float(parts.cfg.search.keep_gb))
    elif done.pruned and not done.out_of_time:
        result["state"] = "PRUNED"
        parts.checkpoints.clear()
    return done.out_of_time or done.paused or done.pruned


def _conclude(parts: Parts, done: CrossValidation, result: dict[str, Any]) -> float | tuple[float, ...]:
    """Write what the folds came to, and keep their model where it is wanted; the objectives."""
    from docclf.training.refit import assess, foretell, score_test

    cfg, trial, folder, is_net = parts.cfg, parts.trial, parts.folder, parts.tune != "head"
    result["metrics"] = done.metrics
    for name, value in done.metrics.items():
        trial.set_user_attr(name, value)
    net = parts.heads.cache.flops(parts.data.image_size) if is_net else 0
    result["passes"] = {"frozen": parts.heads.passes, "net": net}
    is_shown = trial.number is None or trial.is_finalist
    _write(parts, done, picture=is_shown or is_net)  # a picture takes longer to draw than a head to fit
    objectives = cfg.search.objective
    values = [done.metrics[name] for name in ([objectives] if isinstance(objectives, str) else objectives)]
    is_best = trial.would_be_best(values[0])
    if is_shown:
        result |= assess(parts.data, done, folder)
    if is_shown or (is_best and is_net):  # what takes a head longer than to be fitted
        result["foretold"] = foretell(parts.heads, done)
        trial.set_user_attr("foretold", result["foretold"])
    if parts.keeps and (is_shown or is_best or cfg.keep_checkpoints == "all"):
        parts.keep(done)
        if trial.number is None:  # test pages must not guide a search
            result["refit"] = score_test(parts.data, folder, parts.trainer.build_trainer)
    result["state"] = "COMPLETE"
    parts.checkpoints.clear()
    if trial.number is None:
        _tell(done, result, folder)
    return values[0] if isinstance(objectives, str) else tuple(values)


def _write(parts: Parts, done: CrossValidation, *, picture: bool) -> None:
    """Write folds and out-of-fold predictions."""
    from docclf.results.run import write_folds, write_predictions

    pages, folder = parts.data.pages, parts.folder
    write_folds(folder, pages.train.ids, done.assignment, pages.train.groups)
    write_predictions(folder, pages, done.assignment, done.probabilities, picture=picture)
    if (folder / "confusion.png").is_file():
        parts.trial.attach(folder / "confusion.png")


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
    from docclf.results.study.floors import floor_lines, foretold_text

    folds = ", ".join(f"{score:.3f}" for score in done.scores)
    kept = f"; kept: {done.kept}" if done.kept_scores else ""
    pooled = f"{result['metrics']['macro_f1_pooled']:.3f}"
    clean = f"; clean {result['metrics']['macro_f1_clean']:.3f}" if done.clean_scores else ""
    for line in floor_lines(result["floors"], done.mean, tune=result["tune"]):
        log.info(line)
    log.info(f"  {foretold_text(result['foretold'])}")
    log.info(f"macro-F1 {done.mean:.3f} (folds {folds}; pooled {pooled}{clean}){kept}, in {folder}")


def _hardware() -> dict[str, Any]:
    """What this process trains on."""
    import torch

    from docclf.data.cache.contents import n_cpus

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"name": gpu or platform.processor() or platform.machine(), "cores": n_cpus()}


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
