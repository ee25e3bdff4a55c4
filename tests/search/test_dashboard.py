"""optuna-dashboard opens a search by the command that docs/how-to/looking.md tells."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml

pytestmark = pytest.mark.slow
pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed: pip install 'docclf[dashboard]'")

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "looking.md"


def documented() -> list[str]:
    """The command of the guide, for the search `mine`."""
    (command,) = re.findall(r"^(optuna-dashboard sqlite:.*)$", DOCS.read_text(encoding="utf-8"), re.M)
    return shlex.split(command)


@pytest.fixture(scope="module")
def search(make_search: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    search = make_search(tmp_path_factory.mktemp("a search"), "mine")
    search.run("search.n_trials=2", "finalists.top_k=1", "hydra/sweeper/pruner=none")
    return search


@pytest.fixture(scope="module")
def ask(search: Any) -> Iterator[Callable[[str], bytes]]:
    """What the dashboard answers to a path."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name, *arguments = documented()
    command = [str(Path(sys.executable).parent / name), *arguments, "--port", str(port)]
    with subprocess.Popen(command, cwd=search.cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:

        def get(path: str) -> bytes:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return bytes(answer.read())

        deadline = time.monotonic() + 60
        while True:
            try:
                get("/api/studies")
                break
            except (URLError, OSError):
                assert server.poll() is None and time.monotonic() < deadline, "the dashboard did not start"
                time.sleep(0.2)
        yield get
        server.terminate()


def test_the_dashboard_shows_study_trials_fold_scores_and_the_confusion_picture(
    search: Any, ask: Callable[[str], bytes]
) -> None:
    studies = {study["study_name"]: study["study_id"] for study in json.loads(ask("/api/studies"))["study_summaries"]}
    assert set(studies) == {"mine", "mine-finalists"}
    folders = {"mine": search.folder, "mine-finalists": search.folder / "finalists"}
    for name, folder in folders.items():
        trials = json.loads(ask(f"/api/studies/{studies[name]}?after=0"))["trials"]
        assert len(trials) == 2 and {trial["state"] for trial in trials} == {"Complete"}
        for trial in trials:
            result = yaml.safe_load((folder / str(trial["number"]) / "result.yaml").read_text(encoding="utf-8"))
            attributes = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
            assert json.loads(attributes["folds"]) == pytest.approx(result["folds"])
            assert trial["values"] == pytest.approx([result["mean"]])
            (artifact,) = trial["artifacts"]
            assert (artifact["filename"], artifact["mimetype"]) == ("confusion.png", "image/png")
            picture = ask(f"/artifacts/{studies[name]}/{trial['trial_id']}/{artifact['artifact_id']}")
            assert picture == (folder / str(trial["number"]) / "confusion.png").read_bytes()


def test_the_page_itself_is_served(ask: Callable[[str], bytes]) -> None:
    assert b"<html" in ask("/dashboard/").lower()
