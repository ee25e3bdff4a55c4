"""Studies are found wherever they are, and told apart."""

import shlex
import shutil
from pathlib import Path

import optuna
import pytest
import yaml
from merged_studies import Make, board, merge, new_study, origins, tell

from docclf.errors import ConfigError
from docclf.results.team.sources import read_source
from docclf.safety.untrusted import read_config


def test_studies_are_found_wherever_they_are(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make("a", 0.3)
    places = {
        "journal": str(tmp_path / "j.log"),
        "url": f"sqlite:///{tmp_path / 'url.db'}",
    }
    journal = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(places["journal"]))
    for i, (name, storage) in enumerate({"journal": journal, "url": places["url"]}.items()):
        tell(new_study(tmp_path, name, storage=storage), 0.5 + i / 10, host=name)
    for name, storage in {"here": "x.db", "gone": f"sqlite:///{tmp_path / 'gone' / 'x.db'}"}.items():
        folder = tmp_path / name / "renamed"
        tell(new_study(folder, "moved", storage=f"sqlite:///{tmp_path / name / 'x.db'}"), 0.7, host=name, folder=folder)
        cwd = str(tmp_path / name / ("" if name == "gone" else "nowhere"))
        named = {"sweep": {"dir": "multirun/moved"}, "runtime": {"cwd": cwd}}
        (folder / "multirun.yaml").write_text(
            yaml.safe_dump({"hydra": named | {"sweeper": {"storage": storage, "study_name": None}}})
        )
    shutil.move(tmp_path / "here" / "x.db", tmp_path / "here" / "renamed" / "x.db")
    elsewhere = tmp_path / "gone" / "x.db"
    monkeypatch.setenv("DOCCLF_STORAGE", str(elsewhere))
    given = [a, places["journal"], f"{places['url']}#url", tmp_path / "here" / "renamed", tmp_path / "gone" / "renamed"]
    text = merge(*given, out=tmp_path / "team")
    assert [who for who, _ in origins(tmp_path / "team")] == ["hosta", "hosta", "journal", "url", "here", "gone"]
    assert f"{places['journal']}: the folders of 1 trials are not there, and so not here." in text
    assert (tmp_path / "team" / "5" / "result.yaml").is_file()
    monkeypatch.delenv("DOCCLF_STORAGE")
    with pytest.raises(ConfigError, match=rf"which its multirun.yaml names.* DOCCLF_STORAGE={elsewhere}$"):
        read_source(str(tmp_path / "gone" / "renamed"))


def test_names_of_people_and_odd_names_of_folders_are_told_apart(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("a #1/lr=0.1", 0.3)
    monkeypatch.chdir(tmp_path)
    merge("a #1/lr=0.1", f"보라={make('b', 0.5, host='hosta')}", out=tmp_path / "team")
    assert [who for who, _ in origins(tmp_path / "team")] == ["hosta", "hosta", "보라"]


def test_a_path_may_hold_what_means_something_in_a_url(make: Make, tmp_path: Path) -> None:
    """Each of two such folders has its own study, and nothing is written elsewhere."""
    a, b = make("a", 0.3).rename(tmp_path / "a?1"), make("b", 0.5).rename(tmp_path / "a?2 {x}%41")
    merge(a, f"sqlite:///{tmp_path}/a%3F2 %7Bx%7D%2541/study.db#search", out=tmp_path / "t?m {x}%41")
    assert len(board(tmp_path / "t?m {x}%41")) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"a?1", "a?2 {x}%41", "t?m {x}%41"}
    with pytest.raises(ConfigError, match=r"without \$\{ in --out, got .*/\$\{x\}. Say --out team."):
        merge(a, b, out=tmp_path / "${x}")


def test_two_studies_of_one_name_and_machine_are_told_apart_by_their_places(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3, host="one"), make("b", 0.5, host="one")
    merge(a, b, out=tmp_path / "team")
    assert {row["study"] for row in board(tmp_path / "team")} == {str(a), str(b)}


def write_sweep(folder: Path, cwd: Path, *overrides: str) -> None:
    given = {"task": list(overrides), "hydra": []}
    hydra = {"sweep": {"dir": str(folder)}, "runtime": {"cwd": str(cwd)}, "overrides": given}
    hydra |= {"sweeper": {"storage": None, "study_name": "search"}}
    sweep = {"hydra": hydra, "study_name": "search", "search": {"n_trials": 5, "storage": None}}
    (folder / "multirun.yaml").write_text(yaml.safe_dump(sweep), encoding="utf-8")


def test_the_search_goes_on_under_the_new_name(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.5)
    write_sweep(a, tmp_path, "data.root=pages", "study_name=ann", "search.n_trials=5")
    said = merge(f"ann={a}", b, out=tmp_path / "team").splitlines()[-1]
    assert f"give the command of ann ({a}) once more" in said
    assert shlex.split(said)[-3:] == ["study_name=team", f"hydra.sweep.dir={tmp_path / 'team'}", "search.n_trials=8"]
    merged = read_config(tmp_path / "team" / "multirun.yaml")
    assert merged.hydra.sweeper.n_trials == 8, "or the report would tell to double what the first study had"


def test_what_overrides_name_in_the_environment_is_not_looked_up(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cret")
    a, b, out = make("a", 0.3), make("b", 0.5), tmp_path / "team"
    write_sweep(a, tmp_path, "data.root=x${oc.env:MY_SECRET}/pages", "study_name=${hydra:job.name}")
    merge(a, b, out=out)
    merge(out, make("c", 0.2), out=tmp_path / "again")
    for folder in (out, tmp_path / "again"):
        task = read_config(folder / "multirun.yaml").hydra.overrides.task
        assert "s3cret" not in str(task[0]) and "${oc.env:MY_SECRET}" in task[0]
