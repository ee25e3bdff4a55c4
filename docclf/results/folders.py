"""Folders that appear whole or not at all."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from docclf.files import link
from docclf.sweeper.study.process import is_here, is_of_an_earlier_boot, runs_here, this_process


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out`, an absolute path, that takes its place when the block ends well.

    Before, what dead processes of this machine left of theirs is put away. Processes of other machines and containers
    are let be.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    _tidy(out)
    partial = out.with_name(f".{out.name}.partial-{this_process()}")
    partial.mkdir()
    try:
        yield partial
        _put(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def link_folder(source: Path, target: Path) -> None:
    """Copy a folder without its symbolic links; its files are linked where the disk allows it."""
    shutil.copytree(source, target, copy_function=link, ignore=symbolic_links, dirs_exist_ok=True)


def symbolic_links(folder: str, names: Iterable[str]) -> set[str]:
    """What `shutil.copytree` is to leave out: it would follow links to whatever they lead to."""
    return {name for name in names if Path(folder, name).is_symlink()}


def _tidy(out: Path) -> None:
    for kind in ("partial", "replaced"):
        start = f".{out.name}.{kind}-"
        for path in [path for path in out.parent.iterdir() if path.name.startswith(start)]:
            owner = path.name.removeprefix(start)
            if not (is_of_an_earlier_boot(owner) or (is_here(owner) and not runs_here(owner))):
                continue
            if kind == "replaced" and not out.exists():
                path.rename(out)  # its process died between the two renames
            else:
                shutil.rmtree(path)


def _put(partial: Path, out: Path) -> None:
    if not out.exists():
        partial.rename(out)
        return
    before = out.with_name(f".{out.name}.replaced-{this_process()}")
    out.rename(before)
    try:
        partial.rename(out)
    except OSError:
        before.rename(out)
        raise
    shutil.rmtree(before)
