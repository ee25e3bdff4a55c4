"""What is looked at before the first trial: the keys of the run, the pages, the folds. Imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from docclf.cli.combinations import check_combinations, tell_unread
from docclf.cli.composing import foreign_folders
from docclf.cli.foreign import check_job
from docclf.cli.key_table import check_leaves
from docclf.cli.trainer_arguments import check_trainer, require_one_device
from docclf.errors import ConfigError, InputError
from docclf.loggers.choice import check_loggers
from docclf.safety.permission import allowed
from docclf.safety.targets import FORMER, build, check_parts, check_targets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from docclf.data.cache.decoded import DecodeOptions
    from docclf.data.dataset import DataSet
    from docclf.training.validation import Validation

log = logging.getLogger(__name__)

_SUBDIR = "${hydra.job.num}"


def require_root(cfg: DictConfig) -> None:
    """See that it is known where the pages are.

    Raises:
        ConfigError: It has no value, or one that is no path.
    """
    root = OmegaConf.select(cfg, "data.root", default=None)
    if root is None or root == "":
        raise ConfigError("Expected `data.root`, the folder of the pages, got no value. Say data.root=DIR.")
    if isinstance(root, int | float):
        raise ConfigError(f"Expected `data.root` to be a path, got the number {root}. Say data.root=./{root}.")


def open_pages(cfg: DictConfig, **others: Any) -> tuple[DataSet, DecodeOptions]:
    """The data set of a config, whose pages are drawn before where they are to be, and how it is decoded.

    Errors as for `docclf.data.dataset.open_data_set`.

    Args:
        others: Keys of `data` that have another value.
    """
    from docclf.data.cache.decoded import DECODING, make_options
    from docclf.data.dataset import open_data_set

    root = Path(cfg.data.root)
    if draw := build(cfg.data.draw, "data.draw"):
        draw(root)
    given = {key: cfg.data[key] for key in DECODING if key in cfg.data}
    given |= {"image_size": cfg.data.image_size, "margin": cfg.data.margin, "n_folds": cfg.validation.folds}
    options = make_options(**given | others)
    return open_data_set(root, build(cfg.data.reader, "data.reader"), options), options


def check_config(cfg: DictConfig) -> None:
    """Refuse what no option of a group could check, before anything is loaded.

    Raises:
        ConfigError: A key has no value, or one that is not one of its choices, no number or out of range, or names
            what may not be called.
    """
    check_targets(cfg)
    check_trainer(cfg)
    require_root(cfg)
    check_leaves(cfg)
    check_combinations(cfg)
    check_loggers(cfg.get("logger"))


def check_drawn(cfg: DictConfig) -> None:
    """Refuse a value that a search space can draw. Errors as for what it calls."""
    check_job(cfg)
    check_leaves(cfg)
    require_one_device(cfg)


def check_added(cfg: DictConfig, overrides: Sequence[str], folders: Sequence[Path] = ()) -> None:
    """See that what overrides or folders of configs added, or `--allow` names, fits; what conf/ has is known to.

    Errors as for `docclf.safety.targets.check_parts`.

    Args:
        folders: Those that the config was composed out of besides conf/.
    """
    if allowed() or folders or any(text.startswith("+") for text in overrides):
        tell_unread(cfg)
        # The config of a search without a baseline lacks what is drawn.
        check_parts(cfg, whole=OmegaConf.select(cfg, "hydra.sweeper.baseline", default=True))


def preflight(cfg: DictConfig, finalist: DictConfig | None = None) -> dict[str, Any]:
    """Check the data before the first trial, and make and decode the pages once.

    Args:
        finalist: The config of a finalist; None where there will be none.

    Returns:
        Facts that must be the same when the search is continued: a fingerprint of pages and folds, and the number of
        reports that a whole trial makes; and as `before` what studies of earlier releases have instead.
    """
    from docclf.training.other_pages import log_differences

    hydra: Any = OmegaConf.to_container(cfg.hydra.sweep, resolve=False) if "hydra" in cfg else {}
    if (subdir := hydra.get("subdir", _SUBDIR)) != _SUBDIR:
        raise ConfigError(
            f"Expected `hydra.sweep.subdir` to be {_SUBDIR}, by which the files of a trial are found, got {subdir}. "
            "Leave it out; study_name=NAME or hydra.sweep.dir=FOLDER say where a search goes."
        )
    check_job(cfg)
    check_config(cfg)
    require_one_device(cfg)
    folders = foreign_folders(cfg.hydra) if "hydra" in cfg else []
    check_added(cfg, OmegaConf.select(cfg, "hydra.overrides.task", default=()), folders)
    if finalist is not None and finalist.validation.seed == cfg.validation.seed:
        raise ConfigError(
            f"Expected `finalists.seed` to differ from `validation.seed`, got {cfg.validation.seed} twice: on the "
            "folds that they were chosen by, finalists would score as before. "
            f"Say finalists.seed={cfg.validation.seed + 1}."
        )
    data, options = open_pages(cfg)
    validation: Validation = build(cfg.validation, "validation")
    rare = OmegaConf.select(cfg, "data.rare_classes", default="raise")
    assignment = validation.assign(data, rare)
    if finalist is not None:
        _check_folds(finalist, data, assignment, rare)
    log_duplicates(data)
    log_differences(cfg, data, options.cache_dir)
    return _facts_of(data, validation, assignment, rare)


def _facts_of(data: DataSet, validation: Validation, assignment: NDArray[np.int64], rare: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "pages": len(data.pages.train),
        "classes": len(data.pages.class_names),
        "steps": validation.n_reports,
        "folds": validation.fingerprint(data, assignment),
    }
    if validation.order != "content":
        return facts | {"data": data.fingerprint_of_rows, "before": {"names": FORMER}}
    by_rows = replace(validation, order="rows")
    before = {"data": data.fingerprint_of_rows, "folds": by_rows.fingerprint(data, by_rows.assign(data, rare))}
    facts |= {"data": data.fingerprint}
    return facts | {"before": {"facts": before, "overrides": ["++validation.order=rows"], "names": FORMER}}


def _check_folds(finalist: DictConfig, data: DataSet, assignment: NDArray[np.int64], rare_classes: str) -> None:
    """See that there can be the folds of finalists, and say so if they are those of the trials."""
    try:
        again = build(finalist.validation, "validation").assign(data, rare_classes)
    except InputError as error:
        raise type(error)(
            f"{error} This concerns the finalists only: finalists.validation=null scores them as the trials are."
        ) from error
    if (again == assignment).all():
        log.warning(
            "Finalists will have the folds of the trials, as `validation.split_file` says, and only another seed: "
            "what was chosen by these folds looks better on them than it is."
        )


def log_duplicates(data: DataSet) -> None:
    """Say what near-duplicates there are among the pages, and what they do to the scores."""
    labels = data.pages.train.labels
    assert labels is not None
    n = len(labels)
    inside = [pair for pair in data.pairs if max(pair) < n]
    across = len({b for a, b in data.pairs if a < n <= b})
    if inside:
        log.info(
            f"Near-duplicates among the training pages: {len(inside)}; each stays in one fold (data.near_duplicates)"
        )
    if unlike := sum(labels[a] != labels[b] for a, b in inside):
        log.warning(f"Near-duplicates of different classes: {unlike}; python -m docclf.data names them")
    if across:
        effect = (
            "; test scores are optimistic" if data.pages.test is not None and data.pages.test.labels is not None else ""
        )
        log.warning(f"Test pages that are near-duplicates of training pages: {across}{effect}")
