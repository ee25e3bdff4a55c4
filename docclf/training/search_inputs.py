"""Trials of a search are of the pages, the folds and the files that it began with, or the machine has failed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from docclf.data.module import PageDataModule
from docclf.errors import DataError, InputError, MachineError
from docclf.safety.targets import build

if TYPE_CHECKING:
    from docclf.sweeper.job.trial import JobTrial
    from docclf.training.validation import Validation

# Keys of `data` that say which pages there are, and with what labels.
_WHICH_PAGES = ("root", "reader", "multi_page", "on_error", "corrections")
# Keys that say which folds there are, of those that a study keeps; and those that `may_change` in
# conf/hparams_search/optuna.yaml lets change from run to run, of which a study keeps none.
_WHICH_FOLDS = ("validation.folds", "validation.seed", "validation.split_file", "data.near_duplicates")
_MAY_CHANGE = ("data.rare_classes", "data.exclude", "validation.order")
_FILES = ("validation.split_file", "model.checkpoint_path", "data.corrections", "data.exclude")
_BACK = "No trial is counted for it: when they are back, as they were, give the same command again."
_PAGES_BACK = f"All pages could be read when the search began. {_BACK}"


def open_data(cfg: DictConfig, trial: JobTrial, **given: Any) -> PageDataModule:
    """The pages; in a search, those that it began with.

    Args:
        **given: Further arguments of `docclf.data.module.PageDataModule`.

    Raises:
        DataError: They cannot be used.
        MachineError: They could be used when the search began, and cannot now, or are others.
    """
    began, chosen = trial.began("facts"), {"data", *_MAY_CHANGE, *(f"data.{key}" for key in _WHICH_PAGES)}
    is_held = "data" in began and not chosen & trial.params.keys()
    try:
        data: PageDataModule = build(cfg.data, "data", **given)
        # the latter of a study of an earlier release
        found = [data.dataset.fingerprint, data.dataset.fingerprint_of_rows]
    except DataError as error:
        if not is_held:
            raise
        raise MachineError(f"{error}\n{_PAGES_BACK}") from error
    # With more folds, more classes may be too rare to be there.
    is_whole = cfg.data.get("rare_classes") != "drop" or _is_as_began(cfg, trial, "validation.folds")
    if is_held and is_whole and began["data"] not in found:
        raise MachineError(f"Expected the pages with the fingerprint {began['data']}, got {found[0]}.\n{_PAGES_BACK}")
    return data


def require_folds(cfg: DictConfig, trial: JobTrial, data: PageDataModule, validation: Validation) -> None:
    """See that a trial has the folds that the search began with, unless it is to have others, as finalists are.

    Raises:
        MachineError: It has others: the groups of the pages or the file of the split have changed.
    """
    began, searched = trial.began("facts"), {"data", "validation", *_MAY_CHANGE} & trial.params.keys()
    if "folds" not in began or searched or not all(_is_as_began(cfg, trial, key) for key in _WHICH_FOLDS):
        return
    try:
        assignment = validation.assign(data.dataset, data.rare_classes)
    except InputError as error:
        raise MachineError(f"{error}\nThe pages had folds when the search began. {_BACK}") from error
    if (found := validation.fingerprint(data.dataset, assignment)) != began["folds"]:
        raise MachineError(
            f"Expected the folds with the fingerprint {began['folds']}, got {found}: the groups of the pages or "
            f"validation.split_file have changed since the search began. {_BACK}"
        )


def away(error: Exception, cfg: DictConfig, trial: JobTrial) -> MachineError | None:
    """What to say of a trial that failed by a file that was there when the search began; None for any other one.

    Args:
        error: What the trial failed of.
    """
    if not isinstance(error, InputError) or not trial.began("facts"):
        return None
    for key in _FILES:
        path = OmegaConf.select(cfg, key, default=None)
        is_drawn = {key, key.partition(".")[0]} & trial.params.keys()
        if isinstance(path, str) and not is_drawn and not os.path.exists(path):  # noqa: PTH110  # any name
            return MachineError(f"{error}\n{path} of `{key}` was there when the search began. {_BACK}")
    return None


def _is_as_began(cfg: DictConfig, trial: JobTrial, key: str) -> bool:
    """Whether a key has the value that all trials have; not where it is searched, or the study is of before."""
    record = trial.began("config")
    return key in record and record[key] == str(OmegaConf.select(cfg, key))
