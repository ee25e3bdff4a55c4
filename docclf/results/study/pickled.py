"""The study as a pickle, for notebooks that were written for one."""

import logging
import pickle
from pathlib import Path

import optuna
from optuna.storages import InMemoryStorage

from docclf.files import replacing
from docclf.sweeper.optuna_private import storage_of

log = logging.getLogger(__name__)


def write_pickle(path: Path, study: optuna.Study) -> None:
    """Write a study with all trials in itself: it needs no storage, and holds no address or password of one.

    Args:
        path: Of the file, which is replaced.
        study: Wherever it lives.
    """
    memory = InMemoryStorage()
    optuna.copy_study(from_study_name=study.study_name, from_storage=storage_of(study), to_storage=memory)
    copy = optuna.load_study(study_name=study.study_name, storage=memory)
    with replacing(path) as partial:
        partial.write_bytes(pickle.dumps(copy))
    log.warning(f"The study as a pickle: {path}. A pickle runs code when it is opened: open none of unknown origin.")
