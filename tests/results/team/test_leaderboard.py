"""Who is on the leaderboard, and which trial is the best."""

import csv
from pathlib import Path

import optuna
import pytest
import yaml
from merged_studies import CONFIG, SPACE, Make, board, load, merge, new_study, tell
from optuna.trial import TrialState

from docclf.errors import SpaceError
from docclf.results.report.story import headline
from docclf.results.report.subject import read_subject
from docclf.results.study.judging import judge_finalists


def test_the_leaderboard_says_who_what_where_and_how_long(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.5, *(0.2 + i / 100 for i in range(10)))
    failed = load(b, "search")
    tell(failed, state=TrialState.FAIL, host="hostb")
    tell(failed, 0.95, host="hostb", hardware="TPU", duplicate_of=1)
    text = merge(f"ann={a}", b, out=tmp_path / "team")
    rows = board(tmp_path / "team")
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert len(rows) == 13, "neither the baseline twice, nor a duplicate, nor a failure"
    assert (rows[0]["rank"], rows[0]["who"], rows[0]["trial"], rows[0]["number"]) == ("1", "hostb", "1", "2")
    assert float(rows[0]["spread"]) == pytest.approx(0.2 / 2**0.5, abs=1e-6)
    assert rows[0]["folds"] == "0.400000 0.600000" and rows[0]["hardware"] == "H100, 8 cores"
    ann = next(row for row in rows if row["who"] == "ann")
    assert (ann["host"], ann["study"]) == ("hosta", "search")
    took = sum(t.duration.total_seconds() for t in failed.trials) / 3600  # type: ignore[union-attr]
    assert float(rows[0]["study_hours"]) == pytest.approx(took, abs=1e-4)
    lines = text.splitlines()
    assert lines[0].startswith("ann, study search: 2 complete, ")
    assert lines[1].startswith("hostb, study search: 13 complete, 1 fail, ")
    assert "and 3 more in leaderboard.csv" in lines
    assert next(line for line in lines if line.startswith("1  ")).split()[1:6] == [
        "hostb",
        "search",
        "1",
        "0.500",
        "0.141",
    ]
    with (tmp_path / "team" / "trials.csv").open(encoding="utf-8") as file:
        assert [row["number"] for row in csv.DictReader(file)] == [str(n) for n in range(15)]


def test_a_minimized_value_is_best_when_small(tmp_path: Path) -> None:
    for name, value in {"a": 3.0, "b": 2.0, "c": 4.0}.items():
        study = new_study(tmp_path / name, directions=["minimize"], objective={"seconds": "minimize"})
        tell(study, value, host=name)
    text = merge(*(tmp_path / name for name in "abc"), out=tmp_path / "team")
    assert [row["who"] for row in board(tmp_path / "team")] == ["b", "a", "c"]
    assert "best, by the score of the search: b, study search, trial 0: 2" in text


def finish(folder: Path, scores: dict[int, float], overrides: str = "validation.seed=1042") -> None:
    """Score trials again, as `docclf.sweeper.run.finalists` leaves it."""
    search = load(folder, "search")
    study = optuna.create_study(study_name="search-finalists", storage=search._storage, direction="maximize")
    for number, score in scores.items():
        study.enqueue_trial(search.trials[number].params, user_attrs={"finalist": f"{number} {overrides}"})
        trial = study.ask(SPACE)
        if role := search.trials[number].user_attrs.get("role"):
            trial.set_user_attr("role", role)
        trial.set_user_attr("folds", [score, score + 0.02])
        study.tell(trial, score)
        run = folder / "finalists" / str(trial.number)
        run.mkdir(parents=True)
        (run / "result.yaml").write_text(f"mean: {score}\n")
    study.set_user_attr("current", [f"{number} {overrides}" for number in scores])


def test_where_all_were_scored_again_on_the_same_folds_that_decides(make: Make, tmp_path: Path) -> None:
    a, b, out = make("a", 0.3, 0.4), make("b", 0.9, 0.5), tmp_path / "team"
    finish(a, {0: 0.1, 1: 0.35, 2: 0.45})
    finish(b, {0: 0.15, 1: 0.4})
    text = merge(a, b, out=out)
    assert "best, re-evaluated on other folds: hosta, study search, trial 2: 0.45" in text
    rows = board(out)
    assert [(row["who"], row["trial"], row["rescored"]) for row in rows] == [
        ("hosta", "2", "0.45"),
        ("hostb", "1", "0.4"),
        ("hosta", "1", "0.35"),
        ("hosta", "0", "0.1"),
        ("hostb", "2", ""),
    ]
    assert yaml.safe_load((out / "best/params.yaml").read_text()) == load(a, "search").trials[2].params
    assert (out / "best/result.yaml").read_text() == "mean: 0.45\n", "its run as a finalist"
    finalists = load(out, "team-finalists")
    assert [t.user_attrs["finalist"] for t in finalists.trials] == [
        f"{number} validation.seed=1042" for number in (0, 1, 2, 3)
    ]
    assert [t.value for t in finalists.trials] == [0.1, 0.35, 0.45, 0.4], "the baseline as it was scored first"
    assert (out / "finalists/3/result.yaml").samefile(b / "finalists/1/result.yaml")
    verdict = judge_finalists(load(out), out)
    assert verdict is not None and verdict.number == 2 and verdict.baseline is not None


