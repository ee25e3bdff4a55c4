"""What commands share: their end by Ctrl-C and, of those without a config, their parser, streams, exit status."""

import argparse
import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from docclf import __version__
from docclf.errors import DocclfError
from docclf.safety.faults import told
from docclf.safety.untrusted import escape_logs, plain


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Where Ctrl-C ends a command, say so without a traceback; where nobody reads on, as `head` does, say nothing.

    Raises:
        SystemExit: It did; with the status that a shell gives to it.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        # Lightning turns the one into the other; who has said what there is to say raises it from None.
        if isinstance(end, SystemExit) and (
            end.__suppress_context__ or not isinstance(end.__context__, KeyboardInterrupt)
        ):
            raise
        sys.stderr.write("Interrupted\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        if not _is_left():
            raise
        raise SystemExit(128 + signal.SIGPIPE) from None
    finally:
        if before is signal.SIG_DFL:  # all is written
            signal.signal(signal.SIGINT, before)


def _is_left() -> bool:
    """Whether who read stdout has gone; then Python shall not try to write there at its end."""
    try:
        watch, number = select.poll(), sys.stdout.fileno()
        watch.register(number, 0)  # asks for nothing but that
    except (OSError, ValueError):  # no file
        return False
    if is_left := bool(watch.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return is_left


def settle_in() -> None:
    """Give a command what containers and services may lack: streams, and a home folder that can be written.

    Who has no home gets one in the folder of temporary files, the same the next time, which nobody else can write.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # closed: what is opened next would be in its place, and be written to as a screen
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    try:
        Path.cwd()
    except FileNotFoundError:
        raise SystemExit("ConfigError: The folder that this shell is in is gone. Go to one that is there: cd") from None
    try:
        Path.home()
    except RuntimeError:
        home = Path(tempfile.gettempdir(), f"docclf-{os.getuid()}")
        home.mkdir(mode=0o700, exist_ok=True)
        stat = home.lstat()
        is_ours = stat.st_uid == os.getuid() and stat.st_mode & 0o40077 == 0o40000
        os.environ["HOME"] = str(home) if is_ours else tempfile.mkdtemp(prefix="docclf-")


def make_parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser whose help ends with examples.

    Args:
        command: Name of the module below `docclf`.
        examples: One command a line, and the exit status.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m docclf.{command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"docclf {__version__}")
    return parser


def run(
    parser: argparse.ArgumentParser, act: Callable[[argparse.Namespace], object], arguments: Sequence[str] | None
) -> int:
    """Parse, act, and print what comes back or what is wrong.

    Args:
        arguments: Of the command line; None for those of this process.

    Returns:
        Exit status: 0, or 2 after an error that the user can put right.

    Raises:
        SystemExit: See `ended_by_ctrl_c`.
    """
    options = parser.parse_args(arguments)
    settle_in()
    escape_logs()
    try:
        with ended_by_ctrl_c():
            text = act(options)
        _print(plain(f"{text}\n"))
    except (DocclfError, OSError) as error:
        sys.stderr.write(plain(f"{told(error)}\n"))
        return 2
    return 0


def _print(text: str) -> None:
    """Write to stdout at once; where nothing can be, Python shall not try again at its end."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
