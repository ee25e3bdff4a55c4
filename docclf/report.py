"""One page about a search, that opens in any browser without a network.

python -m docclf.report multirun/NAME     writes multirun/NAME/report.html, and index.html into each trial's folder
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from docclf.cli.console import make_parser, run
from docclf.errors import ConfigError, DocclfError
from docclf.files import free_name
from docclf.safety.untrusted import reading
from docclf.sweeper.storage.hiding import hide_password

if TYPE_CHECKING:
    from omegaconf import DictConfig

_DESCRIPTION = """\
Write report.html: what a search came to, how it went, which parameters matter, what the winner gets
wrong, and all trials in a table. Also for a search that is still running, and for any other Optuna
study.
"""
_EXAMPLES = """\
examples:
  python -m docclf.report multirun/invoices                       multirun/invoices/report.html
  python -m docclf.report multirun/invoices --pages DIR           with pictures of the pages in DIR
  python -m docclf.report multirun/invoices --output /tmp/a.html  another file
  python -m docclf.report sqlite:///study.db#invoices             report.html here, of any study
  python -m docclf.report postgresql://me@host/studies#invoices   the same from a server

exit status: 0 after a report, 2 if there is no study, with the reason
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, see `docclf.cli.console.run`."""
    return run(_parser(), _report, arguments)


def _report(options: argparse.Namespace) -> Path:
    import optuna

    from docclf.results.report.page import NAME, write_report
    from docclf.results.study.studies import open_study

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if options.pages is not None and not options.pages.is_dir():
        raise ConfigError(
            f"Expected the folder of the pages in --pages, got {options.pages}: no such folder. "
            "Leave --pages out for a report without pictures."
        )
    with reading("a study", hide_password(options.study)):
        study, folder, config = open_study(options.study)
        _spare(options.output or (folder or Path()) / NAME)
        return write_report(
            study,
            folder,
            objectives=_objectives(config) if config is not None else None,
            pages=options.pages,
            output=options.output,
        )


def _spare(output: Path) -> None:
    """Refuse to write over what is no report of before, or where nothing can be written."""
    if not os.access(folder := output.absolute().parent, os.W_OK):
        raise ConfigError(
            f"Expected a folder for the report that can be written to, got {folder}. Say --output report.html"
        )
    if output.is_dir():
        other, got = output / "report.html", "a folder"
    elif output.exists() and not (output.is_file() and b"<footer>Written by docclf" in output.read_bytes()):
        other, got = free_name(output.with_suffix(".html")), "another file"
    else:
        return
    raise ConfigError(
        f"Expected a new file or an earlier report in --output, got {output}, which is {got}. "
        f"Say --output {shlex.quote(str(other))}"
    )


def _objectives(config: DictConfig) -> list[str] | None:
    """What each objective of a sweep is called."""
    from omegaconf.errors import OmegaConfBaseException

    from docclf.sweeper.run.opening.settings import label, read_objectives

    try:
        sweeper = config.hydra.sweeper
        return label(read_objectives(sweeper.metric, sweeper.direction)[0], sweeper.get("labels"))
    except (OmegaConfBaseException, DocclfError):  # another sweeper's
        return None


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("report", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "study", metavar="STUDY", help="folder of a search, or storage URL, with #NAME where it holds several studies"
    )
    parser.add_argument(
        "--pages", type=Path, metavar="DIR", help="folder of the pages (data.root), to show some of them"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="another file than report.html in the folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
