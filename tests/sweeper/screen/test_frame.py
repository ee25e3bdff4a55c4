"""What the live display shows, on screens of any size."""

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.cells import cell_len

from docclf.sweeper.screen.forecast import Plan
from docclf.sweeper.screen.frame import compose, render

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
NOW = 1.7e9


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docclf.sweeper.screen.frame.time", SimpleNamespace(time=lambda: NOW))


def runs(number: int, at: str, value: float | None, seconds: float, tries: str) -> FrozenTrial:
    """A trial that runs, with its last report."""
    reports = {} if value is None else {0: value}
    attributes = {"progress": at, "tries": tries}
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=reports, user_attrs=attributes)
    trial.number, trial.datetime_start = number, datetime.fromtimestamp(NOW - seconds)
    return trial


def ended(number: int, value: float, tries: str = "") -> FrozenTrial:
    trial = create_trial(value=value, user_attrs={"tries": tries})
    trial.number = number
    return trial


def view(
    name: str,
    total: int,
    counts: Sequence[int] = (0, 0, 0),
    *,
    running: Sequence[FrozenTrial] = (),
    best: FrozenTrial | None = None,
    scores: Sequence[tuple[TrialState, float | None]] = (),
    direction: StudyDirection = StudyDirection.MAXIMIZE,
    seconds: float = 0.0,
    left: float | None = None,
    n_finalists: int = 0,
) -> Any:
    """What a display knows of a search."""
    complete, pruned, failed = counts
    tally = SimpleNamespace(
        complete=complete, pruned=pruned, failed=failed, running=running, best=[best], scores=scores,
        seconds_left=lambda plan, deadline: left,
    )  # fmt: skip
    return SimpleNamespace(
        study=SimpleNamespace(study_name=name, directions=[direction]), plan=Plan(total, n_finalists=n_finalists),
        tally=tally, noun="trial", labels=["macro-F1"], describe=lambda trial: trial.user_attrs["tries"],
        helpers={}, started=NOW - seconds, deadline=0.0,
    )  # fmt: skip


VIEW = view(
    "invoices",
    20,
    (8, 3, 1),
    running=[
        runs(12, "fold 2/3, epoch 1/3, 41 steps/s", 0.5119, 18.2, "lr=3.4e-03 batch_size=32"),
        runs(13, "begins", None, 3.0, "lr=1e-05 batch_size=16"),
    ],
    best=ended(7, 0.8123, "lr=3.45e-03 batch_size=16"),
    scores=[(COMPLETE, 0.4), (PRUNED, None), (COMPLETE, 0.8), (FAIL, None), (COMPLETE, 0.6)],
    seconds=192.0,
    left=235.0,
    n_finalists=4,
)


def shown(view: Any, columns: int = 80, rows: int = 24) -> list[str]:
    return [line.plain for line in compose(view, columns, rows)]


def test_a_view_on_a_usual_screen() -> None:
    assert shown(VIEW) == [
        "",
        "invoices    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────  12/20",
        "done        8 complete  3 pruned  1 failed",
        "trial 12    fold 2/3, epoch 1/3, 41 steps/s  0.512  0:18  lr=3.4e-03 batch_siz…",
        "trial 13    begins                                  0:03  lr=1e-05 batch_size=…",
        "best        macro-F1 0.812  trial 7  lr=3.45e-03 batch_size=16",
        "scores      ▁·█×▄  0.400 – 0.800",
        "time        3:12  about 4 min left, 4 finalists included",
    ]


def test_a_view_on_a_narrow_screen() -> None:
    assert shown(VIEW, columns=40) == [
        "",
        "invoices ━━━━━━━━━━━━━━─────────  12/20",
        "done     8 complete  3 pruned  1 failed",
        "trial 12 fold 2/3, epoch 1/3, 41 steps…",
        "trial 13 begins                       …",
        "best     macro-F1 0.812  trial 7  lr=3…",
        "scores   ▁·█×▄  0.400 – 0.800",
        "time     3:12  about 4 min left, 4 fin…",
    ]


def test_counts_come_before_the_bar_where_there_is_no_room() -> None:
    assert shown(view("invoices", 20, (3, 0, 0)), columns=16)[1] == "invoic… 3/20"


