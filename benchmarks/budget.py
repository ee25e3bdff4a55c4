"""Whether a search keeps its budget, killed and continued at random, and can predict at every kill.

    python benchmarks/budget.py DIR [SECONDS ...] [override ...]      2, 5 and 10 minutes by default

DIR as for benchmarks/strength.py. Each search is killed with SIGKILL after 15 to 90 s, again and again, and continued
by the same command until it ends by itself. Wall-clock is that of all its runs. After each kill, as soon as a trial
has ended, `predict` must work with what is in best/.
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

SHORTEST, LONGEST = 15, 90


def n_finished(folder: Path) -> int:
    path = folder / "multirun" / "budget" / "study.db"
    if not path.is_file():
        return 0
    study = optuna.load_study(study_name="budget", storage=f"sqlite:///{path}")
    return len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))


def search(folder: Path, root: Path, budget: int, overrides: list[str]) -> tuple[float, int, int]:
    """Seconds of all runs, how often it was killed, and how often `predict` worked then; raises where it does not."""
    draw, spent, kills, predicted = random.Random(budget), 0.0, 0, 0
    data = ["data=csv", f"data.root='{root}'", f"data.cache_dir={folder}/cache"]
    asked = ["hparams_search=optuna", "study_name=budget", f"search.timeout={budget}", "search.n_trials=null"]
    command = [sys.executable, "-m", "docclf.train", "-m", *asked, *data, *overrides]
    predict = [sys.executable, "-m", "docclf.predict", "run=multirun/budget", f"data.root='{root / 'test.csv'}'"]
    while True:
        started = time.perf_counter()
        run = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            status = run.wait(draw.uniform(SHORTEST, LONGEST))
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            status = None
        spent += time.perf_counter() - started
        if status is not None:
            assert status == 0, f"the search ended with {status}"
            return spent, kills, predicted
        kills += 1
        if n_finished(folder):
            (folder / "predictions.csv").unlink(missing_ok=True)
            subprocess.run(predict, check=True, cwd=folder, stdout=subprocess.DEVNULL)
            assert (folder / "predictions.csv").is_file()
            predicted += 1


def main(root: str, *more: str) -> None:
    budgets = [int(text) for text in more if text.isdigit()] or [120, 300, 600]
    overrides = [text for text in more if not text.isdigit()]
    print("budget  seconds  over   kills  predicted", flush=True)
    for budget in budgets:
        with tempfile.TemporaryDirectory(prefix="budget-") as folder:
            spent, kills, predicted = search(Path(folder), Path(root).resolve(), budget, overrides)
        print(f"{budget:>6}  {spent:7.1f}  {spent - budget:+5.1f}  {kills:>5}  {predicted:>9}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
