"""What the server of `forked.py` has ready for its forks: what commands import late, and what they do first.

Nothing of it computes with OpenMP. What it does once is what each fork would do again: a study in a database, which
makes SQLAlchemy map its classes, and a composed config, for which Hydra looks for its plugins and learns its grammar.
"""

import gc
import importlib
import pkgutil

import optuna
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.global_hydra import GlobalHydra
from optuna.storages import RDBStorage
from parsed_once import load_config

import docclf

LATE = (
    "alembic.command",
    "alembic.context",
    "cleanlab.filter",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher",
    "hydra_plugins.hydra_optuna_sweeper._impl",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper",
    "hydra_plugins.hydra_ray_launcher.ray_launcher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "optuna.artifacts",
    "optuna.importance",
    "plotly.offline",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sqlalchemy.dialects.sqlite",
)
# All of docclf but what only `augment=augraphy` imports, for its seconds of OpenCV and numba.
OURS = [
    m.name for m in pkgutil.walk_packages(docclf.__path__, "docclf.") if not m.name.endswith((".__main__", ".augraphy"))
]


def keep_a_study() -> None:
    """As a search does with each trial."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = RDBStorage("sqlite://")
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    trial.report(1.0, 0)
    trial.set_user_attr("note", "seen")
    study.tell(trial, 1.0)
    assert len(study.trials) == 1
    storage.engine.dispose()
    optuna.logging.set_verbosity(verbosity)


def compose_a_config() -> None:
    with initialize_config_dir(str(docclf.CONF_DIR)):
        compose("train", ["hparams_search=optuna", "model.tune=all", "data.root='a folder'", "study_name=seen"])
    GlobalHydra.instance().clear()


FileConfigSource.load_config = load_config  # type: ignore[method-assign]
for name in (*LATE, *OURS):
    importlib.import_module(name)
keep_a_study()
compose_a_config()
gc.freeze()  # or each fork would go through all of it again
