"""Studies to merge as searches leave them, and what a merge made of them."""

import csv
import json
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event

from docclf.results.team.merge import merge_studies

LR, SIZE = FloatDistribution(1e-5, 1e-1, log=True), CategoricalDistribution([16, 32])
SPACE = {"optimizer.lr": LR, "data.batch_size": SIZE}
CONFIG = {"model.name": "mobilenet", "model.drop_rate": "0.0", "validation.folds": "3", "data.image_size": "96"}
FACTS = {"pages": 24, "classes": 3, "data": "d1", "folds": "f1", "steps": 9}

Make = Callable[..., Path]


def new_study(folder: Path, name: str = "search", storage: Any = None, **records: Any) -> optuna.Study:
    """A study as docclf's sweeper begins one; a record of None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    directions = records.pop("directions", ["maximize"])
    space = records.pop("space", SPACE)
    study = optuna.create_study(study_name=name, storage=storage or quick(folder / "study.db"), directions=directions)
    known = {
        "space": {key: distribution_to_json(d) for key, d in space.items()},
        "objective": {"macro_f1": "maximize"},
        "facts": FACTS,
        "config": CONFIG,
    }
    for key, value in (known | records).items():
        if value is not None:
            study.set_user_attr(key, json.dumps(value, sort_keys=True))
    return study


@lru_cache
def empty() -> bytes:
    """A database with Optuna's tables, which take a quarter of a second to make."""
    with tempfile.TemporaryDirectory() as folder:
        optuna.storages.RDBStorage(f"sqlite:///{folder}/empty.db").engine.dispose()
        return Path(folder, "empty.db").read_bytes()


def quick(path: Path) -> optuna.storages.BaseStorage:
    """SQLite that does not wait for the disk."""
    if not path.is_file():
        path.write_bytes(empty())
    url = f"sqlite:///{path}"
    storage = optuna.storages.RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    return storage


def tell(
    study: optuna.Study,
    value: Any = None,
    *,
    state: TrialState = TrialState.COMPLETE,
    folder: Path | None = None,
    host: str = "hosta",
    params: dict[str, Any] | None = None,
    constraints: dict[str, float] | None = None,
    **attributes: Any,
) -> FrozenTrial:
    """A trial as a search leaves it, with its folder."""
    n = len(study.get_trials(deepcopy=False))
    if params is None:
        params = {"optimizer.lr": 10 ** -(1.5 + n / 10), "data.batch_size": 16}
    values = [] if value is None else list(value) if isinstance(value, tuple) else [value]
    trial = create_trial(
        state=state,
        values=values or None,
        params=params,
        distributions={key: SPACE.get(key, FloatDistribution(0, 1)) for key in params},
        user_attrs={"owner": f"{host}:123:456", "hardware": {"name": "H100", "cores": 8}, **attributes},
        constraints=constraints,
    )
    trial.datetime_start = datetime.now() - timedelta(seconds=36)
    study.add_trial(trial)
    if folder is not None:
        run = folder / str(n)
        (run / ".hydra").mkdir(parents=True)
        OmegaConf.save(OmegaConf.create({"trial": n, "of": str(folder)}), run / ".hydra" / "config.yaml")
        hydra = {"hydra": {"runtime": {"cwd": str(folder.parent), "choices": {"model": "mobilenet"}}}}
        OmegaConf.save(OmegaConf.create(hydra), run / ".hydra" / "hydra.yaml")
        (run / "result.yaml").write_text("state: COMPLETE\n", encoding="utf-8")
    return study.get_trials(deepcopy=False)[n]


def merge(*given: Path | str, out: Path, **options: Any) -> str:
    return merge_studies([str(source) for source in given], out, **options)


def load(folder: Path, name: str = "") -> optuna.Study:
    return optuna.load_study(study_name=name or folder.name, storage=quick(folder / "study.db"))


def board(folder: Path) -> list[dict[str, str]]:
    return read_table(folder / "leaderboard.csv")


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def origins(folder: Path) -> list[tuple[str, int]]:
    found = [trial.user_attrs["merged_from"] for trial in load(folder).trials]
    return [(origin["who"], origin["number"]) for origin in found]
