"""Which finalist wins a search, and whether it beats the baseline for a reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from docclf.errors import DataError
from docclf.scores import Difference, chance_of_guessing, compare_scores

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

# Of the permutation test: with the difference's own 5 %, a winner among noise is rarer than 1 in 20.
_GUESSING_P = 0.01


@dataclass(frozen=True)
class Verdict:
    """What became of the finalists.

    Attributes:
        winner: The finalist that scores best.
        number: Number of its trial in the search; of a reference, of the trial that it is made of.
        baseline: The baseline as a finalist; None without one.
        difference: In pooled out-of-fold macro-F1, winner less baseline; None where there is none to take.
        guessing: Chance that random labels score as well as the winner does; None without a difference.
        is_elsewhere: Whether finalists had other folds than the trials that they come from.
    """

    winner: FrozenTrial
    number: int
    baseline: FrozenTrial | None
    difference: Difference | None
    guessing: float | None
    is_elsewhere: bool = True

    @property
    def how(self) -> str:
        """What was done to the finalists."""
        return f"scored again on {'other' if self.is_elsewhere else 'the same'} folds"

    @property
    def beats(self) -> bool:
        """Whether the winner is better than the baseline beyond what chance explains, and better than guessing."""
        better = self.difference is not None and self.difference.low > 0
        return better and self.guessing is not None and self.guessing <= _GUESSING_P

    def __str__(self) -> str:
        name = self.winner.user_attrs.get("reference")  # docclf.sweeper.attributes.REFERENCE
        what = f"the reference {name}" if name else f"trial {self.number}"
        if self.baseline is None:
            return f"{what} wins; there is no baseline to compare with"
        if self.winner.number == self.baseline.number:
            return "what was found does not beat the baseline: scored again, no finalist is better than it"
        if self.difference is None or self.guessing is None:
            return f"{what} wins; its predictions and the baseline's cannot be compared"
        if self.beats:
            return f"{what} beats the baseline by {self.difference}"
        if self.guessing > _GUESSING_P:
            return f"{what} does not beat the baseline: it is no better than guessing (p = {self.guessing:.2g})"
        if self.difference.value <= 0:
            return f"{what} does not beat the baseline: over all pages the difference is {self.difference}"
        return f"{what} does not beat the baseline: the difference {self.difference} may be chance"

    def to_dict(self) -> dict[str, Any]:
        """For `verdict.yaml`."""
        facts: dict[str, Any] = {
            "verdict": str(self),
            "beats_baseline": self.beats,
            "trial": self.number,
            "how": self.how,
        }
        for role, finalist in {"winner": self.winner, "baseline": self.baseline}.items():
            if finalist is not None:
                facts[role] = {
                    "folder": f"finalists/{finalist.number}",
                    "macro_f1": finalist.values[0],
                    "macro_f1_pooled": finalist.user_attrs.get("macro_f1_pooled"),
                    "folds": finalist.user_attrs.get("folds"),
                }
        if self.difference is not None:
            facts["difference"] = {
                "macro_f1_pooled": self.difference.value,
                "low": self.difference.low,
                "high": self.difference.high,
                "level": self.difference.level,
                "chance_better": self.difference.chance_better,
                "p_guessing": self.guessing,
            }
        return facts


def judge(search: optuna.Study, folder: Path) -> Verdict | None:
    """Compare the finalists of a search.

    Args:
        search: Its study.
        folder: Its folder, with the finalists' runs.

    Returns:
        None where no finalist came to its end.
    """
    from docclf.sweeper.attributes import ROLE
    from docclf.sweeper.finalists import scored, source_number
    from docclf.sweeper.storage import FINALISTS
    from docclf.sweeper.study import folder_number

    trials, finalists = search.get_trials(deepcopy=False), scored(search)
    # The baseline may not keep to the constraints, and then cannot win.
    allowed = (f for f in finalists if all(c <= 0 for c in trials[source_number(f)].constraints.values()))
    winner = next(allowed, None)
    if winner is None:
        return None
    baseline = next((trial for trial in finalists if trial.user_attrs.get(ROLE) == "baseline"), None)
    number, run = source_number(winner), folder / FINALISTS / str(winner.number)
    is_elsewhere = not _have_same_folds(run, folder / str(folder_number(trials[number])))
    if baseline is None or winner.number == baseline.number:
        return Verdict(winner, number, baseline, None, None, is_elsewhere)
    compared = _compare(run, folder / FINALISTS / str(baseline.number))
    return Verdict(winner, number, baseline, *compared, is_elsewhere)


def _have_same_folds(finalist: Path, trial: Path) -> bool:
    """Whether a finalist had the folds of its trial, as with `validation.split_file`."""
    ours, theirs = finalist / "folds.csv", trial / "folds.csv"
    return ours.is_file() and theirs.is_file() and ours.read_bytes() == theirs.read_bytes()


def _compare(winner: Path, baseline: Path) -> tuple[Difference | None, float | None]:
    """Difference of two runs' out-of-fold predictions, and the chance that the first one is guessing."""
    from docclf.results.reading import read_run

    try:
        run, other = read_run(winner), read_run(baseline)
    except DataError as error:  # removed, or damaged
        log.warning(f"The finalists' predictions cannot be compared: {error}")
        return None, None
    ours, theirs = run.predictions, other.predictions
    if ours.ids != theirs.ids or ours.class_names != theirs.class_names:
        return None, None
    index = {target: i for i, target in enumerate(run.classes)}
    labels = np.array([index[target] for target in ours.targets])
    predicted, beaten = (found.probabilities.argmax(axis=1) for found in (ours, theirs))
    n = len(index)
    return compare_scores(labels, predicted, beaten, n), chance_of_guessing(labels, predicted, n)
