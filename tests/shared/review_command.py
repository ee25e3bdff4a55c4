"""The command that reviews labels, while it runs."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

WRONG = {"0 쪽 2.png": ("7", "0"), "10 쪽 3.jpg": ("0", "10")}  # page: its wrong label, its own


class Review:
    """The command while it runs."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        command = [sys.executable, "-m", "docclf.labels", *arguments, "--no-browser", "--who", "ann"]
        ready = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell may ignore it
        command[1:3] = ["-c", f"{ready}; from docclf.labels import main; raise SystemExit(main())"]
        self.process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, encoding="utf-8")
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert "labels to review" in first
        self.address = first.split()[-1]

    def facts(self) -> dict[str, list[dict[str, str]]]:
        with urlopen(f"{self.address}facts") as answer:
            found: dict[str, list[dict[str, str]]] = json.load(answer)
        return found

    def number(self, page: str) -> int:
        return [one["page"] for one in self.facts()["pages"]].index(page)

    def decide(self, page: str, new: str | None) -> None:
        body = json.dumps({"number": self.number(page), "new": new}).encode()
        urlopen(Request(f"{self.address}decide", body, {"Content-Type": "application/json"})).close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def end(self) -> str:
        """By Ctrl-C; what it has printed."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return output
