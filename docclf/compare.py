"""Compare two runs on the same pages.

python -m docclf.compare RUN_A RUN_B     which is better, how sure that is, for which classes, and what differs
python -m docclf.compare SEARCH          the same of its baseline and its winner
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from docclf.cli.console import make_parser, run
from docclf.safety.untrusted import reading

_DESCRIPTION = """\
Compare two runs by their out-of-fold predictions of the same pages, and by those of the test pages
where both have them: macro-F1, the difference with its interval, gains and losses of each class,
and what differs in the configs.
"""
_EXAMPLES = """\
examples:
  python -m docclf.compare multirun/a                                baseline and winner of a search
  python -m docclf.compare multirun/a multirun/b                     the winners of two searches
  python -m docclf.compare outputs/2026-01-31/09-00-00 multirun/a/7  any two runs
  python -m docclf.compare OLD NEW --anyway                          on other folds or other pages

exit status: 0 after a comparison, 2 if there is none, with the reason
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, see `docclf.cli.console.run`."""
    return run(_parser(), _compare, arguments)


def _compare(options: argparse.Namespace) -> str:
    from docclf.results.quality.comparison import compare_runs
    from docclf.results.reading import baseline_run

    with reading("runs", " and ".join(str(path) for path in (options.run_a, options.run_b) if path)):
        first = options.run_a if options.run_b else baseline_run(options.run_a)
        if first is None:
            search = shlex.quote(str(options.run_a))
            return (
                f"The winner of {options.run_a} is its baseline: there is nothing to compare. Two of its trials are "
                f"compared by python -m docclf.compare {search}/0 {search}/1"
            )
        return compare_runs(first, options.run_b or options.run_a, anyway=options.anyway)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("compare", _DESCRIPTION, _EXAMPLES)
    what = "folder of a run (it holds oof.csv), or of a search for its best run"
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help=what)
    second = f"{what}; this one is scored against the first. Without it, RUN_A is a search: of its baseline and winner"
    parser.add_argument("run_b", type=Path, metavar="RUN_B", nargs="?", help=second)
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="compare runs on other data or other folds too, on the pages that both have by ID with the same target",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
