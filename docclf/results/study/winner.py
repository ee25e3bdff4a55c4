"""The winner's run, put into `best/`: what it predicted, how it was scored, its folds' models."""

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from docclf.files import link, replacing
from docclf.results.facts import result_of, write_facts
from docclf.results.folders import link_folder, replacing_folder
from docclf.results.quality.shift import read_shift
from docclf.results.study.verdict import ENSEMBLE, Verdict
from docclf.safety.untrusted import inside
from docclf.sweeper.storage.places import FINALISTS

_MODEL = "model"
_VERDICT = "verdict.yaml"


def place_winner(
    folder: Path, verdict: Verdict, keep: str, alike: Collection[int] = (), losers: Iterable[Path] = ()
) -> None:
    """Put the run of the winner beside its exported config, and remove the models that are not to stay.

    Args:
        keep: Whose folds' models stay among the finalists: `winner`, `finalists`, `all` or `none`.
        alike: Numbers of the finalists that were scored as the winner was. A winner among others keeps its model, as
            it wins again where those are asked for again.
        losers: Runs of trials whose models go.
    """
    members = (Path(name).name for name in verdict.ensemble.get("folders", ()))
    needed = {Path(verdict.run).name, str(verdict.exported.number), *members}
    beaten = {str(number) for number in alike} - needed
    for model in (folder / FINALISTS).glob(f"*/{_MODEL}"):
        if keep == "none" or (keep == "winner" and model.parent.name in beaten):
            _remove(model)
    place_run(folder, folder / verdict.run, verdict.to_dict(), losers, with_model=keep != "none")


def is_judged(best: Path) -> bool:
    """Whether finalists have said who is in `best/`."""
    facts = _read(best)
    former = str(facts.get("how", "")).startswith(("re-evaluated", "scored again"))  # of releases without the key
    return facts.get("is_final", former) is True


def must_stay(best: Path, run: Path, keep: str) -> bool:
    """Whether `best/` is to be left to the winner of the finalists, since another run has no model to put there.

    Args:
        run: Of the best trial.
        keep: See `place_winner`.
    """
    return keep != "none" and is_judged(best) and (best / _MODEL).is_dir() and not (run / _MODEL).is_dir()


def place_run(
    folder: Path, run: Path, facts: Mapping[str, Any], losers: Iterable[Path] = (), *, with_model: bool = True
) -> None:
    """Put a run beside its exported config.

    Files are linked where the disk allows it, so a model takes its room once. `verdict.yaml` names them: they go when
    another run takes their place, and what else is in the folder is left alone. Whoever predicts with `best/` meanwhile
    finds a model there at any moment.

    Args:
        facts: For `verdict.yaml`.
        losers: Runs of trials whose models go.
        with_model: Whether a model stays that `best/` alone still has.
    """
    best, found = folder / "best", [path.name for path in run.glob("*") if not path.is_symlink()]
    before = _read(best)
    others = {name: inside(best, name, is_plain=True) for name in before.get("files", []) if name not in found}
    # Of this same run, what its folder has not was removed there, or is on another machine.
    is_same = _exported(before) == _exported(facts)
    kept = [name for name in others if is_same and (name != _MODEL or with_model)]
    for name in found:
        _put(run / name, best)
    write_verdict(best, {**facts, "files": sorted([*found, *kept])})
    for path in (*(path for name, path in others.items() if name not in kept), *(loser / _MODEL for loser in losers)):
        _remove(path)


def _put(source: Path, folder: Path) -> None:
    """Link a file or a folder into another folder, where it takes the place of what has its name."""
    target = folder / source.name
    if target.is_symlink() or target.is_dir() != source.is_dir():
        _remove(target)
    if source.is_dir():
        with replacing_folder(target.absolute()) as partial:
            link_folder(source, partial)
        return
    with replacing(target) as partial:
        link(source, partial)


def write_verdict(best: Path, facts: Mapping[str, Any]) -> None:
    """Write `verdict.yaml` into `best/`, with what is known of the test pages."""
    if found := read_shift(best.parent):
        facts = {**facts, "test_pages": {key: found[key] for key in ("auc", "differences", "answer")}}
    write_facts(best / _VERDICT, facts)


def _exported(facts: Mapping[str, Any]) -> str | None:
    """Folder of the run that is in `best/`, to compare with another one: a file of before names it by its trial."""
    if "run" in facts:
        return str(facts["run"])
    if facts.get("exported") == ENSEMBLE:
        return f"{FINALISTS}/{ENSEMBLE}"
    found = facts.get("winner" if facts.get("exported", "winner") == "winner" else "reference", {}).get("folder")
    return None if found is None else str(found)


def _read(best: Path) -> dict[str, Any]:
    return result_of(best, _VERDICT)  # empty where it is damaged: it is written anew


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
