"""Predict the pages of a folder or of a CSV file with a trained model.

python -m docclf.predict run=RUN data.root=DIR      writes predictions.csv
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from docclf import CONF_DIR, CommandModule, quick_imports
from docclf.cli.foreign import check_job
from docclf.cli.key_table import PREDICT, check_leaves
from docclf.cli.typos import answer_typos
from docclf.data.reading.names import count_of
from docclf.errors import ConfigError, DocclfError
from docclf.files import free_name, report_path_to_caller
from docclf.inference.tables import others_at, submission_of, tables_beside
from docclf.safety.faults import told
from docclf.safety.targets import whitelist

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from docclf.data.reading.listing import Listing
    from docclf.inference.description import Description
    from docclf.inference.doubt import Doubt
    from docclf.inference.prediction import Outcome
    from docclf.metrics.calibration import Cut

log = logging.getLogger(__name__)

_MOST = 20  # problems on the screen


@answer_typos("predict")
@hydra.main(config_path=str(CONF_DIR), config_name="predict", execution_whitelist=whitelist())
def main(cfg: DictConfig) -> None:
    """The command: predict pages with the model of a run."""
    try:
        check_job(cfg)
        folder = Path(HydraConfig.get().runtime.output_dir)
        unreadable = predict(cfg, folder)
        report_path_to_caller(folder / str(cfg.output))
    except (DocclfError, OSError) as error:
        log.error(told(error))
        raise SystemExit(1) from error
    if unreadable:
        raise SystemExit(1)


def predict(cfg: DictConfig, folder: Path) -> int:
    """Write the predictions, and the scores where there are labels.

    Args:
        cfg: The whole config, see conf/predict.yaml.
        folder: Where `output` is written, unless it is an absolute path.

    Returns:
        The number of pages that cannot be read.

    Raises:
        ConfigError, DataError: The config, the model or the pages are wrong; nothing was written.
    """
    _check(cfg)
    listing = _list_pages(cfg)
    output = folder / str(cfg.output)
    _spare(folder, str(cfg.output), listing)
    with quick_imports():
        from docclf.inference.folder import find_model, load_ensemble
        from docclf.inference.prediction import predict_pages, write_submission
        from docclf.inference.predictor import Predictor, choose_device

    device = choose_device(cfg.device)
    model = find_model(Path(str(cfg.run)))
    ensemble = load_ensemble(model).to(device)
    described = ensemble.description
    doubt, cut = (None, None) if cfg.abstain is None else _read_doubt(model, described, cfg.abstain)
    labels = listing.labels(described.targets, described.class_names)
    novelty = None if doubt is None else doubt.novelty
    predictor = Predictor(ensemble, tta=cfg.tta, calibrated=cfg.calibrated, novelty=novelty)
    log.info(f"{count_of(len(listing.pages), 'page')} of {listing.source} with {described}, on {device}")
    least = None if cut is None else cut.confidence
    outcome = predict_pages(listing.pages, predictor, output, batch_size=cfg.batch_size, least=least)
    if listing.columns:
        write_submission(submission_of(output), listing, outcome.predicted, described.targets)
    log.info(f"Predictions: {output}{f' and {submission_of(output).name}' if listing.columns else ''}")
    _evaluate(output, labels, outcome, described.class_names)
    if cut is not None:
        why_not = "several trials are averaged" if described.parts else "the backbone has no trained weights"
        _tell_answered(outcome, labels, cut, compared=novelty is not None, why_not=why_not)
    _tell_left_out(outcome, output, only_first=cfg.data.multi_page == "first")
    return len(outcome.problems)


def _list_pages(cfg: DictConfig) -> Listing:
    """The pages to predict."""
    from docclf.data.reading.listing import list_pages
    from docclf.data.reading.problems import limit_pixels

    limit_pixels(cfg.data.max_megapixels)
    sample = cfg.data.sample_submission
    return list_pages(
        Path(str(cfg.data.root)),
        sample_submission=None if sample is None else Path(str(sample)),
        multi_page=cfg.data.multi_page,
    )


def _read_doubt(model: Path, described: Description, accuracy: float) -> tuple[Doubt, Cut]:
    """What the model knows of its mistakes, and where it is right so often.

    Raises:
        ConfigError: It knows nothing of them, or was never right so often.
    """
    from docclf.inference.doubt import read_doubt

    if described.doubt is None:
        raise ConfigError(
            f"Expected a model in {model} that says how often it was right, got one of an earlier "
            "release. Train it again, or predict every page with abstain=null."
        )
    doubt = read_doubt(model / described.doubt)
    return doubt, doubt.selective.at(accuracy)


def _tell_answered(outcome: Outcome, labels: NDArray[np.int64], cut: Cut, *, compared: bool, why_not: str) -> None:
    """Coverage and accuracy of what is answered, as they were out of fold and as they are here."""
    import numpy as np

    answered, read = outcome.answered(cut.confidence), outcome.predicted >= 0
    n = int(read.sum())
    unlike = f", {outcome.unlike.sum()} of them unlike the training pages" if compared else ""
    log.info(
        f"Answered {answered.sum()} of {n} pages, {answered.sum() / max(n, 1):.1%} ({cut.coverage:.1%} out of fold); "
        f"REVIEW for {n - answered.sum()}{unlike}"
    )
    known = answered & (labels >= 0)
    found = f"; {np.mean(labels[known] == outcome.predicted[known]):.3f} on {known.sum()} here" if known.any() else ""
    log.info(f"Accuracy of what is answered: {cut.accuracy:.3f} out of fold{found}")
    if not compared:
        log.info(f"Pages unlike the training pages are not looked for: {why_not}.")


def _check(cfg: DictConfig) -> None:
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ConfigError(f"Expected `{missing[0]}`, got no value. Say run=RUN data.root=DIR.")
    check_leaves(cfg, PREDICT)
    if cfg.abstain is not None and cfg.calibrated is False:
        raise ConfigError(
            "Expected `calibrated` to be true with `abstain`, whose confidences are calibrated, got false."
        )
    if cfg.abstain is not None and cfg.tta != "none":
        log.warning(
            f"With tta={cfg.tta} what is answered may be right less or more often than {cfg.abstain:g}: that was "
            "measured on one view of each page. Say tta=none to be sure."
        )


def _spare(folder: Path, name: str, listing: Listing) -> None:
    """Refuse to write over the CSV file that names the pages, and over what is no prediction of before.

    A submission is kept by `write_submission`.
    """
    output = folder / name
    written = [*tables_beside(output), *([submission_of(output)] if listing.columns else [])]
    if listing.source.resolve() in [path.resolve() for path in written]:
        raise ConfigError(f"Expected an `output` beside other files than {listing.source}, which it would replace.")
    if output.is_dir():
        raise ConfigError(f"Expected the name of a file in `output`, got the folder {output}.")
    found, is_csv = others_at(output), output.suffix.lower() in ("", ".csv", ".txt")
    if found or not is_csv:
        from docclf.sweeper.space.grammar import typed

        free = Path(name).with_suffix(".csv")
        if found or (folder / free).exists():
            free = free_name(free, lambda p: (folder / p).exists() or bool(others_at(folder / p)))
        expected, got = "is named as a CSV file, which it is", output.name
        if found:
            expected, got = "replaces nothing but predictions", f"{found[0]}, which is another file"
        raise ConfigError(f"Expected an `output` that {expected}, got {got}. Say {typed('output', str(free))}")


def _evaluate(output: Path, labels: NDArray[np.int64], outcome: Outcome, class_names: list[str]) -> None:
    known, read = labels >= 0, outcome.predicted >= 0
    scored = known & read
    if not scored.any():
        return
    from docclf.results.quality.evaluation import write_evaluation

    text = write_evaluation(output, labels[scored], outcome.predicted[scored], outcome.confidence[scored], class_names)
    without = [(n, what) for n, what in ((sum(~known), "without a label"), (sum(known & ~read), "not readable")) if n]
    left_out = "".join(f", {n} {what}" for n, what in without)
    log.info(f"Scored on {scored.sum()} of {len(labels)} pages{left_out}:\n{text}")
    log.info(f"More in {output.stem}_classes.csv and {output.stem}_confusion.png")


def _tell_left_out(outcome: Outcome, output: Path, *, only_first: bool) -> None:
    names, n = outcome.multi_page, len(outcome.problems)
    if names and only_first:
        files = f"{len(names)} file{'s' if len(names) > 1 else ''}"
        log.info(f"Of {files} only the first page is predicted, such as {names[0]}; data.multi_page=all predicts all.")
    if n:
        shown = "".join(f"\n  {name}: {' '.join(problem.split())}" for name, problem in outcome.problems[:_MOST])
        more, total = f"\n  and {n - _MOST} more" if n > _MOST else "", len(outcome.predicted)
        log.error(f"{n} of {total} pages could not be read; in {output.name} they have no target:{shown}{more}")


sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    main()
