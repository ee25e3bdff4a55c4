"""The live display of a search on a terminal, and plain lines elsewhere."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminals import OnTerminal

APP = Path(__file__).parents[1] / "toy" / "app.py"
SGR = re.compile(rb"\x1b\[([\d;]*)m")
# Lines of a search by two workers
SAID = (
    r"\[[\d,: -]+\]\[HYDRA\] Study toy: 0 of \d+ trials done, .*",
    r"\[[\d,: -]+\]\[HYDRA\] trial \d+/\d+  x=\S+ n=\d colour=\w+",
    r"\[[\d,: -]+\]\[HYDRA\] trial \d+/\d+  value -?\d\.\d{3,5} \(best -?\d\.\d{3,5}, trial \d+\)  [\d.]+ s"
    r"(, (about [\d.]+ s|a moment) left)?",
    r"\[[\d,: -]+\]\[__main__\]\[INFO\] -   \d+: begin x=\S+",
    "",
)


def start(toy: Any, *overrides: str, **terminal: Any) -> OnTerminal:
    """Start the toy's search on a terminal."""
    return OnTerminal([sys.executable, "-W", "error", str(APP), "-m", *overrides], toy.cwd, **terminal)


def shown(seen: OnTerminal, *patterns: str) -> str:
    """The first screen with all of some patterns; empty if there is none."""
    texts = ("\n".join(frame) for frame in seen.frames)
    return next((text for text in texts if all(re.search(pattern, text, re.MULTILINE) for pattern in patterns)), "")


def end_when(toy: Any, seen: OnTerminal, *patterns: str) -> str:
    """That screen, for which a trial waits by `await_at=[[NUMBER, seen]]`; then read to the end."""
    assert seen.read(lambda: shown(seen, *patterns)), seen.lines
    (toy.cwd / "seen").touch()
    seen.end()
    return shown(seen, *patterns)


def is_whole(seen: OnTerminal) -> bool:
    """Whether nothing of the display is left on a terminal: no frame, no colour, and the cursor is to be seen."""
    frame = [line for line in seen.all_lines if re.match("(done|scores|best|time) {2}", line) or "━" in line]
    return not frame and not seen.screen.cursor.hidden and seen.screen.cursor.attrs.fg == "default"


SHOWN = ("1 complete  0 pruned  1 failed", r"^trial 2     begins  \d:\d\d  x=")


@pytest.fixture(scope="module")
def watched(new_toy: Callable[[], Any]) -> OnTerminal:
    """A search of three trials by one worker, as it was to be seen."""
    toy = new_toy()
    seen = start(toy, "n_trials=3", "seconds=0.1", "raise_at=[0]", "await_at=[[2, seen]]")
    end_when(toy, seen, *SHOWN)
    return seen


def test_it_shows_counts_the_running_trial_the_best_and_the_scores(watched: OnTerminal) -> None:
    text = shown(watched, *SHOWN)
    assert re.search(r"^toy +━+─+  2/3$", text, re.MULTILINE)
    assert re.search(r"^best +value -?\d\.\d{3}  trial 1  x=", text, re.MULTILINE)
    assert re.search(r"^scores +×▄  -?\d\.\d{3}$", text, re.MULTILINE)
    assert re.search(r"^time +\d:\d\d  (about [\d.]+ s|a moment) left$", text, re.MULTILINE)


def test_lines_scroll_above_it_and_stay_when_it_is_gone(watched: OnTerminal) -> None:
    assert is_whole(watched)
    assert sum("begin x=" in line for line in watched.all_lines) == 3
    assert any("[HYDRA] trial 2/3  value" in line for line in watched.all_lines), "the last one too"


def test_lines_push_it_down_and_it_is_never_there_twice(watched: OnTerminal) -> None:
    rows = [[i for i, line in enumerate(frame) if line.startswith("done  ")] for frame in watched.frames]
    assert len({row for (row, *_) in filter(None, rows)}) > 1
    assert [found for found in rows if len(found) > 1] == []


