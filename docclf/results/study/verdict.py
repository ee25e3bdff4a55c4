"""What is said of the winner of a search: whether it beats the baseline for a reason, and what is exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from docclf.metrics.resampling import Difference
from docclf.results.facts import expected_score_text, is_score, macro_f1_of
from docclf.results.floors import Floor, classifier, is_below, search_warning
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.attributes import REFERENCE
from docclf.sweeper.study.trials import baseline_of, folder_number

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# Of the permutation test: beside the difference's interval, it keeps a winner that guesses from being crowned.
_GUESSING_P = 0.01

# What is exported where it is the mean of several trials; its run's folder among the finalists; a key of verdict.yaml.
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Verdict:
    """What became of the finalists."""

    winner: FrozenTrial  # the trial of the search that scores best as a finalist
    number: int  # number of its trial in the search
    baseline: FrozenTrial | None  # the baseline as a finalist; None without one
    # in pooled out-of-fold macro-F1, winner less baseline; None where there is none to take
    difference: Difference | None
    guessing: float | None  # chance that random labels score as well as the winner does; None without a difference
    is_elsewhere: bool = True  # whether finalists had other folds than the trials that they come from
    floors: Mapping[str, Floor] = field(default_factory=dict)  # on the winner's folds
    # the floor that was run as a finalist and scores better than the winner, whose place it takes in `best/`; None
    # without one
    reference: FrozenTrial | None = None
    # what `verdict.yaml` says of the mean of several trials; empty where none was asked for
    ensemble: Mapping[str, Any] = field(default_factory=dict)
    is_final: bool = True  # whether winner and baseline are finalists, and not trials of the search, see `unjudged`

    @property
    def exported(self) -> FrozenTrial:
        """The finalist whose config goes into `best/`, and its run, unless an ensemble is exported."""
        return self.winner if self.reference is None else self.reference

    @property
    def is_ensemble(self) -> bool:
        """Whether the mean of several trials is exported."""
        return self.ensemble.get("exported") is True

    @property
    def expected(self) -> str:
        """What is expected of it on other pages, in words; empty where nobody knows, as of an ensemble."""
        found = self.exported.user_attrs.get("expected_score")
        if self.is_ensemble or not isinstance(found, dict):
            return ""
        is_known = all(is_score(found.get(name)) for name in ("macro_f1", "low", "high"))
        return expected_score_text(found) if is_known else ""

    @property
    def run(self) -> str:
        """Folder below the search's whose run goes into `best/`."""
        if not self.is_final:
            return str(folder_number(self.winner))
        return f"{FINALISTS}/{ENSEMBLE if self.is_ensemble else self.exported.number}"

    @property
    def who(self) -> str:
        """What is exported, in words."""
        if self.is_ensemble:
            return "the ensemble"
        return f"trial {self.number}" if self.reference is None else classifier(self.reference.user_attrs[REFERENCE])

    @property
    def exported_as(self) -> str:
        """`winner`, or what takes its place: `ensemble` or a floor."""
        if self.is_ensemble:
            return ENSEMBLE
        return "winner" if self.reference is None else str(self.reference.user_attrs[REFERENCE])

    @property
    def below_floor(self) -> bool:
        """Whether the winner scores less than a floor on the same folds."""
        return is_below(macro_f1_of(self.winner), self.floors)

    @property
    def warning(self) -> str:
        """What is to be told first, see `docclf.results.floors.search_warning`."""
        score, is_replaced = macro_f1_of(self.winner), self.reference is not None
        return search_warning(self.number, score, self.floors, is_replaced=is_replaced)

    @property
    def how(self) -> str:
        """What was done to the finalists."""
        if not self.is_final:
            return "not re-evaluated"
        return f"re-evaluated on {'other' if self.is_elsewhere else 'the same'} folds"

    @property
    def beats(self) -> bool:
        """Whether the winner is better than the baseline beyond what chance explains, and better than guessing."""
        better = self.difference is not None and self.difference.low > 0
        return better and self.guessing is not None and self.guessing <= _GUESSING_P

    @property
    def claim(self) -> str:
        """What came out, in a sentence without its capital and full stop."""
        if self.baseline is not None and self.winner.number == self.baseline.number:
            return "the baseline stays the best"
        if self.baseline is None or self.difference is None or self.guessing is None:
            return f"trial {self.number} wins"
        if self.beats:
            return f"trial {self.number} beats the baseline by {self.difference.value:+z.3f}"
        return f"trial {self.number} does not beat the baseline"

    @property
    def reason(self) -> str:
        """What the claim rests on, worded likewise."""
        if self.baseline is None:
            return "the baseline was not re-evaluated, so there is nothing to compare it with"
        if self.winner.number == self.baseline.number:
            return "re-evaluated, no trial scores higher than it"
        if self.difference is None or self.guessing is None:
            return "its predictions and the baseline's cannot be compared"
        if self.beats:
            return self.difference.interval
        if self.guessing > _GUESSING_P:
            return f"it is no better than guessing (p = {self.guessing:.2g})"
        if self.difference.value <= 0:
            return f"over all pages the difference is {self.difference}"
        return f"the difference {self.difference} may be chance"

    def __str__(self) -> str:
        if not self.is_final:
            return f"trial {self.number} is the best by the scores of the search, on the folds that it was chosen by"
        return f"{self.claim} ({self.reason})" if self.beats else f"{self.claim}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """For `verdict.yaml`."""
        facts: dict[str, Any] = {
            "verdict": str(self),
            "beats_baseline": self.beats,
            "below_floor": self.below_floor,
            "exported": self.exported_as,
            "run": self.run,
            "trial": self.number,
            "how": self.how,
            "is_final": self.is_final,
        }
        roles = {"winner": self.winner, "baseline": self.baseline, "reference": self.reference}
        for role, trial in roles.items():
            if trial is not None:
                folder = f"{FINALISTS}/{trial.number}" if self.is_final else str(folder_number(trial))
                facts[role] = _scores(trial, folder)
        facts["floors"] = dict(self.floors)
        if self.ensemble:
            facts[ENSEMBLE] = dict(self.ensemble)
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


def _scores(trial: FrozenTrial, folder: str) -> dict[str, Any]:
    score = macro_f1_of(trial)  # which may not be what is searched for
    return {
        "folder": folder,
        "value": trial.values[0],
        "macro_f1": score if is_score(score) else None,
        "macro_f1_pooled": trial.user_attrs.get("macro_f1_pooled"),
        "folds": trial.user_attrs.get("folds"),
        **({"expected_score": trial.user_attrs["expected_score"]} if "expected_score" in trial.user_attrs else {}),
    }


def unjudged(best: FrozenTrial, trials: Sequence[FrozenTrial], floors: Mapping[str, Floor]) -> Verdict:
    """Of a search without finalists: the floors, and no claim about the baseline.

    Args:
        best: The best trial by the search's own scores.
        floors: On the best trial's folds.
    """
    return Verdict(best, best.number, baseline_of(trials), None, None, floors=floors, is_final=False)
