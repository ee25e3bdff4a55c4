"""The winner's run, put into `best/`: what it predicted, how it was scored, its folds' models."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from docclf.results.files import link, replacing
from docclf.results.folders import link_folder
from docclf.results.verdict import Verdict
from docclf.sweeper.storage import FINALISTS
from docclf.untrusted import inside, read_yaml

_MODEL = "model"
_VERDICT = "verdict.yaml"


def export_run(folder: Path, verdict: Verdict, keep: str) -> None:
    """Put the run of the winner beside its exported config, and remove the models that are not to stay.

    Files are linked where the disk allows it, so a model takes its room once. `verdict.yaml` names them: they go when
    another one wins, and what else is in the folder is left alone.

    Args:
        folder: The search's folder.
        verdict: Says who won, and whether a floor takes the winner's place.
        keep: Whose folds' models stay: `winner`, `finalists`, `all` or `none`.
    """
    best, winner = folder / "best", folder / FINALISTS / str(verdict.exported.number)
    for model in (folder / FINALISTS).glob(f"*/{_MODEL}"):
        if keep == "none" or (keep == "winner" and model.parent != winner):
            _remove(model)
    facts, former = verdict.to_dict(), _read(best)
    found = [path.name for path in winner.glob("*") if not path.is_symlink()]
    # What is only here: the winner's run was moved, or is on another machine.
    kept = [name for name in former.get("files", []) if name not in found and (name, keep) != (_MODEL, "none")]
    if _exported(former) != _exported(facts):
        kept = []
    remove_run(best, but=kept)
    write_verdict(best, {**facts, "files": sorted([*found, *kept])})
    for path in (path for path in winner.glob("*") if path.name in found):
        _remove(best / path.name)
        if path.is_dir():
            link_folder(path, best / path.name)
        else:
            link(path, best / path.name)


def write_verdict(best: Path, facts: Mapping[str, Any]) -> None:
    """Write `verdict.yaml` into `best/`."""
    with replacing(best / _VERDICT) as partial:
        partial.write_text(yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True), encoding="utf-8")


def _exported(facts: Mapping[str, Any]) -> str | None:
    """Folder of the run that is in `best/`."""
    found = facts.get("winner" if facts.get("exported", "winner") == "winner" else "reference", {}).get("folder")
    return None if found is None else str(found)


def remove_run(best: Path, but: list[str] | None = None) -> None:
    """Remove the run of a former winner and its verdict from `best/`.

    Args:
        best: The folder.
        but: Names of files that stay.
    """
    for name in _read(best).get("files", []):
        if name not in (but or []):
            _remove(inside(best, name, is_plain=True))
    (best / _VERDICT).unlink(missing_ok=True)


def _read(best: Path) -> dict[str, Any]:
    path = best / _VERDICT
    found = read_yaml(path) if path.is_file() else None
    return found if isinstance(found, dict) else {}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
