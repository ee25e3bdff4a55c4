"""Merge a team's studies into one, with a leaderboard and the best as the team's config.

python -m docclf.merge A B --out NAME     multirun/NAME: one study that can be searched on, leaderboard.csv, best/
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from docclf.cli.console import make_parser, run
from docclf.errors import ConfigError
from docclf.safety.untrusted import reading
from docclf.sweeper.storage.hiding import hide_password

_DESCRIPTION = """\
Merge searches of several people or machines into one study: all finished trials, each with where it
comes from, a leaderboard, and the best as the team's config. Nothing that is merged is changed.
Refused where data, folds, validation, objective, space or config differ.
"""
_EXAMPLES = """\
examples:
  python -m docclf.merge multirun/a multirun/b --out team              two searches of this machine
  python -m docclf.merge ann=/share/ann bob=/share/bob --out team      of others, with their names
  python -m docclf.merge multirun/a sqlite:///b.db#search --out team   a study by its storage
  python -m docclf.merge multirun/a multirun/b --out team --replace    again, with more trials
  python -m docclf.merge multirun/a multirun/b --out team --anyway     other data too, marked so

Each member sets another search.seed=N, or all try the same parameters.
A folder that is sent to others holds all that is needed: multirun/NAME, with study.db and the
folders of the trials. The merged study is searched on as any other:
python -m docclf.train -m hparams_search=optuna study_name=team ...

exit status: 0 after a merge, 2 if there is none, with the reason
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, see `docclf.cli.console.run`."""
    return run(_parser(), _merge, arguments)


def _merge(options: argparse.Namespace) -> str:
    from docclf.results.team.merge import merge_studies

    is_path = any(separator in options.out for separator in {"/", os.sep})
    if options.out in ("", ".", ".."):
        raise ConfigError(f"Expected the name of a new folder in --out, got '{options.out}'. Say --out team.")
    out = Path(options.out) if is_path else Path("multirun", options.out)
    with reading("studies of searches", " and ".join(map(hide_password, options.studies))):
        return merge_studies(options.studies, out, anyway=options.anyway, replace=options.replace)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("merge", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "studies",
        nargs="+",
        metavar="[WHO=]STUDY",
        help="folder of a search, study.db, or Optuna storage URL with #NAME; WHO names its owner on the leaderboard. "
        "The space and the config of the first go on",
    )
    parser.add_argument("--out", required=True, metavar="NAME", help="new folder multirun/NAME, or any other path")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="merge studies that differ in data, folds, validation, objective, space or config, or of another program",
    )
    parser.add_argument("--replace", action="store_true", help="replace an earlier merge, unless it was searched on")
    return parser


if __name__ == "__main__":
    sys.exit(main())
