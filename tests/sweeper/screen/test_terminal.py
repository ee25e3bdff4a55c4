"""A frame at the bottom of a terminal, and everything that may be written above it."""

import re
import sys
from pathlib import Path

import pytest
from slowly import slowly
from terminals import OnTerminal

# Draws a frame of two lines, does something, and ends.
SCRIPT = """
import os, subprocess, sys, time
from docclf.sweeper.screen.terminal import Line, Terminal
with Terminal(sys.stdout) as terminal:
    def frame(text):
        terminal.draw([Line(f"first {text}", 6 + len(text)), Line("last", 4)])
    frame("one")
    ACT
print("after")
THEN
"""


def run(act: str, cwd: Path, *, then: str = "", **terminal: int) -> OnTerminal:
    act = act.replace("\n", "\n    ")
    return OnTerminal(
        [sys.executable, "-W", "error", "-c", SCRIPT.replace("ACT", act).replace("THEN", then)], cwd, **terminal
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("write", "shown"),
    [
        ("print('said')", ["said"]),
        ("print('said', file=sys.stderr)", ["said"]),
        ("os.write(1, b'by number\\n')", ["by number"]),
        ("subprocess.run(['sh', '-c', 'echo child; echo error >&2'])", ["child", "error"]),
        *slowly(
            ("print('two\\nlines')", ["two", "lines"]),
            ("print('한글 줄')", ["한글 줄"]),
            ("print('x' * 100)", ["x" * 80, "x" * 20]),
            ("sys.stdout.write('without an end')", ["without an end"]),
            ("print('10 %\\r90 %')", ["90 %"]),
            ("[print(i) for i in range(100)]", [str(i) for i in range(100)]),
            ("print('y' * 20_000)", ["y" * 80] * 250),
        ),
    ],
)
def test_what_is_written_comes_out_above_and_stays(write: str, shown: list[str], tmp_path: Path) -> None:
    patient = "from docclf.sweeper.screen import terminal as module; module._QUESTION_S = 60.0"
    seen = run(f"{patient}\n{write}\nsys.stdout.flush(); time.sleep(0.1); frame('two'); time.sleep(0.1)", tmp_path)
    lines = [line for line in seen.end() if line]
    assert lines == [*shown, "after"]
    assert b"first two" in seen.raw


def test_a_question_takes_the_place_of_the_frame_until_it_is_answered(tmp_path: Path) -> None:
    act = "answer = input('how many? ')\nprint(f'{answer}!')\nwhile not os.path.exists('seen'): time.sleep(0.02)"
    seen = run(act, tmp_path)
    assert seen.read(lambda: seen.lines[0] == "how many?"), seen.lines
    assert "last" not in seen.lines
    seen.press(b"7\n")
    assert seen.read(lambda: seen.saw("7!\nfirst one\nlast")), "back again"
    (tmp_path / "seen").touch()
    assert seen.end()[:3] == ["how many? 7", "7!", "after"]


def test_a_progress_bar_is_to_be_seen_while_it_moves(tmp_path: Path) -> None:
    act = "for i in range(12):\n    sys.stdout.write(f'\\r{i} of 12'); sys.stdout.flush(); time.sleep(0.1)\nprint()"
    seen = run(act, tmp_path)
    assert [line for line in seen.end() if line] == ["11 of 12", "after"]
    assert seen.saw("7 of 12")


def test_a_window_that_is_made_narrower_keeps_no_piece_of_the_frame(tmp_path: Path) -> None:
    """As terminals do that wrap lines again, this one is told of it afterwards."""
    act = "terminal.draw([Line('z' * 30, 30)])\nwhile terminal.size.columns > 20: time.sleep(0.01)\nframe('two')"
    seen = run(f"{act}; time.sleep(0.2)", tmp_path, columns=40)
    assert seen.read(lambda: seen.lines[0] == "z" * 30)
    seen.screen.reset()
    seen._stream.feed(b"z" * 20 + b"\r\n" + b"z" * 10)
    seen.resize(20, 24)
    assert [line for line in seen.end() if line] == ["after"]
    assert seen.saw("first two\nlast")


def test_lines_after_a_window_was_made_smaller_push_no_old_frame_up(tmp_path: Path) -> None:
    act = "terminal.draw([Line('z' * 30, 30)] * 5)\nwhile terminal.size.lines > 4: time.sleep(0.01)"
    seen = run(f"{act}\n[print(i) for i in range(9)]\nframe('two'); time.sleep(0.2)", tmp_path, columns=40)
    assert seen.read(lambda: seen.lines[4] == "z" * 30)
    n_drawn = seen.raw.count(b"z" * 30)
    seen.resize(40, 4)
    seen.end()
    assert seen.raw.count(b"z" * 30) == n_drawn and b"first two" in seen.raw


def test_what_a_process_writes_that_lives_on_still_comes_out(tmp_path: Path) -> None:
    act = "os.system('(timeout 60 sh -c \"until [ -e go ]; do sleep 0.05; done\"; echo late) &')"
    seen = run(act, tmp_path, then="input()")
    assert seen.read(lambda: "after" in seen.lines), seen.lines
    (tmp_path / "go").touch()
    assert seen.read(lambda: "late" in seen.lines), seen.lines
    seen.press(b"\n")
    assert [line for line in seen.end() if line] == ["after", "late"]


def test_an_exception_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    seen = run("raise ArithmeticError('asked to')", tmp_path)
    lines = seen.end(1)
    assert lines[0].startswith("Traceback") and "ArithmeticError: asked to" in lines
    assert "last" not in lines


def test_a_crash_says_where_it_was(tmp_path: Path) -> None:
    lines = run("os.abort()", tmp_path).end(-6)
    assert any(line.endswith("Fatal Python error: Aborted") for line in lines)


def test_two_displays_in_turn_both_work(tmp_path: Path) -> None:
    again = SCRIPT.replace("ACT", "print('second'); time.sleep(0.1)").replace("THEN", "")
    seen = run("time.sleep(0.1)", tmp_path, then=again)
    assert [line for line in seen.end() if line] == ["after", "second", "after"]


def test_a_stop_and_a_continue_draw_a_new_frame_below_what_the_shell_said(tmp_path: Path) -> None:
    act = "os.write(terminal._screen, b'\\r\\nshell: stopped\\r\\n'); os.kill(os.getpid(), 18); frame('two'); input()"
    seen = run(act, tmp_path)
    assert seen.read(lambda: seen.saw("shell: stopped\nfirst two\nlast")), seen.lines
    seen.press(b"\n")
    assert "shell: stopped" in seen.end()


def test_codes_move_the_cursor_no_further_than_the_frame_is_high(tmp_path: Path) -> None:
    seen = run("for i in range(20):\n    print(i); frame(str(i))", tmp_path, rows=5)
    assert [line for line in seen.end() if line] == [*map(str, range(20)), "after"]
    assert {int(n) for n in re.findall(rb"\x1b\[(\d+)A", seen.raw)} == {1}