@pytest.mark.slow
@pytest.mark.parametrize("preload", ["null", "[json]"], ids=["started for a trial", "started before the display"])
def test_lines_of_two_workers_are_not_torn(toy: Any, preload: str) -> None:
    command = ("n_trials=4", "seconds=1", "hydra.sweeper.n_jobs=2", f"hydra.sweeper.preload={preload}")
    seen = start(toy, *command, columns=300, rows=12, environment={"DOCCLF_ALLOW": "json"})
    lines = seen.end()
    assert [line for line in lines if not any(re.fullmatch(said, line) for said in SAID)] == []
    assert sorted(re.findall(r"(\d+): begin x=", "\n".join(lines)), key=int) == [str(n) for n in range(4)]
    both = [f for f in seen.frames if sum(re.match(r"trial \d+ +\w+ ", line) is not None for line in f) == 2]
    assert both, "a line for each worker"


@pytest.mark.slow
def test_pruned_trials_are_told_apart(toy: Any) -> None:
    seen = start(toy, "n_trials=3", "prune_at=[0]", "await_at=[[2, seen]]")
    assert end_when(toy, seen, "1 complete  1 pruned  0 failed", "scores      ·▄")


@pytest.mark.slow
def test_a_narrow_terminal_a_name_in_hangul_and_no_color(toy: Any, watched: OnTerminal) -> None:
    def colours(seen: OnTerminal) -> set[bytes]:
        codes = {code for text in SGR.findall(seen.raw) for code in text.split(b";")}
        return {code for code in codes if code and int(code) >= 30}

    folder = "hydra.sweep.dir='multirun/거래명세서와영수증의분류를위한탐색'"
    held = "await_at=[[1, seen]]"
    seen = start(toy, "n_trials=2", held, folder, columns=40, rows=12, environment={"NO_COLOR": "1"})
    frame = end_when(toy, seen, "1 complete", "^trial 1 ").splitlines()
    assert any(re.match("거래명세서와영수.*… ━+─+ +1/2$", line) for line in frame), frame
    assert any(line.startswith("time    ") for line in frame)
    assert is_whole(seen)
    assert colours(watched), "there are some"
    assert colours(seen) == set()


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, pytest.param({"TERM": ""}, marks=pytest.mark.slow)])
def test_a_terminal_that_cannot_do_it_gets_plain_lines(environment: dict[str, str], toy: Any) -> None:
    seen = start(toy, "n_trials=2", "seconds=0.1", environment=environment)
    assert "complete" not in "\n".join(seen.end())
    assert b"\x1b" not in seen.raw


def test_what_is_no_terminal_gets_plain_lines_and_rich_is_not_loaded(toy: Any) -> None:
    output = toy.run("n_trials=2").output
    assert "\x1b" not in output and "complete" not in output
    code = "import docclf.sweeper.run.finalists.scoring, sys; print('rich' in sys.modules, 'optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("how", "code"), [("Ctrl-C", 130), pytest.param("SIGTERM", 143, marks=pytest.mark.slow)])
def test_an_interruption_leaves_the_terminal_whole_and_the_line_to_read(
    how: str, code: int, n_jobs: int, toy: Any
) -> None:
    held = "await_at=[[1, never]]"
    seen = start(toy, "n_trials=9", "seconds=0.5", held, f"hydra.sweeper.n_jobs={n_jobs}", columns=200)
    begun = r"\[__main__\]\[INFO\] - .*begin x="
    assert seen.read(lambda: seen.saw("1 complete") and len(re.findall(begun, "\n".join(seen.all_lines))) > 1), (
        seen.lines
    )
    if how == "Ctrl-C":
        seen.press(b"\x03")
    else:
        seen.send(signal.SIGTERM)
    lines = seen.end(code)
    assert is_whole(seen)
    (said,) = [i for i, line in enumerate(lines) if line.endswith("Continue with:")]
    assert re.fullmatch(r"  cd \S+ && python .*app\.py -m n_trials=9 .*", lines[said + 1])


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_every_worker_has_its_line_at_any_width(n_jobs: int, columns: int, toy: Any, tmp_path: Path) -> None:
    held = f"await_at=[{','.join(f'[{i}, seen]' for i in range(1, n_jobs + 1))}]"
    seen = start(toy, f"n_trials={n_jobs + 2}", held, f"hydra.sweeper.n_jobs={n_jobs}", columns=columns)
    screen = end_when(toy, seen, "1 complete", *(rf"^trial {i} +begins" for i in range(1, n_jobs + 1)))
    shots = Path(os.environ.get("REPORT_SCREENSHOTS", tmp_path))
    (shots / f"display-{n_jobs}-{columns}.txt").write_text(screen, encoding="utf-8")
    frame = screen[screen.rindex("\ntrial 1 ") :].splitlines()[1:]
    assert [line.split()[1] for line in frame if line.startswith("trial ")] == [str(i) for i in range(1, n_jobs + 1)]
    assert is_whole(seen)


