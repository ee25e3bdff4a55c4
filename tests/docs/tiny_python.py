"""Stands for `python` where documented commands are run: docclf trains so small that a search ends in seconds.

What is typed stays, but for numbers that cost time. `python -m docclf.labels` gets one decision and its Ctrl-C; other
commands of docclf are run by the tests, in forks in which all is imported, see tests/docs/test_runs.py.
"""

import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

# Keys that cost time, and what they get, whether they are given or not ...
SMALL = {
    "data.image_size": "32",
    "validation.folds": "2",
    "validation.epochs": "1",
    "search.n_trials": "3",
    "finalists.top_k": "1",
}
LADDER = {"validation.epochs": "2"}  # its trials pause after the first
# ... and those that are given where nothing else is. An exported config has them from its search.
USUAL = {
    "data.near_duplicates": "null",
    "data.batch_size": "8",
    "model.name": "test_resnet",
    "model.pretrained": "false",
    "logger": "none",
}
DRAWN = {"data.draw.pages_per_class": "4", "data.draw.test_pages_per_class": "2"}


def tiny(words: Sequence[str]) -> list[str]:
    """The words behind `python` as they are run."""
    module = words[1] if words[:1] == ["-m"] and len(words) > 1 else ""
    if module not in ("docclf.train", "docclf.data") or {"--help", "--version", "--cfg"} & {*words}:
        return [*words]
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words[2:] if "=" in word}
    small = {key: value for key, value in SMALL.items() if "(" not in given.get(key, "")}
    small |= LADDER if given.get("hparams_search") == "ladder" else {}
    if any(word.partition("=")[0] == "--config-name" for word in words):
        more = {key: value for key, value in small.items() if key in given}
    else:
        more = small | {key: value for key, value in USUAL.items() if key not in given}
        more = {} if module == "docclf.data" else more
        more |= DRAWN if given.get("data", "synthetic") == "synthetic" else {}
    kept = [word for word in words if word.partition("=")[0] not in more]
    return [*kept, *(f"{key}={value}" for key, value in more.items())]


def main(server: str, words: list[str]) -> None:
    if words[:2] == ["-m", "docclf.labels"]:
        decide(words)
    if words[:1] != ["-m"] or not words[1].startswith("docclf."):
        os.execv(sys.executable, [sys.executable, *words])
    with socket.socket(socket.AF_UNIX) as tests:
        tests.connect(server)
        tests.sendall(json.dumps([tiny(words)[1:], str(Path.cwd()), dict(os.environ)]).encode() + b"\n")
        with tests.makefile(encoding="utf-8") as answer:
            status, output = json.load(answer)
    sys.stdout.write(output)
    raise SystemExit(status)


def decide(words: Sequence[str]) -> None:
    """Review labels: the first page is dropped, as by a key in the browser."""
    import re
    import signal
    import subprocess
    import urllib.request

    with subprocess.Popen([sys.executable, *words, "--no-browser"], stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        for line in page.stdout:
            sys.stdout.write(line)
            if address := re.search(r"http://\S+", line):
                body, kind = b'{"number": 0, "new": ""}', {"Content-Type": "application/json"}
                urllib.request.urlopen(urllib.request.Request(f"{address[0]}decide", body, kind)).close()
                page.send_signal(signal.SIGINT)
    decisions = Path(words[2], "corrections.csv")
    if not decisions.exists():  # no label looked wrong, and a reader would stop there
        decisions.write_text("ID,old,new,who,when\n", encoding="utf-8")
    raise SystemExit(page.returncode)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
