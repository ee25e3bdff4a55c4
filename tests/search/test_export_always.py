"""What a search comes to is exported wherever its files went, or the command says so and fails."""

import shutil
from typing import Any

import pytest
from slowly import slowly


@pytest.mark.slow
@pytest.mark.parametrize("subdir", ["null", "conf"])
def test_the_config_of_a_trial_may_be_elsewhere_or_nowhere(search: Any, subdir: str) -> None:
    search.run(f"hydra.output_subdir={subdir}", "search.n_trials=2", "finalists.top_k=1")
    best = search.read("best/config.yaml")
    assert best["data"]["batch_size"] == search.read("best/params.yaml").get(
        "data.batch_size", best["data"]["batch_size"]
    )
    assert (search.folder / "best" / "oof.csv").is_file()


@pytest.mark.slow
def test_the_best_trials_folder_may_be_gone(search: Any) -> None:
    search.run("search.n_trials=2")
    best = search.study.best_trial.number
    config, files = search.read("best/config.yaml"), {path.name for path in (search.folder / "best").iterdir()}
    shutil.rmtree(search.folder / str(best))
    search.run("search.n_trials=2")
    assert search.read("best/config.yaml") == config
    assert {path.name for path in (search.folder / "best").iterdir()} == files


@pytest.mark.parametrize("subdir", ["'trial_${hydra.job.num}'", *slowly("'${hydra.job.override_dirname}'", "all", ".")])
def test_folders_of_trials_are_called_by_their_numbers(search: Any, subdir: str) -> None:
    output = search.run(f"hydra.sweep.subdir={subdir}", code=1)
    assert "`hydra.sweep.subdir` to be ${hydra.job.num}" in output
    assert not search.folder.exists() or not list(search.folder.glob("*/.hydra"))


@pytest.mark.slow
def test_an_export_that_fails_makes_the_command_fail(search: Any) -> None:
    search.folder.mkdir(parents=True)
    (search.folder / "trials.csv").mkdir()  # where a file is to be
    output = search.run("search.n_trials=2", code=1)
    assert "Could not export the best trial, give the same command again" in output
    (search.folder / "trials.csv").rmdir()
    search.run("search.n_trials=2")
    assert (search.folder / "best" / "config.yaml").is_file()
