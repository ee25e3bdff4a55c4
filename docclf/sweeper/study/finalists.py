"""The study of finalists, beside that of the search: which trial each re-evaluates, and how it came out."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import DataError
from docclf.sweeper.optuna_private import storage_of
from docclf.sweeper.storage.ownership import forget_former, load_finalists
from docclf.sweeper.storage.places import finalists_name
from docclf.sweeper.study.attributes import CURRENT, FINALIST, PRUNER
from docclf.sweeper.study.continuation import CONFIG, FACTS
from docclf.sweeper.study.trials import best_trials


def open_finalists(search: optuna.Study, race: bool) -> optuna.Study:
    """The finalists' study, made if it is not there; that of a deleted search of this name is deleted.

    Args:
        race: Whether a finalist stops that falls behind, see `docclf.sweeper.strategy.race.Race`.
    """
    forget_former(search)
    study = optuna.create_study(
        study_name=finalists_name(search.study_name),
        storage=storage_of(search),
        direction=search.direction,
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(),  # never asked: every parameter is known
    )
    study.set_user_attr(PRUNER, "race" if race else "none")
    for key in (FACTS, CONFIG):  # finalists are held to what the search began with, as its trials are
        if key in search.user_attrs:
            study.set_user_attr(key, search.user_attrs[key])
    return study


def scored(search: optuna.Study) -> list[FrozenTrial]:
    """Finalists of a search that came to their end, as they were last scored; the best first, none without a rescoring.

    Raises:
        DataError: Their study is damaged.
    """
    study = load_finalists(search)
    if study is None:
        return []
    if study.directions != search.directions:
        raise DataError(f"Expected finalists as their search has them, got the directions {study.directions}.")
    complete = (trial for trial in _current(study) if trial.state == TrialState.COMPLETE)
    last = {trial.user_attrs[FINALIST]: trial for trial in complete}
    return best_trials(list(last.values()), search.direction)


def scored_alike(search: optuna.Study) -> list[FrozenTrial]:
    """All finalists that were re-evaluated in the way that counts, whatever became of them."""
    study = load_finalists(search)
    return [] if study is None else _current(study)


def _current(study: optuna.Study) -> list[FrozenTrial]:
    current = study.user_attrs.get(CURRENT, [])
    return [trial for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get(FINALIST) in current]


def mark(number: int, overrides: Sequence[str], reference: str | None = None) -> str:
    """Identifies a finalist: the trial of the search, and how it is re-evaluated.

    Args:
        reference: Name of the reference that is made of the trial.

    >>> mark(7, ["validation.seed=43"]), mark(0, ["validation.seed=43"], "nearest")
    ('7 validation.seed=43', '0/nearest validation.seed=43')
    """
    return " ".join([f"{number}/{reference}" if reference else str(number), *overrides])


def source_number(finalist: FrozenTrial | optuna.Trial) -> int:
    """Number of the trial of the search that a finalist re-evaluates, or that a reference is made of."""
    return int(finalist.user_attrs[FINALIST].partition(" ")[0].partition("/")[0])
