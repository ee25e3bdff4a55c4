"""What the live display shows, on screens of any size."""

import pytest
from rich.cells import cell_len

from docclf.sweeper.screen.frame import Running, ScreenState, compose, render

RUNNING = Running("trial 12", "fold 2/3, epoch 1/3, 41 steps/s", 0.5119, 18.2, "lr=3.4e-03 batch_size=32")
OTHER = Running("trial 13", "begins", None, 3.0, "lr=1e-05 batch_size=16")
VIEW = ScreenState(
    name="invoices",
    total=20,
    complete=8,
    pruned=3,
    failed=1,
    running=[RUNNING, OTHER],
    best=[("macro-F1", 0.8123, "trial 7")],
    params="lr=3.45e-03 batch_size=16",
    scores=[("COMPLETE", 0.4), ("PRUNED", None), ("COMPLETE", 0.8), ("FAIL", None), ("COMPLETE", 0.6)],
    seconds=192.0,
    left=235.0,
    n_finalists=4,
)


def shown(view: ScreenState, columns: int = 80, rows: int = 24) -> list[str]:
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
    assert shown(ScreenState("invoices", 20, complete=3), columns=16)[1] == "invoic… 3/20"


def test_before_the_first_trial_has_ended() -> None:
    assert shown(ScreenState("invoices", 20)) == [
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
    crowd = [Running(f"trial {n}", "채점 중", 0.5, 3700.0 * n, "lr=1") for n in range(30)]
    view = ScreenState("거래명세서", 1000, 500, 300, 100, running=crowd, scores=900 * [("COMPLETE", 0.5)], left=1e6)
    lines = shown(view, columns, rows)
    assert 2 <= len(lines) < rows
    assert all(cell_len(line) < columns for line in lines)


def test_of_many_running_trials_the_rest_is_counted() -> None:
    crowd = [Running(f"trial {n}", "begins", None, 0.0, "") for n in range(30)]
    lines = shown(ScreenState("invoices", 100, running=crowd), rows=14)
    assert sum(line.startswith("trial ") for line in lines) == 5
    assert any(line.endswith("and 25 more") for line in lines)


def test_where_no_running_trial_has_room_all_are_counted() -> None:
    crowd = [Running(f"trial {n}", "begins", None, 0.0, "") for n in range(4)]
    assert any(line.endswith("  4 running") for line in shown(ScreenState("invoices", 100, running=crowd), rows=9))


def test_what_is_more_than_a_line_is_one() -> None:
    odd = Running("trial 1", "reads\ta", None, 0.0, "note='two\nlines\x1b[2J'")
    lines = shown(ScreenState("in\nvoices", 100, running=[odd]))
    assert lines[1].startswith("in voices ") and lines[3] == "trial 1     reads a  0:00  note='two lines [2J'"


@pytest.mark.parametrize(
    ("left", "n", "expected"),
    [(0.2, 0, "0:00  a moment left"), (9.97, 1, "0:00  about 10 s left, 1 finalist included")],
)
def test_what_is_left_is_no_more_exact_than_it_is_known(left: float, n: int, expected: str) -> None:
    assert shown(ScreenState("invoices", 20, left=left, n_finalists=n))[-1] == f"time        {expected}"


def test_scores_that_do_not_fit_leave_at_the_left() -> None:
    scores = [("COMPLETE", float(n)) for n in range(100)]
    (line,) = [
        line for line in shown(ScreenState("s", 100, 100, scores=scores), columns=42) if line.startswith("scores")
    ]
    assert line == "scores ▁▁▂▂▃▃▃▄▄▅▅▆▆▆▇▇██  0.000 – 99.000"
    assert cell_len(line) == 41


def test_an_infinite_score_is_no_block() -> None:
    view = ScreenState("s", 3, 2, scores=[("COMPLETE", float("inf")), ("COMPLETE", 0.5)])
    assert "scores      ×▄  0.500" in shown(view)


def test_the_best_block_is_the_highest_or_the_lowest() -> None:
    for is_ascending, at in ((True, 1), (False, 0)):
        view = ScreenState("s", 2, 2, scores=[("COMPLETE", 0.1), ("COMPLETE", 0.2)], is_ascending=is_ascending)
        (line,) = [line for line in compose(view, 80, 24) if line.plain.startswith("scores")]
        (green,) = [span for span in line.spans if span.style == "bold green"]
        assert green.start == len("scores      ") + at


def test_a_screen_that_knows_ascii_alone_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    lines = render(compose(VIEW, 80, 24), "ascii")
    assert all(line.text.isascii() for line in lines)
    assert any("====" in line.text for line in lines)


def test_colours_are_those_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with_colours = "".join(line.text for line in render(compose(VIEW, 80, 24), "utf-8"))
    monkeypatch.setenv("NO_COLOR", "1")
    without = "".join(line.text for line in render(compose(VIEW, 80, 24), "utf-8"))
    assert "\x1b[32m" in with_colours and "32m" not in without


def test_a_small_score_has_digits() -> None:
    running = [Running("trial 3", "fold 1/3", 0.00041, 1.0, "")]
    scores = [("COMPLETE", 0.0003), ("COMPLETE", 0.0005)]
    view = ScreenState("s", 5, 2, running=running, scores=scores, best=[("loss", 0.0003, "trial 1")])
    text = "\n".join(shown(view))
    assert "fold 1/3  0.00041" in text and "loss 0.0003  trial 1" in text and "0.0003 – 0.0005" in text
