"""merge.yaml: what was merged into a folder, by which an earlier merge is known and may be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from docclf.errors import ConfigError
from docclf.results.facts import write_facts
from docclf.results.provenance import git_commit, versions
from docclf.results.team.entries import MERGED_FROM
from docclf.results.team.sources import Source, read_source, split_source

_RECORD = "merge.yaml"


def write_record(folder: Path, sources: Sequence[Source], notes: Sequence[str], *, by_rescored: bool) -> None:
    """Write what was merged, when and with what.

    Args:
        notes: What is worth knowing, a sentence each.
        by_rescored: Whether the best is the best of those that were re-evaluated.
    """
    facts = {
        "studies": [
            {"who": source.who, "source": source.text, "study": source.name, "trials": len(source.trials)}
            for source in sources
        ],
        "best_by": "rescored" if by_rescored else "score",
        "notes": list(notes),
        "written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}",
        "versions": versions(),
        "commit": git_commit(),
    }
    write_facts(folder / _RECORD, facts)


def require_free(out: Path, given: Sequence[str], *, replace: bool) -> None:
    """See that a merge may be written to a folder.

    Args:
        replace: Whether it may replace an earlier merge: one that nobody searched on from, or that is merged again.

    Raises:
        ConfigError: It may not.
    """
    if not out.name or "${" in str(out):
        raise ConfigError(f"Expected the path of a new folder without ${{ in --out, got {out}. Say --out team.")
    if not out.exists():
        return
    is_merge = (out / _RECORD).is_file()
    if not replace:
        way_out = " or add --replace, since it is an earlier merge" if is_merge else ""
        raise ConfigError(f"Expected a new folder to merge into, got {out}, which exists. Give another --out{way_out}.")
    if not is_merge:
        raise ConfigError(f"Expected an earlier merge to replace, got {out}, which is none. Give another --out.")
    known = read_source(str(out))
    own = [trial for trial in (*known.trials, *known.finalists) if MERGED_FROM not in trial.user_attrs]
    again = any(Path(split_source(text)[1]).resolve() == out.resolve() for text in given)
    if (own or known.left_out) and not again:
        raise ConfigError(
            f"Expected an earlier merge to replace, got {out}, which was searched on from since. Give another --out, "
            f"and merge it too, as one of the studies."
        )
