"""Compare two runs on the same pages.

python -m docclf.compare RUN_A RUN_B     which is better, how sure that is, for which classes, and what differs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from docclf.errors import DocclfError

_DESCRIPTION = """\
Compare two runs by their out-of-fold predictions of the same pages, and by those of the test pages where both have
them: macro-F1, the difference with its interval, gains and losses of each class, and what differs in the configs.
"""
_EXAMPLES = """\
examples:
  python -m docclf.compare multirun/invoices/finalists/0 multirun/invoices   the baseline and the winner of a search
  python -m docclf.compare multirun/invoices multirun/letters                the winners of two searches
  python -m docclf.compare outputs/2026-01-31/09-00-00 multirun/invoices/7   any two runs
  python -m docclf.compare OLD NEW --anyway                                  on other folds, or with pages added since

exit status: 0 after a comparison, 2 if there is none, with the reason
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a comparison.

    Args:
        arguments: Of the command line; None for those of this process.

    Returns:
        Exit status.
    """
    options = _parser().parse_args(arguments)
    from docclf.results.comparison import compare_runs

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may not know the letters of a class
    try:
        text = compare_runs(options.run_a, options.run_b, anyway=options.anyway)
    except (DocclfError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    sys.stdout.write(f"{text}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m docclf.compare",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run = "folder of a run (it holds oof.csv), or of a search for its best run"
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help=run)
    parser.add_argument("run_b", type=Path, metavar="RUN_B", help=f"{run}; this one is scored against the first")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="compare runs on other data or other folds too, on the pages that both have by ID with the same target",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