def test_a_floor_that_beats_all_finalists_is_the_team_s_config_too(make: Make, tmp_path: Path) -> None:
    a, b, out = make("a", 0.3, 0.4), make("b", 0.9), tmp_path / "team"
    finish(a, {0: 0.1, 2: 0.45})
    finish(b, {0: 0.1, 1: 0.4})
    on = "validation.seed=1042"
    finals = load(b, "search-finalists")
    finals.enqueue_trial({}, user_attrs={"finalist": f"1 {on} reference=features", "reference": "features"})
    finals.tell(finals.ask(), 0.6)
    finals.set_user_attr("current", [*finals.user_attrs["current"], f"1 {on} reference=features"])
    run = b / "finalists" / "2"
    (run / ".hydra").mkdir(parents=True)
    (run / "result.yaml").write_text("mean: 0.6\n")
    for name, text in {"config": "made_by: 2", "hydra": "hydra: {runtime: {cwd: x}}"}.items():
        (run / ".hydra" / f"{name}.yaml").write_text(text)
    text = merge(a, b, out=out)
    best = "logistic regression on frozen features, in place of hosta, study search, trial 2: 0.6"
    assert f"best, re-evaluated on other folds: {best}" in text
    assert (
        "Below a floor: the best trial (2) has 0.450, " in text and "floors (same folds): frozen features 0.600" in text
    )
    assert yaml.safe_load((out / "best" / "config.yaml").read_text()) == {"made_by": 2}
    assert (out / "best" / "result.yaml").read_text() == "mean: 0.6\n"
    assert yaml.safe_load((out / "best" / "verdict.yaml").read_text())["exported"] == "features"
    rescored = {(row["who"], row["trial"]): row["rescored"] for row in board(out)}
    assert rescored["hostb", "1"] == "0.4", "the floor's score is not the trial's"


def test_a_study_of_an_earlier_release_merges_with_one_that_says_what_it_trains(make: Make, tmp_path: Path) -> None:
    new = make("b", 0.5, config=CONFIG | {"model.tune": "all", "data.fit": "squeeze"})
    tell(load(new, "search"), 0.6, host="hostb", tune="all", floors={"features": 0.55})
    text = merge(make("a", 0.3), new, out=tmp_path / "team")
    assert [row["tune"] for row in board(tmp_path / "team")] == ["all", "", "", ""]
    assert next(line for line in text.splitlines() if line.lstrip().startswith("who")).split()[-4:-2] == [
        "tune",
        "hardware",
    ]
    header = (tmp_path / "team" / "best" / "params.yaml").read_text()
    assert "# trained: tune=all\n# floors: frozen features 0.550\n" in header
    other = make("c", 0.4, config=CONFIG | {"model.tune": "head"})
    with pytest.raises(SpaceError, match=r"model\.tune: all, head"):
        merge(tmp_path / "a", other, out=tmp_path / "others")


@pytest.mark.parametrize("other", [None, "validation.seed=7"])
def test_where_some_were_not_scored_again_alike_the_search_decides(
    make: Make, tmp_path: Path, other: str | None
) -> None:
    a, b = make("a", 0.3, 0.4), make("b", 0.9, 0.5)
    finish(a, {0: 0.1, 2: 0.45})
    if other:
        finish(b, {0: 0.1, 2: 0.95}, other)
    text = merge(a, b, out=tmp_path / "team")
    assert "best, by the score of the search: hostb, study search, trial 1: 0.9" in text
    rescored = {row["trial"]: row["rescored"] for row in board(tmp_path / "team") if row["who"] == "hosta"}
    assert rescored == {"0": "0.1", "1": "", "2": "0.45"}, "told all the same"
    finalists = load(tmp_path / "team", "team-finalists").trials
    assert [t.user_attrs["finalist"] for t in finalists] == ["0 validation.seed=1042", "2 validation.seed=1042"]
    assert not (tmp_path / "team" / "best" / "result.yaml").exists()
    with (tmp_path / "team" / "trials.csv").open(encoding="utf-8") as file:
        assert [row["rescored"] for row in csv.DictReader(file)][:3] == ["0.1", "", "0.45"]
    subject = read_subject(load(tmp_path / "team"), tmp_path / "team")
    assert headline(subject).text == "Trial 3 is the best: macro_f1 0.900", "as best/ has it"


def test_of_several_objectives_the_front_is_exported(tmp_path: Path) -> None:
    values = {"a": [(0.5, 10.0), (0.4, 20.0)], "b": [(0.6, 30.0), (0.5, 10.0), (0.45, 9.0)]}
    for name, pairs in values.items():
        study = new_study(
            tmp_path / name, directions=["maximize", "minimize"], objective={"f1": "maximize", "s": "minimize"}
        )
        for pair in pairs:
            tell(study, pair, host=name, folder=tmp_path / name)
    text = merge(tmp_path / "a", tmp_path / "b", out=tmp_path / "team")
    front = {str(trial.number) for trial in load(tmp_path / "team").best_trials}
    assert front == {"0", "2", "3", "4"} == {path.name for path in (tmp_path / "team/best").iterdir()}
    rows = board(tmp_path / "team")
    assert [(row["f1"], row["s"]) for row in rows][-1] == ("0.4", "20.0"), "which others beat"
    assert rows[0]["who"] == "b" and "b, study search, trial 2: 0.45, 9" in text


def test_trials_that_break_a_constraint_are_not_the_best(make: Make, tmp_path: Path) -> None:
    a = make("a", 0.3)
    study = load(a, "search")
    tell(study, 0.99, constraints={"seconds": 1.0})
    merge(a, make("b", 0.5), out=tmp_path / "team")
    assert [row["score"] for row in board(tmp_path / "team")] == ["0.5", "0.3", "0.1"]


def test_a_team_without_a_score_is_told_so(tmp_path: Path) -> None:
    for name in "ab":
        tell(new_study(tmp_path / name), state=TrialState.FAIL, host=name)
    text = merge(tmp_path / "a", tmp_path / "b", out=tmp_path / "team")
    assert "No trial was scored that keeps to the constraints." in text
    assert board(tmp_path / "team") == [] and not (tmp_path / "team" / "best").exists()
