"""Several studies made one: its folder, as a search leaves it, with a leaderboard and the best as the team's config."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from docclf.errors import ConfigError
from docclf.files import link
from docclf.results.folders import link_folder, replacing_folder
from docclf.results.study.files import write_trials
from docclf.results.study.judging import judge_finalists
from docclf.results.study.verdict import Verdict
from docclf.results.study.winner import place_winner
from docclf.results.team import leaderboard
from docclf.results.team.agreement import reference, refuse_others
from docclf.results.team.entries import MERGED_FROM, Entry, Joined
from docclf.results.team.joining import join
from docclf.results.team.record import require_free, write_record
from docclf.results.team.sources import RECORDS, read_source
from docclf.results.team.team_config import export_team_best
from docclf.safety.sqlite import Connection
from docclf.sweeper.space.grammar import to_text, typed
from docclf.sweeper.storage.places import ARTIFACTS, FINALISTS, sqlite_url
from docclf.sweeper.study.attributes import CURRENT, DUPLICATE_OF, FINALIST, REFERENCE
from docclf.sweeper.study.finalists import open_finalists, source_number
from docclf.sweeper.study.trials import front, is_allowed


def merge_studies(given: Sequence[str], out: Path, *, anyway: bool = False, replace: bool = False) -> str:
    """Merge studies into a new folder.

    The folder appears whole or not at all. What is merged stays as it is; files of trials are linked where the disk
    allows it.

    Args:
        given: The studies, see `docclf.results.team.sources.read_source`.
        out: The new folder; its name is that of the merged study.
        anyway: Merge studies that do not belong together, too.
        replace: Replace an earlier merge.

    Returns:
        Lines for the screen: the studies, the leaderboard, the best and what to do next.

    Raises:
        ConfigError: A study cannot be read or has no finished trial, or `out` is taken.
        SpaceError: The studies do not belong together.
        OSError: The folder cannot be written.
    """
    if len(given) < 2:
        raise ConfigError(f"Expected at least two studies to merge, got {len(given)}.")
    out = out.absolute()
    require_free(out, given, replace=replace)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sources = [read_source(text) for text in given]
    if empty := [source.label for source in sources if not source.trials]:
        raise ConfigError(f"Expected studies with finished trials, got none in {', '.join(empty)}. Leave it out.")
    refuse_others(sources, anyway=anyway)
    joined = join(sources)
    with replacing_folder(out) as partial:
        return _Merge(joined, partial, out).run()


class _Merge:
    """One merge under way.

    Args:
        partial: The folder to fill.
        out: What it will be called.
    """

    def __init__(self, joined: Joined, partial: Path, out: Path) -> None:
        self.joined, self.partial, self.out = joined, partial, out
        self.first = reference(joined.sources)
        self.objectives = list(self.first.records.get("objective", {})) or ["value"]
        self.by_rescored = len(self.first.directions) == 1 and joined.rescoring() is not None

    def run(self) -> str:
        """Write the merged study and all that belongs to it; what to tell of it."""
        storage = _new_storage(self.partial / "study.db")
        study = self._write_study(storage)
        notes = [*self.joined.notes, *self._link_trials()]
        finalists = self._write_finalists(study)
        self._link_artifacts()
        verdict = judge_finalists(study, self.partial) if self.by_rescored else None
        write_trials(self.partial / "trials.csv", study.get_trials(deepcopy=False), self.objectives, finalists)
        rows = self._rows()
        hours = {key: leaderboard.hours(trials) for key, trials in self.joined.by_study.items()}
        board = (rows, self.objectives, hours)
        leaderboard.write_leaderboard(self.partial / "leaderboard.csv", *board)
        config = self._write_config(n := len(study.get_trials(deepcopy=False)))
        of_best, steps, lost = self._export(study, rows, verdict)
        notes += lost
        write_record(self.partial, self.joined.sources, notes, by_rescored=self.by_rescored)
        storage.engine.dispose()
        noted = [f"{note}." for note in notes]
        counts = [leaderboard.show_counts(*key, trials) for key, trials in self.joined.by_study.items()]
        shown = leaderboard.show_leaderboard(*board)
        lines = [*counts, *noted, "", *shown, "", f"{n} trials in {self.out}, study {self.out.name}", *of_best]
        steps += self._go_on(config)
        return "\n".join([*lines, *(["What next:", *steps] if steps else [])])

    def _write_study(self, storage: RDBStorage) -> optuna.Study:
        study = optuna.create_study(study_name=self.out.name, storage=storage, directions=self.first.directions)
        for key in RECORDS:
            if key in self.first.records:  # as `require_same` keeps it, to go on with
                study.set_user_attr(key, json.dumps(self.first.records[key], sort_keys=True))
        study.set_user_attr(MERGED_FROM, [source.text for source in self.joined.sources])
        study.add_trials(self.joined.copies())
        return study

    def _link_trials(self) -> list[str]:
        """Link the folders of trials; a note for each study where some are not here."""
        missing: dict[str, int] = {}
        for entry in self.joined.entries:
            if entry.number is None or DUPLICATE_OF in entry.trial.user_attrs:
                continue
            source = entry.source.folder and entry.source.folder / str(entry.trial.number)
            if source is not None and source.is_dir():
                link_folder(source, self.partial / str(entry.number))
            else:
                missing[entry.source.label] = missing.get(entry.source.label, 0) + 1
        return [f"{label}: the folders of {n} trials are not there, and so not here" for label, n in missing.items()]

    def _write_finalists(self, study: optuna.Study) -> list[FrozenTrial]:
        """Copy the finalists; those that do not decide which is the best count no more until they are scored again."""
        found = self.joined.finalists() if len(study.directions) == 1 else []
        if not found:
            return []
        finalists = open_finalists(study, race=True)
        for number, (copy, original, source) in enumerate(found):
            finalists.add_trial(copy)
            folder = source.folder and source.folder / FINALISTS / str(original.number)
            if folder is not None and folder.is_dir():
                link_folder(folder, self.partial / FINALISTS / str(number))
        if self.by_rescored:
            finalists.set_user_attr(CURRENT, [copy.user_attrs[FINALIST] for copy, _, _ in found])
        return [copy for copy, _, _ in found]

    def _link_artifacts(self) -> None:
        """Link what the studies keep for optuna-dashboard; the copies of trials name it as before."""
        (self.partial / ARTIFACTS).mkdir()
        for folder in (source.folder for source in self.joined.sources if source.folder is not None):
            for path in (folder / ARTIFACTS).glob("*"):
                is_known = (target := self.partial / ARTIFACTS / path.name).exists()
                if path.is_file() and not path.is_symlink() and not is_known:  # as it does after a merge of merges
                    link(path, target)

    def _rows(self) -> list[Entry]:
        """The leaderboard: what was scored and keeps to the constraints."""
        directions = self.first.directions
        kept = {id(trial) for source in self.joined.sources for trial in source.trials if is_allowed(trial)}
        scored_again = ((s, f) for s in self.joined.sources for f in s.finalists if REFERENCE not in f.user_attrs)
        again = {(id(source), source_number(f)): f for source, f in scored_again}
        rows = [
            changed(entry, rescored=again.get((id(entry.source), entry.trial.number)))
            for entry in self.joined.entries
            if id(entry.trial) in kept and DUPLICATE_OF not in entry.trial.user_attrs
        ]
        if len(directions) > 1:
            best = front([row.trial for row in rows if row.is_comparable], directions)
            ids = {id(trial) for trial in best}
            rows = [changed(row, is_on_front=id(row.trial) in ids) for row in rows]
        return leaderboard.ranked(rows, directions, by_rescored=self.by_rescored)

    def _export(
        self, study: optuna.Study, rows: Sequence[Entry], verdict: Verdict | None
    ) -> tuple[list[str], list[str], list[str]]:
        if verdict is not None:
            chosen = [entry for entry in self.joined.entries if entry.number == verdict.number]
        elif len(study.directions) > 1:
            chosen = [row for row in rows if row.is_on_front]
        else:
            chosen = [row for row in rows if row.is_comparable][:1]
        best = export_team_best(study, chosen, self.partial / "best", self.out / "best", verdict)
        if verdict is not None:
            place_winner(self.partial, verdict, "all")
        return best

    def _write_config(self, n: int) -> DictConfig | None:
        """`multirun.yaml`, by which a search's folder is known, as if the first study had been searched here.

        Args:
            n: Trials of the merged study, beyond which it is searched as long as the first one was.
        """
        if self.first.config is None:
            return None
        config = self.first.config.copy()
        OmegaConf.set_struct(config, False)
        places: dict[str, Any] = {"hydra.sweeper.storage": None, "hydra.sweeper.study_name": self.out.name}
        places |= {"hydra.sweep.dir": str(self.out), "hydra.runtime.cwd": str(Path.cwd())}
        places |= {"study_name": self.out.name} if "study_name" in config else {}
        if "study_name" in config and OmegaConf.select(config, "search") is not None:
            total = None if config.search.n_trials is None else n + int(config.search.n_trials)
            places |= {"search.storage": None, "hydra.sweeper.n_trials": total}
        for key, value in places.items():
            OmegaConf.update(config, key, value)
        OmegaConf.save(config, self.partial / "multirun.yaml")
        return config

    def _go_on(self, config: DictConfig | None) -> list[str]:
        """How one searches on: as the first study was searched, under the new name."""
        if config is None or "study_name" not in config or "search" not in config:
            return []
        here = [] if self.out.parent == Path.cwd() / "multirun" else [typed("hydra.sweep.dir", str(self.out))]
        given = [typed("study_name", self.out.name), *here, f"search.n_trials={to_text(config.hydra.sweeper.n_trials)}"]
        return [f"  # search on from here: give the command of {self.first.label} once more, with {' '.join(given)}"]


def _new_storage(path: Path) -> RDBStorage:
    """SQLite that does not wait for the disk: the file is of no use before it is whole."""
    from sqlalchemy import event

    storage = RDBStorage(sqlite_url(path), engine_kwargs={"connect_args": {"factory": Connection}})
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    storage.engine.dispose()  # connections opened before
    return storage
