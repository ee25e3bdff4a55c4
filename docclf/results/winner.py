"""The winner's run, put into `best/`: what it predicted, how it was scored, its folds' models."""

import os
import shutil
from pathlib import Path

import yaml

from docclf.results.files import replacing
from docclf.results.verdict import Verdict
from docclf.sweeper.storage import FINALISTS

_MODEL = "model"


def export_run(folder: Path, verdict: Verdict, keep: str) -> None:
    """Put the run of the winner beside its exported config, and remove the models that are not to stay.

    Files are linked where the disk allows it, so a model takes its room once.

    Args:
        folder: The search's folder.
        verdict: Says who won.
        keep: Whose folds' models stay: `winner`, `finalists`, `all` or `none`.
    """
    best, winner = folder / "best", folder / FINALISTS / str(verdict.winner.number)
    with replacing(best / "verdict.yaml") as partial:
        partial.write_text(yaml.safe_dump(verdict.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")
    for old in [path for path in best.iterdir() if path.name not in ("config.yaml", "params.yaml", "verdict.yaml")]:
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink()
    for path in winner.iterdir():
        if path.is_dir():
            shutil.copytree(path, best / path.name, copy_function=_link)
        else:
            _link(path, best / path.name)
    if keep in ("winner", "none"):
        for model in (folder / FINALISTS).glob(f"*/{_MODEL}"):
            if keep == "none" or model.parent != winner:
                shutil.rmtree(model)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # not on this disk
        shutil.copy2(source, target)
