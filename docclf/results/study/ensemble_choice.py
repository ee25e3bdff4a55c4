"""Which trials a mean of several is made of: chosen by what they predicted in the search, and at what cost."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import DictConfig, OmegaConf

from docclf.errors import DataError
from docclf.inference.description import FOLDER
from docclf.inference.selection import Estimate, Library, estimate
from docclf.results.facts import HEAD, KEPT, NET, result_of
from docclf.results.reading import Predictions, read_predictions, read_run
from docclf.results.study.verdict import Verdict
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.attributes import DUPLICATE_OF, MEMBER, REFERENCE
from docclf.sweeper.study.finalists import scored, source_number
from docclf.sweeper.study.trials import best_trials, folder_number

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)
_MOST_READ = 60  # trials, the best ones


@dataclass(frozen=True)
class Choice:
    """Trials to be averaged."""

    weights: dict[int, float]  # number of each trial to its weight, the heaviest first; they sum to 1
    cost: float  # of predicting, as a multiple of the winner's
    estimate: Estimate  # what that is worth
    setting: bool | str  # `search.ensemble`

    @property
    def why_not(self) -> str:
        """Why it is not to be exported; empty where it is."""
        if len(self.weights) < 2:
            return "one trial alone is as good as the mean of several"
        if self.setting == "auto" and self.estimate.difference.low <= 0:
            return f"the mean of {len(self.weights)} trials is not surely better than one, {self.estimate.difference}"
        return ""


def choose_ensemble(study: optuna.Study, folder: Path, verdict: Verdict | None, config: DictConfig) -> Choice | str:
    """Choose trials by the out-of-fold predictions of the search: heads, and the nets that were re-evaluated.

    Returns:
        The choice, or why there is none; an empty text where none is asked for.
    """
    setting = OmegaConf.select(config, "search.ensemble", default=False)
    if verdict is None or setting is False or config.search.objective not in ("macro_f1", "macro_f1_pooled"):
        return ""
    if verdict.reference is not None:
        return "a floor takes the winner's place"
    if OmegaConf.select(config, "keep_checkpoints") == "none":
        return "keep_checkpoints=none keeps no models"
    trials = study.get_trials(deepcopy=False)
    rescored, winner = rescored_runs(study, folder), trials[verdict.number]
    best = [t for t in best_trials(trials, study.direction) if DUPLICATE_OF not in t.user_attrs and t is not winner]
    read = [_Candidate.read(trial, folder, rescored) for trial in [winner, *best[:_MOST_READ]]]
    first = read[0]
    if first is None:
        return "what the winner predicted is not here, or was written by an earlier release"
    candidates = [candidate for candidate in read if candidate is not None and candidate.is_like(first)]
    library = _library(candidates, folder / str(folder_number(winner)))
    own = library.cost(np.eye(len(candidates))[0])
    library = replace(library, limit=own * float(config.search.max_predict_cost))
    found = _estimate_once(library)
    order = [i for i in np.argsort(-found.weights, kind="stable").tolist() if found.weights[i] > 0]
    weights = {candidates[i].number: float(found.weights[i]) for i in order}
    return Choice(weights, library.cost(found.weights) / own if own else 1.0, found, setting)


_last: list[tuple[Library, Estimate]] = []


def _estimate_once(library: Library) -> Estimate:
    """The finalists ask which members they need, and the export asks again: of the same models mostly."""
    for before, found in _last:
        if all(map(np.array_equal, vars(before).values(), vars(library).values())):
            return found
    _last[:] = [(library, estimate(library))]
    return _last[0][1]


@dataclass(frozen=True)
class _Candidate:
    """A trial that may be a member: what it predicted, and the forward passes that it takes to their operations."""

    number: int
    predictions: Predictions
    passes: Mapping[str, float]

    @classmethod
    def read(cls, trial: FrozenTrial, folder: Path, rescored: Mapping[int, Path]) -> _Candidate | None:
        """None where its files are missing, or its model cannot be had without another training."""
        run, number = folder / str(folder_number(trial)), trial.number
        result = result_of(run)
        passes, is_head = result.get("passes"), result.get("tune") == "head"
        if not isinstance(passes, dict) or not (is_head or number in rescored):
            return None
        # What a net's finalist keeps may be another part of it than what the trial kept: it will predict.
        last = result_of(rescored[number]) if number in rescored else result
        kept = HEAD if is_head else last.get(KEPT, NET)
        taken = {} if kept == NET else dict(passes.get("frozen") or {})
        if kept != HEAD:
            taken[f"nets of trial {number}"] = len(last.get("folds", ())) * passes.get("net", 0)
        try:
            return cls(number, read_predictions(run / "oof.csv"), taken)
        except DataError as error:
            log.warning(f"Trial {number} cannot be a member of an ensemble: {error}")
            return None

    def is_like(self, other: _Candidate) -> bool:
        """Whether both predicted the same pages on the same folds."""
        ours, theirs = self.predictions, other.predictions
        same = ours.ids == theirs.ids and ours.targets == theirs.targets and ours.class_names == theirs.class_names
        return same and np.array_equal(ours.folds, theirs.folds)  # type: ignore[arg-type]


def _library(candidates: Sequence[_Candidate], run: Path) -> Library:
    names = list(dict.fromkeys(name for candidate in candidates for name in candidate.passes))
    costs = {name: cost for candidate in candidates for name, cost in candidate.passes.items()}
    first = read_run(run)
    return Library(
        labels=first.labels,
        probabilities=np.stack([c.predictions.probabilities for c in candidates]).astype(np.float32),
        passes=np.array([[name in c.passes for name in names] for c in candidates]).reshape(len(candidates), -1),
        costs=np.array([costs[name] for name in names], dtype=np.float64),
        groups=first.predictions.groups,
    )


def rescored_runs(study: optuna.Study, folder: Path) -> dict[int, Path]:
    """Number of each trial that a finalist has re-evaluated to the folder of its run, where that has a model."""
    found: dict[int, Path] = {}
    for finalist in scored(study):
        run = folder / FINALISTS / str(finalist.number)
        if finalist.user_attrs.get(REFERENCE) in (None, MEMBER) and (run / FOLDER).is_dir():
            found.setdefault(source_number(finalist), run)
    return found
