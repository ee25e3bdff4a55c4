"""A search of pages on a terminal."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from terminals import OnTerminal
from tiny import SEARCH


@pytest.mark.slow
@pytest.mark.parametrize("helpers", [0, 1])
def test_a_search_by_two_workers_shows_what_each_of_them_trains(search: Any, pages_root: Path, helpers: int) -> None:
    tiny = (
        *SEARCH, f"data.root='{pages_root}'", "data.image_size=64", "data.batch_size=4", "validation.epochs=60",
        "finalists.top_k=1", "search.n_trials=2", "search.workers=2", "study_name='영수증'",
        f"hydra.sweeper.helpers={helpers}",
    )  # fmt: skip
    command = [sys.executable, "-W", "error", "-m", "docclf.train", "-m", "hparams_search=optuna", *tiny]
    seen = OnTerminal(command, search.cwd, columns=100, rows=20)
    lines = seen.end(seconds=400)
    at = r"fold \d/2, epoch \d+/60, [\d.]+ steps/s" + r" \+1 worker" * helpers
    frames = [frame for frame in seen.frames if sum(re.search(at, line) is not None for line in frame) == 2 - helpers]
    assert frames, "a line for each worker, or one that says that both are at it"
    shown = rf"trial \d +{at} +[01]\.\d{{3}}  \d:\d\d  (\w+=\w+ )?lr="
    assert any(re.match(shown, line) for frame in frames for line in frame)
    assert seen.saw("best        macro-F1 ", "trial ") and seen.saw("영수증-finalists ━", "finalist 1  ")
    assert (
        sum(re.fullmatch(r"  \d: fold \d/2  macro-F1 .* s(, by another worker)?", line) is not None for line in lines)
        >= 4
    )
    assert not any("steps/s" in line or "━" in line for line in lines), "gone at the end"
