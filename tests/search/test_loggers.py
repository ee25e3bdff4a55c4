"""Searches that log to W&B, offline and real: every trial is there, and nothing else is left."""

import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import command, descendants, runs, wait_until
from wandb_files import only_wandb_run, wandb_runs

pytestmark = pytest.mark.slow

WANDB = "logger=[csv,wandb]"


@pytest.fixture(scope="module", autouse=True)
def wandb_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("wandb")))
        patch.delenv("WANDB_SILENT")  # as a user has it
        yield


def wandb_processes() -> set[int]:
    """Of W&B, by anyone on this machine."""
    every = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    return {pid for pid in every if "/wandb/bin/" in command(pid)}


def by_name(search: Any) -> dict[str, Any]:
    # W&B writes every 15 s: of a run that was killed before, there is nothing.
    return {run.name: run for run in wandb_runs(search.folder) if run.every("run")}


@pytest.fixture(scope="module")
def logged(make_search: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """A search of 8 trials, and what it printed; W&B's processes are gone with it."""
    search = make_search(tmp_path_factory.mktemp("logged to W&B"), name="내 search")
    return search, search.run(WANDB, "search.n_trials=8", "hydra/sweeper/sampler=random")


def test_each_trial_and_the_study_leave_a_run_and_no_process(logged: tuple[Any, str]) -> None:
    search, _ = logged
    names = sorted(run.name for run in wandb_runs(search.folder))
    assert names == sorted([f"trial {number}" for number in range(8)] + [search.name])
    assert {run.run["run_group"] for run in wandb_runs(search.folder)} == {search.name}
    assert not list(search.folder.glob("[0-9]*/wandb"))
    mine = [pid for pid in wandb_processes() if str(search.cwd) in str(Path(f"/proc/{pid}/cwd").resolve())]
    assert mine == []


def test_every_trial_has_its_parameters_value_best_and_state(logged: tuple[Any, str]) -> None:
    search, _ = logged
    found, best = by_name(search), 0.0
    assert len(set(search.states)) > 1, "some are pruned"
    for trial in search.trials:
        run = found[f"trial {trial.number}"]
        assert run.config["trial"] == trial.number
        assert run.config["params"] == pytest.approx({key: trial.params[key] for key in trial.params})
        assert run.config["optimizer"]["lr"] == pytest.approx(trial.params["optimizer.lr"])
        assert run.summary["state"] == trial.state.name
        assert run.summary["value"] == pytest.approx(trial.value)
        best = max(best, trial.value) if trial.state.name == "COMPLETE" else best
        assert run.summary["best_value"] == pytest.approx(best)
        assert (run.tags, run.exit_code) == (["pruned"] if trial.state.name == "PRUNED" else [], 0)
        assert any("fold_0/val/macro_f1" in row for row in run.history)


def test_the_study_has_a_run_of_its_own(logged: tuple[Any, str]) -> None:
    search, _ = logged
    run = by_name(search)[search.name]
    rows = [row for row in run.history if "state" in row]
    assert [(row["trial"], row["state"]) for row in rows] == [(t.number, t.state.name) for t in search.trials]
    assert [row["value"] for row in rows] == pytest.approx([trial.value for trial in search.trials])
    assert rows[-1]["best_value"] == run.summary["best_value"] == pytest.approx(search.study.best_value)
    assert run.summary["best_trial"] == search.study.best_trial.number
    best = (search.folder / "best" / "config.yaml").read_bytes()
    assert run.artifacts["best"]["config.yaml"].read_bytes() == best


def test_the_command_that_uploads_is_printed_once_and_names_the_folder(logged: tuple[Any, str]) -> None:
    search, output = logged
    assert len(re.findall("wandb sync", output)) == 1
    (line,) = [line for line in output.splitlines() if "wandb sync" in line]
    assert shlex.split(line.partition(": ")[2]) == ["wandb", "sync", str(search.folder / "wandb")]
    assert "wandb: " not in output, "W&B itself prints nothing"
    assert "Would sync 9 run(s)" in search.paste(f"{line.partition(': ')[2]} --dry-run", search.cwd)


def test_a_search_that_goes_on_adds_its_trials_and_keeps_one_run_of_the_study(search: Any) -> None:
    search.run(WANDB, "search.n_trials=1")
    first = by_name(search)[search.name].run["run_id"]
    search.run("logger=none", "search.n_trials=2")
    assert len(wandb_runs(search.folder)) == 2, "nor is the study logged"
    search.run(WANDB, "search.n_trials=3")
    found = by_name(search)
    assert sorted(found) == sorted(["trial 0", "trial 2", search.name]) and len(wandb_runs(search.folder)) == 3
    assert found[search.name].run["run_id"] == first
    assert [row["trial"] for row in found[search.name].history if "state" in row] == [0, 1, 2]


def test_failed_trials_are_failed_runs_and_finalists_are_called_so(search: Any) -> None:
    search.run(
        WANDB, "search.n_trials=3", "finalists.top_k=1", "optimizer.lr=choice(5e-4,1e30)", "hydra/sweeper/pruner=none",
        "hydra/sweeper/sampler=random", "hydra.sweeper.max_failure_rate=1.0", "search.enqueue=['optimizer.lr=1e30']",
    )  # fmt: skip
    found = by_name(search)
    codes = {trial.number: found[f"trial {trial.number}"].exit_code for trial in search.trials}
    assert codes == {trial.number: int(trial.state.name == "FAIL") for trial in search.trials}
    assert set(codes.values()) == {0, 1}
    finalist = found["finalist 0"]
    assert finalist.run["job_type"] == "finalist" and finalist.config["trial"] == 0
    states = {row["trial"]: row["state"] for row in found[search.name].history if "state" in row}
    assert states == {trial.number: trial.state.name for trial in search.trials}
    assert "verdict" in found[search.name].summary


def test_two_workers_log_as_one_does_and_leave_no_process(search: Any) -> None:
    before = wandb_processes()
    search.run(WANDB, "search.workers=2", "search.n_trials=4")
    found = by_name(search)
    assert sorted(found) == sorted([*(f"trial {number}" for number in range(4)), search.name])
    for trial in search.trials:
        run = found[f"trial {trial.number}"]
        assert (run.summary["state"], run.exit_code) == (trial.state.name, 0)
        assert run.config["params"]["optimizer.lr"] == pytest.approx(trial.params["optimizer.lr"])
        assert {row["trainer/global_step"] for row in run.history if "trainer/global_step" in row}
    wait_until(lambda: wandb_processes() <= before, 10)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_leaves_the_finished_trials_logged_and_no_process(search: Any, workers: int) -> None:
    before = wandb_processes()
    process = search.start(
        WANDB, f"search.workers={workers}", "search.n_trials=20", "validation.epochs=24", "hydra/sweeper/pruner=none"
    )
    wait_until(lambda: process.poll() is not None or "fold 1" in search.log(2), 200)
    everyone = [process.pid, *descendants(process.pid)]
    for pid in everyone:
        if "/wandb/bin/" not in command(pid):  # which is in a session of its own, and gets no Ctrl-C of the terminal
            os.kill(pid, signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 130, output
    assert "Traceback" not in output and len(re.findall("wandb sync", output)) == 1
    wait_until(lambda: not any(map(runs, everyone)) and wandb_processes() <= before, 20)
    found = by_name(search)
    rows = {row["trial"]: row["state"] for row in found[search.name].history if "state" in row}
    assert rows and set(rows.values()) <= {"COMPLETE", "INTERRUPTED"}
    ends = {name: (run.exit_code, run.tags) for name, run in found.items()}
    complete = [f"trial {number}" for number, state in rows.items() if state == "COMPLETE"]
    assert complete and all(ends[name] == (0, []) for name in complete)
    if workers == 1:  # several are killed
        assert ends["trial 2"] == (255, ["interrupted"])


def test_the_winner_is_trained_with_the_logger_that_is_asked_for(search: Any) -> None:
    search.run("logger=[csv,wandb]", "logger.wandb.project=mine", "search.n_trials=1")
    best = ("--config-dir", str(search.folder / "best"), "--config-name", "config")
    run = f"hydra.run.dir={search.cwd}/again"
    assert "wandb sync" in search.paste(
        shlex.join(["python", "-m", "docclf.train", *best, "logger=wandb", run]), search.cwd
    )
    assert only_wandb_run(search.cwd / "again").run["project"] == "mine"
    assert not (search.cwd / "again" / "fold_0").exists(), "and not by those of the search"
