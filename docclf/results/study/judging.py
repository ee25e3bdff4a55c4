"""Which finalist wins a search: the finalists compared with each other, with floors and with the baseline."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import TrialState

from docclf.errors import DataError
from docclf.metrics.resampling import Difference, chance_of_guessing, compare_scores
from docclf.results.facts import macro_f1_of, result_of
from docclf.results.floors import NAMES, Floor, floors_of
from docclf.results.reading import read_run
from docclf.results.study.verdict import ENSEMBLE, Verdict
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.attributes import FINALIST, REFERENCE, ROLE
from docclf.sweeper.study.finalists import scored, scored_alike, source_number
from docclf.sweeper.study.trials import folder_number, is_allowed

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

# Finalists of these states were candidates: one that fell behind was stopped, because it was compared.
_COMPARED = (TrialState.COMPLETE, TrialState.PRUNED)


def judge_finalists(search: optuna.Study, folder: Path) -> Verdict | None:
    """Compare the finalists of a search; None where none of them came to its end."""
    trials, finalists = search.get_trials(deepcopy=False), scored(search)
    searched = [f for f in finalists if REFERENCE not in f.user_attrs]
    # The baseline may not keep to the constraints, and then cannot win.
    winner = next((f for f in searched if is_allowed(trials[source_number(f)])), None)
    if winner is None:
        return None
    baseline = next((trial for trial in searched if trial.user_attrs.get(ROLE) == "baseline"), None)
    number, run = source_number(winner), folder / FINALISTS / str(winner.number)
    # After a merge there may be several of a kind, of which the best stays.
    references = {f.user_attrs[REFERENCE]: f for f in reversed(finalists) if f.user_attrs.get(REFERENCE) in NAMES}
    better = (f for f in finalists[: finalists.index(winner)] if f.user_attrs.get(REFERENCE) in NAMES)
    verdict = Verdict(
        winner,
        number,
        baseline,
        difference=None,
        guessing=None,
        is_elsewhere=not _have_same_folds(run, folder / str(folder_number(trials[number]))),
        floors=_floors(winner, searched, references, folder / FINALISTS),
        reference=next(better, None),
        ensemble=_told_ensemble(folder / "best", number),
    )
    if baseline is None or winner.number == baseline.number:
        return verdict
    compared = [f for f in scored_alike(search) if f.state in _COMPARED and REFERENCE not in f.user_attrs]
    n_compared = len({f.user_attrs[FINALIST] for f in compared} - {baseline.user_attrs[FINALIST]})
    difference, guessing = _compare(run, folder / FINALISTS / str(baseline.number), n_compared)
    return replace(verdict, difference=difference, guessing=guessing)


def _floors(
    winner: FrozenTrial, finalists: Sequence[FrozenTrial], references: Mapping[str, FrozenTrial], runs: Path
) -> dict[str, Floor]:
    """The highest floor of each kind on the winner's folds: frozen features depend on the model and the page's size.

    Args:
        finalists: All that are trials of the search.
        references: Name of a floor to the finalist that it was run as, whose score counts where it is higher.
    """
    run = runs / str(winner.number)
    alike = [f for f in finalists if f is winner or _have_same_folds(runs / str(f.number), run)]
    found: dict[str, Floor] = {}
    for floors in (floors_of(f, runs / str(f.number)) for f in alike):
        found |= {name: f for name, f in floors.items() if name not in found or f["mean"] > found[name]["mean"]}
    for name, trial in references.items():
        if name in found and not macro_f1_of(trial) > found[name]["mean"]:
            continue
        folds, what = list(trial.user_attrs.get("folds") or ()), found.get(name, {}).get("what")
        facts = {"pooled": trial.user_attrs.get("macro_f1_pooled"), "folds": folds, "what": what}
        found[name] = {"mean": macro_f1_of(trial), **{key: value for key, value in facts.items() if value}}
    return {name: found[name] for name in NAMES if name in found}


def _told_ensemble(best: Path, winner: int) -> dict[str, Any]:
    """What was said of an ensemble when this trial won; empty where nothing was."""
    facts = result_of(best, "verdict.yaml")
    found = facts.get(ENSEMBLE)
    return found if facts.get("trial") == winner and isinstance(found, dict) else {}


def _have_same_folds(finalist: Path, trial: Path) -> bool:
    """Whether a finalist had the folds of its trial, as with `validation.split_file`."""
    ours, theirs = finalist / "folds.csv", trial / "folds.csv"
    return ours.is_file() and theirs.is_file() and ours.read_bytes() == theirs.read_bytes()


def _compare(winner: Path, baseline: Path, n_compared: int) -> tuple[Difference | None, float | None]:
    """Difference of two runs' out-of-fold predictions, and the chance that the first one is guessing.

    Args:
        n_compared: Finalists of which the winner is the best, stopped ones too. The more there are, the likelier one of
            them is ahead by luck: that none of equal ones seems to beat the baseline in more than 5 % of searches, the
            interval has the level 1 - 0.1 / n_compared, at least 0.95 (Bonferroni's correction, of its lower bound).
    """
    try:
        run, other = read_run(winner), read_run(baseline)
    except DataError as error:  # removed, or damaged
        log.warning(f"The finalists' predictions cannot be compared: {error}")
        return None, None
    ours, theirs = run.predictions, other.predictions
    if ours.ids != theirs.ids or ours.class_names != theirs.class_names:
        return None, None
    labels, predicted, n = run.labels, ours.predicted, len(run.classes)
    difference = compare_scores(labels, predicted, theirs.predicted, n, groups=ours.groups, level=_level(n_compared))
    # Pages of one group are right or wrong together, so that one of each is what can be shuffled.
    rows = slice(None) if ours.groups is None else np.unique(ours.groups, return_index=True)[1]
    return difference, chance_of_guessing(labels[rows], predicted[rows], n)


def _level(n_compared: int) -> float:
    """
    >>> _level(1), _level(3), _level(10)
    (0.95, 0.967, 0.99)
    """
    return round(max(0.95, 1 - 0.1 / max(n_compared, 1)), 3)
