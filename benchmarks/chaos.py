"""Searches that are killed over and over, and what is left of them.

    python benchmarks/chaos.py [rounds]        200 rounds by default, about 6 min on 2 cores

Each round starts a search of a toy objective, or goes on with it, and kills it with SIGKILL at a random moment, of its
start and its export too. After every 10 rounds the search is brought to its end and looked at: exactly the total, no
finished trial lost, changed or run twice, no folder shared, a sound study.db. Prints what it has seen, or fails.
"""

import collections
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

APP = Path(__file__).parents[1] / "tests" / "sweeper" / "toy" / "app.py"
TOTAL, ROUNDS_A_STUDY = 12, 10
EXPORT = "+hydra.callbacks.export._target_=docclf.results.study.export.ExportBest"


def start(folder: Path, n_trials: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        str(APP),
        "-m",
        f"n_trials={n_trials}",
        "hydra.sweeper.baseline=true",
        "seconds=0.1",
        EXPORT,
    ]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def finished(folder: Path) -> dict[int, tuple[object, ...]]:
    """Number to parameters, value and time of the trials that came to their end."""
    path = folder / "multirun" / "toy" / "study.db"
    url = f"sqlite:///{path}"
    try:
        study = optuna.load_study(study_name="toy", storage=url)
    except Exception:  # killed before there was one
        return {}
    complete = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return {t.number: (t.params, t.values, t.datetime_complete) for t in complete}


def check(folder: Path, total: int, kept: dict[int, tuple[object, ...]]) -> None:
    sweep = folder / "multirun" / "toy"
    study = optuna.load_study(study_name="toy", storage=f"sqlite:///{sweep / 'study.db'}")
    states = collections.Counter(t.state.name for t in study.trials if not t.user_attrs.get("interrupted"))
    assert states == {"COMPLETE": total}, states
    assert kept.items() <= finished(folder).items(), "a finished trial was lost or changed"
    baselines = [
        t.params for t in study.trials if t.user_attrs.get("role") == "baseline" and t.state.name == "COMPLETE"
    ]
    assert len(baselines) == 1, baselines
    for trial in study.trials:
        if trial.state.name == "COMPLETE":
            log = (sweep / str(trial.number) / "app.log").read_text()
            assert re.findall("begin x=(.*)", log) == [str(trial.params["x"])], "run twice, or a folder shared"
    with sqlite3.connect(sweep / "study.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = (sweep / "trials.csv").read_text().splitlines()
    assert len(rows) == 1 + len(study.trials), "the export is not of the whole study"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = random.Random(0)
    killed = ended = seen = 0
    for study in range(-(-rounds // ROUNDS_A_STUDY)):
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        kept: dict[int, tuple[object, ...]] = {}
        for _ in range(min(ROUNDS_A_STUDY, rounds - study * ROUNDS_A_STUDY)):
            # A total near what is done, so that some rounds reach the export.
            process = start(folder, min(TOTAL, len(kept) + 3))
            time.sleep(rng.uniform(0.0, 3.0))
            process.kill()
            killed, ended = (killed + 1, ended) if process.wait() else (killed, ended + 1)
            now = finished(folder)
            assert kept.items() <= now.items(), "a finished trial was lost or changed"
            kept = now
        assert start(folder, TOTAL).wait() == 0
        check(folder, TOTAL, kept)
        seen += 1
        print(f"study {seen}: sound, {TOTAL} of {TOTAL} trials, {len(kept)} of them before the last start", flush=True)
    print(f"{killed} searches killed, {ended} ended before that; {seen} studies, all with their total", flush=True)


if __name__ == "__main__":
    main()
