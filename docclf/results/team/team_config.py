"""The best of several studies as a team's config: best/config.yaml and best/params.yaml with where they come from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from docclf.errors import DataError
from docclf.files import replacing
from docclf.results.facts import FLOORS
from docclf.results.floors import floors_text, read_floors
from docclf.results.provenance import header_of, training_lines
from docclf.results.study.export import ExportBest
from docclf.results.study.trial_config import write_config, write_params
from docclf.results.study.verdict import Verdict
from docclf.results.team.entries import Entry
from docclf.safety.untrusted import read_config
from docclf.sweeper.screen.progress import format_params
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.trials import folder_number

# The callback by which docclf's own searches are known.
_EXPORT = f"{ExportBest.__module__}.{ExportBest.__qualname__}"


def export_team_best(
    study: optuna.Study, chosen: Sequence[Entry], folder: Path, shown: Path, verdict: Verdict | None
) -> tuple[list[str], list[str], list[str]]:
    """Write the config and the parameters of the best trial, or of each on the Pareto front in a folder of its own.

    Args:
        chosen: The best trial, or those on the front.
        folder: Where `best/` is now.
        shown: Where it will be.
        verdict: On the finalists; None where the search's own scores decide.

    Returns:
        Lines that say which is the best and why; commands, each with a comment before it; what could not be exported.
    """
    if not chosen:
        return ["No trial was scored that keeps to the constraints."], [], []
    lines, steps, notes = [], [], []
    by = verdict.how if verdict is not None else "by the score of the search"
    for entry in chosen:
        name = f"{entry.origin.who}-{entry.origin.number}" if entry.number is None else str(entry.number)
        # Who it comes from is what a study says.
        place = Path() if len(study.directions) == 1 else Path(re.sub(r"[/\\\0]", "_", name))
        origin = f"{entry.origin.who}, study {entry.origin.study}, trial {entry.origin.number}"
        trial, search = entry.trial, entry.source.folder
        run = search and search / str(folder_number(trial))
        if verdict is not None and verdict.reference is not None:
            trial, run = verdict.reference, folder.parent / FINALISTS / str(verdict.reference.number)
            origin = f"{verdict.who}, in place of {origin}"
        score = ", ".join(f"{value:.4g}" for value in (verdict.exported if verdict else trial).values)
        lines += [f"best, {by}: {origin}: {score}", f"  {format_params(trial.params)}"]
        source = _read_config(run)
        if source is None:
            notes.append(f"{origin}: its config is not here, so best/ has its parameters alone")
        train = _export(study, entry, trial, source, folder / place, shown / place, verdict)
        steps += ["  # train the winner", f"  {train}"] if train else []
    if verdict is not None:
        lines.append(f"{str(verdict)[0].upper()}{str(verdict)[1:]}")
    if verdict is not None and verdict.floors:
        lines = [*([verdict.warning] if verdict.warning else []), *lines]
        lines.append(f"floors (same folds): {floors_text(verdict.floors)}")
    return lines, steps, notes


def _read_config(run: Path | None) -> tuple[DictConfig, DictConfig] | None:
    """The config that a run had, and Hydra's; None where they are not here, or damaged."""
    if run is None:
        return None
    try:
        config, hydra = (read_config(run / ".hydra" / f"{name}.yaml") for name in ("config", "hydra"))
    except (OSError, DataError):
        return None
    return (config, hydra.hydra) if "hydra" in hydra else None


def _export(
    study: optuna.Study,
    entry: Entry,
    trial: FrozenTrial,
    source: tuple[DictConfig, DictConfig] | None,
    folder: Path,
    shown: Path,
    verdict: Verdict | None,
) -> str:
    """Write `params.yaml`, and `config.yaml` where the trial's config is there.

    Args:
        trial: The entry's, or the finalist that takes its place.
        source: Its config and Hydra's.
        folder: Where the files go.
        shown: Where they will be.

    Returns:
        The command that trains it; empty where there is none.
    """
    # Other applications start otherwise.
    is_ours = source is not None and OmegaConf.select(source[1], "callbacks.export._target_") == _EXPORT
    train = f"python -m docclf.train --config-dir {shlex.quote(str(shown))} --config-name config" if is_ours else ""
    header = _header(study, entry, trial, verdict, train)
    write_params(folder / "params.yaml", trial, header)
    if source is None:
        return ""
    config, hydra = source
    if not is_ours:
        with replacing(folder / "config.yaml") as partial:
            partial.write_text(header + OmegaConf.to_yaml(config), encoding="utf-8")
        return ""
    config.study_name = study.study_name
    cwd = Path(hydra.runtime.cwd)
    groups = [key for key in hydra.runtime.choices if not key.startswith("hydra/")]
    root = Path(str(OmegaConf.select(config, "data.root")))
    write_config(folder / "config.yaml", config, cwd, list(reversed(groups)), header)
    return train if root.exists() else f"{train} data.root=DIR"


def _header(study: optuna.Study, entry: Entry, trial: FrozenTrial, verdict: Verdict | None, train: str) -> str:
    """Comment lines that say where the config comes from, arguments as of `_export`."""
    origin = entry.origin
    number = f", trial {entry.number}" if entry.number is not None else ", which it does not fit"
    source = {
        "study": f"{study.study_name}{number} of {len(study.get_trials(deepcopy=False))}, merged",
        "from": f"{origin.who}, study {origin.study}, trial {origin.number}, on {origin.host}",
    }
    more = {
        **({"warning": verdict.warning} if verdict and verdict.warning else {}),
        **({"verdict": f"{verdict} (finalists, {verdict.how})"} if verdict else {}),
        **training_lines(trial.user_attrs, verdict.floors if verdict else read_floors(trial.user_attrs.get(FLOORS))),
    }
    return header_of(study, trial, source, more, train)
