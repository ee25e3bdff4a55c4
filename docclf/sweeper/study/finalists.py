"""The study of finalists, beside that of the search: which trial each re-evaluates, how it came out, and who scores it.

Of many machines that search a study, exactly one process scores the finalists and exports the winner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import DataError
from docclf.sweeper.optuna_private import storage_of, study_id_of
from docclf.sweeper.storage.claims import claim_lock
from docclf.sweeper.storage.places import FINALISTS, finalists_name
from docclf.sweeper.study.attributes import BEAT, CURRENT, FINALIST, OWNER, PRUNER, WANTED
from docclf.sweeper.study.continuation import CONFIG, FACTS
from docclf.sweeper.study.process import Heartbeat, has_this_name, host_of, is_here, this_process
from docclf.sweeper.study.trials import BEAT_S, best_trials, is_alive

log = logging.getLogger(__name__)

_LOOK_S = 1.0  # between two looks at a heartbeat


def open_finalists(search: optuna.Study, race: bool) -> optuna.Study:
    """The finalists' study, made if it is not there; that of a deleted search of this name is deleted.

    Args:
        race: Whether a finalist stops that falls behind, see `docclf.sweeper.strategy.race.Race`.
    """
    name, storage = finalists_name(search.study_name), storage_of(search)
    with suppress(KeyError):  # none, or another process came first
        found = optuna.load_study(study_name=name, storage=storage)
        if _is_of_a_former(found, search):
            log.info(f"Finalists of a study {search.study_name} that was deleted are deleted too")
            storage.delete_study(study_id_of(found))  # by its id: another process may have made the next one
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction=search.direction,
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(),  # never asked: every parameter is known
    )
    study.set_user_attr(PRUNER, "race" if race else "none")
    for key in (FACTS, CONFIG):  # finalists are held to what the search began with, as its trials are
        if key in search.user_attrs:
            study.set_user_attr(key, search.user_attrs[key])
    return study


def load_finalists(search: optuna.Study) -> optuna.Study | None:
    """The study of a search's finalists; None where there is none, or that of a search that was deleted."""
    try:
        found = optuna.load_study(study_name=finalists_name(search.study_name), storage=storage_of(search))
    except KeyError:
        return None
    return None if _is_of_a_former(found, search) else found


def _is_of_a_former(finalists: optuna.Study, search: optuna.Study) -> bool:
    """Whether finalists are older than their search: storages count their studies, and give no number twice."""
    return study_id_of(finalists) < study_id_of(search)


def scored(search: optuna.Study) -> list[FrozenTrial]:
    """Finalists of a search that came to their end, as they were last scored; the best first, none without a rescoring.

    Raises:
        DataError: Their study is damaged.
    """
    complete = [trial for trial in scored_alike(search) if trial.state == TrialState.COMPLETE]
    last = {trial.user_attrs[FINALIST]: trial for trial in complete}
    return best_trials(list(last.values()), search.direction)


def scored_alike(search: optuna.Study) -> list[FrozenTrial]:
    """All finalists that were re-evaluated in the way that counts, whatever became of them.

    Raises:
        DataError: Their study is damaged.
    """
    if (study := load_finalists(search)) is None:
        return []
    if study.directions != search.directions:
        raise DataError(f"Expected finalists as their search has them, got the directions {study.directions}.")
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


def is_scored_here(finalist: FrozenTrial, directory: Path) -> bool:
    """Whether it came to its end, and what it left is here."""
    return _is_scored(finalist) and (directory / FINALISTS / str(finalist.number)).is_dir()


def _is_scored(finalist: FrozenTrial) -> bool:
    """One that failed was trained before, as a trial, and is worth another try."""
    return finalist.state in (TrialState.COMPLETE, TrialState.PRUNED)


def own(finalists: optuna.Study, owner: str) -> None:
    """Say who scores the finalists: what `docclf.sweeper.study.process.this_process` returned; empty for nobody."""
    finalists.set_user_attr(BEAT, time.time())
    finalists.set_user_attr(OWNER, owner)


def take(finalists: optuna.Study, names: Collection[str], directory: Path) -> bool:
    """Make this process the one that scores the finalists; False, with a line, where another one does or has.

    Args:
        names: Values of `FINALIST`.
    """
    await_sign_of_life(finalists)
    with claim_lock(storage_of(finalists), finalists.study_name):
        if (owner := other_owner(finalists)) is not None:
            log.info(f"The finalists are scored, and the winner is exported, by another process of {host_of(owner)}")
            return False
        if (host := elsewhere(finalists, names, directory)) is not None:
            log.info(
                f"The finalists were scored on {host}, where the winner is exported. "
                "With other overrides, such as another seed, they are scored here."
            )
            return False
        own(finalists, this_process())
    return True


@contextmanager
def keeping(search: optuna.Study) -> Iterator[None]:
    """While entered, a process that has the finalists of a search says that it lives, so that no other takes them."""
    finalists = load_finalists(search)
    if finalists is None or finalists.user_attrs.get(OWNER) != this_process():
        yield
        return
    finalists.set_user_attr(BEAT, time.time())
    with Heartbeat(lambda: finalists.set_user_attr(BEAT, time.time()), BEAT_S):
        yield


def release(search: optuna.Study) -> None:
    """Leave the finalists of a search to whoever goes on with it."""
    finalists = load_finalists(search)
    if finalists is not None and other_owner(finalists) is None:
        own(finalists, "")


def other_owner(finalists: optuna.Study) -> str | None:
    """The living process other than this one that has the finalists; None without one."""
    owner = finalists.user_attrs.get(OWNER)
    is_other = owner and owner != this_process() and is_alive(finalists.user_attrs)
    return str(owner) if is_other else None


def await_sign_of_life(finalists: optuna.Study) -> None:
    """Wait while nobody can tell whether the process that has the finalists lives.

    It may be one of this machine, before that was started again, or of a container of this name. Its next heartbeat
    tells, or that this is overdue.
    """
    owner, beat = (finalists.user_attrs.get(key) for key in (OWNER, BEAT))
    if not owner or is_here(owner) or not has_this_name(owner):
        return
    if other_owner(finalists) is not None:
        log.info("Waiting for a heartbeat of the process that re-evaluates the finalists, on a machine of this name")
    while other_owner(finalists) == owner and finalists.user_attrs.get(BEAT) == beat:
        time.sleep(_LOOK_S)


def elsewhere(finalists: optuna.Study, names: Iterable[str], directory: Path) -> str | None:
    """The machine that has scored all of these finalists and has what they left; None if there is something to do here.

    Args:
        names: Values of `FINALIST`.
    """
    last = {trial.user_attrs.get(FINALIST, ""): trial for trial in finalists.get_trials(deepcopy=False)}
    wanted = [last.get(name) for name in names]
    away = [trial for trial in wanted if trial is None or not is_scored_here(trial, directory)]
    owners = [trial.user_attrs.get(OWNER, "") for trial in away if trial is not None and _is_scored(trial)]
    if not owners or len(owners) < len(away) or any(not owner or has_this_name(owner) for owner in owners):
        return None
    return host_of(owners[0])


def is_for_another(search: optuna.Study, directory: Path | None) -> bool:
    """Whether another process scores the finalists of a search, or has scored them, and exports the winner.

    Args:
        directory: The search's folder on this machine; None where no finalists are asked for any more.
    """
    finalists = load_finalists(search)
    if finalists is None:
        return False
    if other_owner(finalists) is not None:
        return True
    return directory is not None and elsewhere(finalists, finalists.user_attrs.get(WANTED, []), directory) is not None
