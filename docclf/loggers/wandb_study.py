"""A whole study as one run of Weights & Biases."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas
import wandb
from omegaconf import DictConfig, OmegaConf

from docclf.files import link
from docclf.loggers.wandb_session import WandbSession
from docclf.results.provenance import training_facts
from docclf.results.report.figures.importance import importances
from docclf.results.report.subject import Subject, read_subject
from docclf.results.study.studies import open_study
from docclf.sweeper.space.grammar import to_text
from docclf.sweeper.study.attributes import CAUSE, INTERRUPTED
from docclf.sweeper.study.finalists import is_for_another
from docclf.sweeper.study.record import plain_params
from docclf.sweeper.study.trials import loss, may_win

# Kind of an artifact to its files in the search's folder.
_ARTIFACTS = {
    "report": ("report.html", "trials.csv"),
    "best": ("best/config.yaml", "best/params.yaml", "best/verdict.yaml"),
}


def log_study(folder: Path, **options: Any) -> None:
    """Log the study of a search: a step for each trial that has ended, all trials as a table, which parameters matter,
    what came out, report and best config as artifacts.

    It has the same run each time: a search that goes on adds to it, and offline the earlier run is replaced.

    Args:
        folder: The search's folder, its results exported.
        **options: Project and entity, see `docclf.loggers.wandb_run.WandbRunLogger`.
    """
    study, _, config = open_study(str(folder))
    has_finalists = config is not None and OmegaConf.select(config, "hydra.sweeper.finalists.top_k")
    if is_for_another(study, folder if has_finalists else None):
        return
    subject = read_subject(study, folder)
    if not (run_id := _run_id(subject)):
        return
    # Of W&B's tables, at the end of Python. To be removed when wandb/sdk/data_types/_private.py cleans up itself.
    warnings.filterwarnings("ignore", "Implicitly cleaning up <TemporaryDirectory", ResourceWarning)
    session = WandbSession(
        folder,
        _plain(config),
        id=run_id,
        name=study.study_name,
        group=study.study_name,
        job_type="study",
        resume="allow",
        **options,
    )
    try:
        _write(session.run, subject, folder)
    finally:
        session.finish(0)
    if session.run.offline:
        _remove_earlier(Path(session.run.dir).parent, run_id)


def _run_id(subject: Subject) -> str:
    """The same for a study each time, and for no other of its name; empty before a trial has begun."""
    starts = [trial.datetime_start for trial in subject.trials if trial.datetime_start is not None]
    if not starts:
        return ""
    return hashlib.sha256(f"{subject.study.study_name} {starts[0].isoformat()}".encode()).hexdigest()[:16]


def _plain(config: DictConfig | None) -> dict[str, Any]:
    if config is None:
        return {}
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return OmegaConf.to_container(task, resolve=True)  # type: ignore[return-value]


def _write(run: wandb.Run, subject: Subject, folder: Path) -> None:
    run.define_metric("trial")
    run.define_metric("*", step_metric="trial")
    rows = list(history(subject))
    there: Any = dict(run.summary).get("n_logged", 0) if run.resumed else 0
    for row in rows[there:]:
        run.log(row)
    fractions = _importances(subject)
    last: dict[str, Any] = {}
    if (path := folder / "trials.csv").is_file():
        trials = pandas.read_csv(path, keep_default_na=False, na_values=[""])  # which nothing else stands for
        last["trials"] = wandb.Table(dataframe=trials, allow_mixed_types=True)
    if fractions:
        table = wandb.Table(columns=["parameter", "importance"], data=[list(item) for item in fractions.items()])
        last["importance"] = wandb.plot.bar(table, "parameter", "importance", title="Importance of parameters")
    run.summary.update({"n_logged": len(rows), **_outcome(subject)})
    run.summary.update({f"importance/{name}": fraction for name, fraction in fractions.items()})
    run.log(last, commit=False)
    for kind, names in _ARTIFACTS.items():
        _log_files(run, kind, folder, names)


def history(subject: Subject) -> Iterator[dict[str, Any]]:
    """A row for each trial that has ended, in the order of their ends: number, state, value, best value so far,
    what was trained and the floors, parameters. Of several objectives there is a value of each, and no best.
    """
    best: float | None = None
    ended = [trial for trial in subject.trials if trial.datetime_complete is not None]
    for trial in sorted(ended, key=lambda trial: (trial.datetime_complete, trial.number)):
        row = {"trial": trial.number, "state": _state(trial), **_values(subject, trial)}
        if len(subject.directions) == 1:
            direction = subject.directions[0]
            if may_win(trial) and (best is None or loss(trial.values[0], direction) < loss(best, direction)):
                best = trial.values[0]
            row |= {"best_value": best} if best is not None else {}
        if trial.duration is not None:
            row["seconds"] = trial.duration.total_seconds()
        if cause := trial.user_attrs.get(CAUSE):
            row["cause"] = str(cause)
        row |= training_facts(trial.user_attrs)
        yield row | {f"params/{key}": _scalar(value) for key, value in plain_params(trial).items()}


def _state(trial: Any) -> str:
    """Of a trial of Optuna; one that goes on as another trial is no failure."""
    return "INTERRUPTED" if trial.user_attrs.get(INTERRUPTED) else trial.state.name


def _values(subject: Subject, trial: Any) -> dict[str, float]:
    """A pruned trial has the value that it reported last."""
    if len(subject.directions) == 1:
        return {"value": trial.values[0]} if trial.values else {}
    return {f"value/{name}": value for name, value in zip(subject.objectives, trial.values or (), strict=False)}


def _scalar(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else to_text(value)


def _importances(subject: Subject) -> dict[str, float]:
    found: dict[str, float] = {}
    for index, name in enumerate(subject.objectives):
        before = f"{name}/" if len(subject.directions) > 1 else ""
        found |= {f"{before}{key}": fraction for key, fraction in importances(subject, index).fractions.items()}
    return found


def _outcome(subject: Subject) -> dict[str, Any]:
    states = [_state(trial).lower() for trial in subject.trials]
    facts: dict[str, Any] = {f"n_{state}": states.count(state) for state in sorted(set(states))}
    facts["objectives"] = list(subject.objectives)
    if subject.chosen is not None and len(subject.directions) == 1:
        facts |= {"best_trial": subject.chosen.number, "best_value": subject.chosen.value}
        facts |= {f"best/{key}": _scalar(value) for key, value in plain_params(subject.chosen).items()}
        facts |= {f"best/{key}": value for key, value in training_facts(subject.chosen.user_attrs).items()}
    if subject.floors:
        facts |= {f"floor_{name}": floor["mean"] for name, floor in subject.floors.items()}
        facts["below_floor"] = bool(subject.warning)
    if subject.verdict is not None:
        facts |= {"verdict": str(subject.verdict), "beats_baseline": subject.verdict.beats}
        facts["exported"] = subject.verdict.exported_as
    return facts


def _log_files(run: wandb.Run, kind: str, folder: Path, names: Sequence[str]) -> None:
    """Log files as an artifact. An offline run keeps them as they are now, for the search may go on."""
    found = [name for name in names if (folder / name).is_file()]
    if not found:
        return
    artifact = wandb.Artifact(f"{kind}-{run.id}", type=kind)
    for name in found:
        kept = Path(run.dir).parent / "artifacts" / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        link(folder / name, kept)
        artifact.add_file(str(kept), name=kept.name, policy="immutable", skip_cache=True)
    run.log_artifact(artifact)


def _remove_earlier(place: Path, run_id: str) -> None:
    """Remove what earlier offline runs of the same id have left, all of which is in the last one, too."""
    # offline-run-TIME-ID, of the same second with -1 behind it.
    for path in place.parent.glob(f"offline-run-*-{run_id}*"):
        if path.name < place.name:  # and not one that another process of the search has begun since
            shutil.rmtree(path, ignore_errors=True)
