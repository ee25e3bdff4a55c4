"""Review the training labels of a run that look wrong, in a page of this machine.

python -m docclf.labels RUN     opens the page; decisions go to RUN/corrections.csv, which data.corrections reads
"""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from docclf.cli.console import make_parser, run
from docclf.errors import ConfigError, DataError
from docclf.safety.permission import allow_options
from docclf.safety.untrusted import inside

if TYPE_CHECKING:
    from docclf.results.reading import Run

_AFTER = "outputs/corrected"
_RELATIVE = ("data.exclude", "model.checkpoint_path")
_DESCRIPTION = """\
Open a page with the labels of a run that look wrong: keep, relabel or drop each, by keyboard. Every
decision is written at once to a CSV file with the columns ID, old, new, who and when, which
data.corrections reads. The command again goes on with the same file. It ends by Ctrl-C.
"""
_EXAMPLES = """\
examples:
  python -m docclf.labels multirun/invoices                  the winner of a search
  python -m docclf.labels multirun/invoices --no-browser     prints the address alone
  python -m docclf.labels multirun/invoices --who kim        the name that goes into the file
  python -m docclf.labels RUN --file corrections.csv         another file, or one to go on with
  python -m docclf.labels RUN --root DIR --who ann           the pages were moved; decided by ann

exit status: 0 after a review, 2 if there is nothing to review, with the reason
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, see `docclf.cli.console.run`."""
    return run(_parser(), _review, arguments)


def _review(options: argparse.Namespace) -> str:
    from docclf.data.formats import quiet_decoders
    from docclf.results.quality.labels import suspects_of
    from docclf.results.reading import read_run
    from docclf.review.decisions import Decisions, beside
    from docclf.review.server import ReviewServer

    found = read_run(options.run)
    suspects = suspects_of(found)
    if not suspects:
        return f"No label of {found.folder} looks wrong."
    file = _file(options, found)
    root = _root(options, found)
    decisions = Decisions(file, options.who or _user())
    decisions.read()  # what is wrong with it is said before the page is open
    steps = next_steps(found, root, file)
    try:
        server = ReviewServer(beside(suspects), found.classes, decisions, root, next_steps=steps, port=options.port)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"Expected a free port in --port, got {options.port}: {str(error).rstrip('.')}. "
            "Leave --port out for any that is free."
        ) from error
    with server, quiet_decoders():
        sys.stdout.write(f"{len(suspects)} labels to review: {server.address}\nCtrl-C ends.\n")
        sys.stdout.flush()
        if options.browser and _has_display():
            with suppress(webbrowser.Error):
                webbrowser.open(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    if not (n := len(decisions.read())):
        return "\nNo label was decided on, and nothing was written."
    return "\n".join(["", f"{n} decision{'s' if n > 1 else ''} in {file}", *steps])


def _root(options: argparse.Namespace, found: Run) -> Path:
    """Folder of the pages."""
    from docclf.results.report.predictions import pages_root

    root: Path | None = options.root or pages_root(found)
    if root is None or not root.is_dir():
        raise DataError(
            f"Expected the pages of {found.folder} at {root or found.resolved.get('data.root')}, got no folder. "
            f"Say where they are: python -m docclf.labels {shlex.quote(str(options.run))} --root DIR"
        )
    return root


def _file(options: argparse.Namespace, found: Run) -> Path:
    """Where decisions go. Those that the run was trained with stand in another file, which is to grow."""
    from docclf.results.report.predictions import path_of

    file: Path = options.file or inside(options.run, "corrections.csv")
    if file.is_dir():
        place = shlex.quote(str(file / "corrections.csv"))
        raise ConfigError(f"Expected the name of a file in --file, got the folder {file}. Say --file {place}")
    if options.file is None and found.data.get("corrections") and not file.exists():
        used = str(path_of(found, "data.corrections") or "FILE")
        raise ConfigError(
            f"Expected the file of corrections that {found.folder} was trained with, so that it grows, got none. "
            f"Say python -m docclf.labels {shlex.quote(str(options.run))} --file {shlex.quote(used)}"
        )
    return file.absolute()


def next_steps(found: Run, root: Path, file: Path) -> list[str]:
    """Commands that train with the corrections on the same folds, and show their effect.

    Args:
        found: The run whose labels were reviewed.
        root: Folder of its pages.
        file: The corrections.
    """
    from docclf.results.report.predictions import path_of
    from docclf.sweeper.space.grammar import typed

    folder = found.folder.absolute()
    config = folder if (folder / "config.yaml").is_file() else folder / ".hydra"
    paths = {"data.root": root.absolute(), "data.corrections": file, "validation.split_file": folder / "folds.csv"}
    for key in _RELATIVE:  # to the folder that the run was started in
        path = path_of(found, key)
        if path is not None and path.exists() and path != Path(found.resolved[key]).resolve():
            paths[key] = path
    train = f"python -m docclf.train --config-dir {shlex.quote(str(config))} --config-name config"
    command = [f"{train}{allow_options()}"]
    command += [typed(key, str(path)) for key, path in paths.items()]
    command += [f"validation.folds={found.n_folds}", f"hydra.run.dir={_AFTER}"]
    return [" ".join(command), shlex.join(["python", "-m", "docclf.compare", str(folder), _AFTER])]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody, as in some containers
        return ""


def _has_display() -> bool:
    """Whether a browser would have a screen; one for terminals would take this one."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("labels", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run (it holds oof.csv), or of a search")
    parser.add_argument("--file", type=Path, metavar="FILE", help="of decisions; without it, RUN/corrections.csv")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the pages, where it is not that of the run")
    parser.add_argument("--who", metavar="NAME", help="decides; without it, the name of the user")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="of the page; without it, any that is free")
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="print the address alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