@pytest.mark.slow
def test_an_error_leaves_the_terminal_whole_and_is_to_be_read(toy: Any) -> None:
    seen = start(toy, "n_trials=9", "await_at=[[0, seen]]", "refuse_at=[0]", columns=120)
    assert seen.read(lambda: seen.saw("0 complete")), seen.all_lines
    (toy.cwd / "seen").touch()
    assert "asked to refuse" in "\n".join(seen.end(1))
    assert is_whole(seen)


@pytest.mark.slow
def test_a_killed_search_leaves_the_cursor(toy: Any) -> None:
    seen = start(toy, "n_trials=9", "seconds=1")
    assert seen.read(lambda: seen.saw("1 complete"))
    seen.send(signal.SIGKILL)
    seen.end(-9)
    assert not seen.screen.cursor.hidden


@pytest.mark.slow
def test_standard_error_that_goes_to_a_file_stays_there(toy: Any) -> None:
    seen = start(toy, "n_trials=2", "seconds=1", "signal_at=[1,1]", "in_finaliser=true", "signal=SIGINT",
                 errors=toy.cwd / "errors")  # fmt: skip
    assert "Exception ignored in" not in "\n".join(seen.end(130))
    assert "Exception ignored in" in (toy.cwd / "errors").read_text()


@pytest.mark.slow
def test_a_search_in_the_background_draws_nothing(toy: Any) -> None:
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]], process_group=0))"
    seen = OnTerminal([sys.executable, "-c", code, str(APP), "-m", "n_trials=2", "seconds=1.2"], toy.cwd)
    lines = seen.end()
    assert sum("begin x=" in line for line in lines) == 2
    assert not seen.saw("complete") and b"\x1b" not in seen.raw


@pytest.mark.slow
def test_trials_of_another_process_are_shown_too(toy: Any) -> None:
    command = [sys.executable, str(APP), "-m", "n_trials=6", "seconds=2"]
    with subprocess.Popen(command, cwd=toy.cwd, stdout=subprocess.DEVNULL):
        seen = start(toy, "n_trials=6", "seconds=2")
        seen.end()
    assert [f for f in seen.frames if sum(re.match(r"trial \d+ +\w+ ", line) is not None for line in f) == 2]


# A display of a study in memory, and what is left of it.
ALONE = """
import math, optuna, os, sys, threading, time
from types import SimpleNamespace
from docclf.sweeper.screen.forecast import Plan
from docclf.sweeper.screen.live import Live
from docclf.sweeper.screen.terminal import Terminal
study = optuna.create_study(study_name="alone")
search = SimpleNamespace(
    study=study, plan=Plan(3), noun="trial", context=SimpleNamespace(labels=["loss"]),
    describe=lambda trial: "described", limits=SimpleNamespace(deadline=math.inf), helpers=SimpleNamespace(running={}),
)
with Live(search, Terminal(sys.stdout)):
    study.tell(study.ask(), 0.5)
    time.sleep(2)
    study.ask()
    ACT
print(sorted(thread.name for thread in threading.enumerate()))
"""


@pytest.mark.slow
def test_its_threads_end_with_it_but_for_the_one_that_others_may_still_write_to(toy: Any) -> None:
    act = "while not os.path.exists('seen'): time.sleep(0.02)"
    seen = OnTerminal([sys.executable, "-W", "error", "-c", ALONE.replace("ACT", act)], toy.cwd)
    assert seen.read(lambda: seen.saw("trial 1     begins", "best        loss 0.500  trial 0  described")), seen.lines
    (toy.cwd / "seen").touch()
    assert {"['MainThread']", "['MainThread', 'terminal']"} & set(seen.end())


@pytest.mark.slow
def test_a_storage_that_is_away_leaves_the_frame_as_it_was(toy: Any) -> None:
    away = "study._storage.get_all_trials = None; time.sleep(2.5); study._storage.__dict__.pop('get_all_trials')"
    seen = OnTerminal([sys.executable, "-W", "error", "-c", ALONE.replace("ACT", away)], toy.cwd)
    assert "Error" not in "".join(seen.end())
    assert seen.saw("1 complete")
