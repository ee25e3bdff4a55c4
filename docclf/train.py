"""Train one configuration, or with `-m hparams_search=optuna` search for the best.

python -m docclf.train                              one configuration, k-fold
python -m docclf.train -m hparams_search=optuna     the search
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from docclf import CONF_DIR
from docclf.errors import ConfigError, DocclfError
from docclf.sweeper import current_trial

if TYPE_CHECKING:
    from docclf.data.module import PageDataModule
    from docclf.loggers import RunLogger

# What a config may call. Hydra refuses every other `_target_`.
TARGETS = ("docclf.*", "torch.*", "timm.*", "pytorch_lightning.*", "optuna.*", "logging.*")

# OpenMP threads that wait for work spin for milliseconds, on cores that others could use: with one more busy process on
# 2 cores a training was seen to take 10 times as long. Read when torch is imported; the user's own setting stands.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

log = logging.getLogger(__name__)


@hydra.main(config_path=str(CONF_DIR), config_name="train", execution_whitelist=TARGETS)
def main(cfg: DictConfig) -> float | None:
    hydra_cfg = HydraConfig.get()
    try:
        return train(cfg, Path(hydra_cfg.runtime.output_dir))
    except DocclfError as error:
        if hydra_cfg.mode == RunMode.MULTIRUN:
            raise  # the trial's failure, with its cause
        log.error(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from error


def train(cfg: DictConfig, folder: Path) -> float | None:
    """Train and score one configuration fold by fold, and refit it if asked to.

    Args:
        cfg: The whole config, see conf/train.yaml.
        folder: Where the results go.

    Returns:
        Mean macro-F1 over the folds; None if the trial was pruned.

    Raises:
        ConfigError, DataError: The config or the pages are wrong.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    _check_refit(cfg.refit)
    from docclf.crossval import cross_validate
    from docclf.refit import refit_all
    from docclf.results.run import write_predictions, write_result

    started = time.perf_counter()
    trial = current_trial()
    validation = instantiate(cfg.validation)
    data = instantiate(cfg.data, augment=instantiate(cfg.augment))
    builders = {"build_model": lambda: _make_model(cfg, data), "build_trainer": instantiate(cfg.trainer)}
    logger = _make_logger(cfg, folder, trial.number)
    result: dict[str, Any] = {"state": "FAIL", "params": trial.params}
    try:
        done = cross_validate(data, validation, trial, build_logger=logger.fold, **builders)
        result |= {"folds": done.scores, "mean": done.mean, "spread": done.spread}
        trial.set_user_attr("folds", done.scores)
        if not done.pruned:
            write_predictions(folder, data.pages, done.assignment, done.probabilities)
            if cfg.refit == "all":
                result["refit"] = refit_all(data, validation, folder, **builders)
        result["state"] = "PRUNED" if done.pruned else "COMPLETE"
        return None if done.pruned else done.mean
    except Exception as error:
        result["cause"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        result["seconds"] = time.perf_counter() - started
        write_result(folder, result)
        logger.finish(result)


def preflight(cfg: DictConfig) -> dict[str, Any]:
    """Check the data before the first trial, and make and decode the pages once. Imports no torch.

    Returns:
        Facts that must be the same when the search is continued: a fingerprint of pages and folds.
    """
    from docclf.data.cache import cache_size, load_pages
    from docclf.data.folds import assign_folds

    _check_refit(cfg.refit)
    root = Path(cfg.data.root)
    if draw := instantiate(cfg.data.draw):
        draw(root)
    pages = instantiate(cfg.data.reader)(root)
    assignment = assign_folds(
        pages.train.labels,
        n_folds=cfg.validation.folds,
        seed=cfg.validation.seed,
        class_names=pages.class_names,
        groups=pages.train.groups,
    )
    cache_dir = Path(cfg.data.cache_dir) if cfg.data.cache_dir else None
    load_pages(pages.train.paths, cache_size(cfg.data.image_size, cfg.data.margin), cache_dir)
    digest = hashlib.sha256()
    for page, path, label in zip(pages.train.ids, pages.train.paths, pages.train.labels, strict=True):
        digest.update(f"{page} {path.stat().st_size} {label}\n".encode())
    return {
        "pages": len(pages.train),
        "classes": len(pages.class_names),
        "data": digest.hexdigest()[:16],
        "folds": hashlib.sha256(assignment.tobytes()).hexdigest()[:16],
    }


def _check_refit(refit: Any) -> None:
    if refit not in ("all", False):
        raise ConfigError(f"Expected `refit` to be all or false, got {refit}.")


def _make_model(cfg: DictConfig, data: PageDataModule) -> Any:
    return instantiate(
        cfg.model,
        num_classes=len(data.pages.class_names),
        image_size=data.image_size,
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
    )


def _make_logger(cfg: DictConfig, folder: Path, trial: int | None) -> RunLogger:
    name = folder.name if trial is None else f"trial {trial}"
    config = OmegaConf.to_container(cfg, resolve=True)
    logger: RunLogger = instantiate(cfg.logger)(folder=folder, name=name, group=cfg.study_name, config=config)
    return logger


if __name__ == "__main__":
    main()