def test_before_the_first_trial_has_ended() -> None:
    assert shown(view("invoices", 20)) == [
        "",
        "invoices    ─────────────────────────────────────────────────────────────  0/20",
        "done        0 complete  0 pruned  0 failed",
        "best        –",
        "scores      –",
        "time        0:00",
    ]


@pytest.mark.parametrize("columns", [10, 20, 40, 41, 80, 200])
@pytest.mark.parametrize("rows", [3, 5, 8, 10, 24])
def test_it_fits_every_screen(columns: int, rows: int) -> None:
    crowd = [runs(n, "채점 중", 0.5, 3700.0 * n, "lr=1") for n in range(30)]
    full = view("거래명세서", 1000, (500, 300, 100), running=crowd, scores=900 * [(COMPLETE, 0.5)], left=1e6)
    lines = shown(full, columns, rows)
    assert 2 <= len(lines) < rows
    assert all(cell_len(line) < columns for line in lines)


def test_of_many_running_trials_the_rest_is_counted() -> None:
    crowd = [runs(n, "begins", None, 0.0, "") for n in range(30)]
    lines = shown(view("invoices", 100, running=crowd), rows=14)
    assert sum(line.startswith("trial ") for line in lines) == 5
    assert any(line.endswith("and 25 more") for line in lines)


def test_where_no_running_trial_has_room_all_are_counted() -> None:
    crowd = [runs(n, "begins", None, 0.0, "") for n in range(4)]
    assert any(line.endswith("  4 running") for line in shown(view("invoices", 100, running=crowd), rows=9))


def test_what_is_more_than_a_line_is_one() -> None:
    odd = runs(1, "reads\ta", None, 0.0, "note='two\nlines\x1b[2J'")
    lines = shown(view("in\nvoices", 100, running=[odd]))
    assert lines[1].startswith("in voices ") and lines[3] == "trial 1     reads a  0:00  note='two lines [2J'"


@pytest.mark.parametrize(
    ("left", "n", "expected"),
    [(0.2, 0, "0:00  a moment left"), (9.97, 1, "0:00  about 10 s left, 1 finalist included")],
)
def test_what_is_left_is_no_more_exact_than_it_is_known(left: float, n: int, expected: str) -> None:
    assert shown(view("invoices", 20, left=left, n_finalists=n))[-1] == f"time        {expected}"


def test_scores_that_do_not_fit_leave_at_the_left() -> None:
    scores = [(COMPLETE, float(n)) for n in range(100)]
    (line,) = [
        line for line in shown(view("s", 100, (100, 0, 0), scores=scores), columns=42) if line.startswith("scores")
    ]
    assert line == "scores ▁▁▂▂▃▃▃▄▄▅▅▆▆▆▇▇██  0.000 – 99.000"
    assert cell_len(line) == 41


def test_an_infinite_score_is_no_block() -> None:
    scores = [(COMPLETE, float("inf")), (COMPLETE, 0.5)]
    assert "scores      ×▄  0.500" in shown(view("s", 3, (2, 0, 0), scores=scores))


def test_the_best_block_is_the_highest_or_the_lowest() -> None:
    for direction, at in ((StudyDirection.MAXIMIZE, 1), (StudyDirection.MINIMIZE, 0)):
        both = view("s", 2, (2, 0, 0), scores=[(COMPLETE, 0.1), (COMPLETE, 0.2)], direction=direction)
        (line,) = [line for line in compose(both, 80, 24) if line.plain.startswith("scores")]
        (green,) = [span for span in line.spans if span.style == "bold green"]
        assert green.start == len("scores      ") + at


def test_colours_are_those_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with_colours = "".join(line.text for line in render(compose(VIEW, 80, 24)))
    monkeypatch.setenv("NO_COLOR", "1")
    without = "".join(line.text for line in render(compose(VIEW, 80, 24)))
    assert "\x1b[32m" in with_colours and "32m" not in without


def test_a_small_score_has_digits() -> None:
    running = [runs(3, "fold 1/3", 0.00041, 1.0, "")]
    scores = [(COMPLETE, 0.0003), (COMPLETE, 0.0005)]
    text = "\n".join(shown(view("s", 5, (2, 0, 0), running=running, scores=scores, best=ended(1, 0.0003))))
    assert "fold 1/3  0.00041" in text and "macro-F1 0.0003  trial 1" in text and "0.0003 – 0.0005" in text
