"""Studies that a merge refuses, and how it says so."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from merged_studies import CONFIG, FACTS, SPACE, Make, board, load, merge, new_study, origins, read_table, tell
from omegaconf import OmegaConf
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from docclf.api import SearchResult
from docclf.errors import ConfigError, SpaceError
from docclf.results.report.story import facts_of, headline
from docclf.results.report.subject import read_subject
from docclf.sweeper.study.trials import best_trials, front_of, last_improvement


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({"facts": FACTS | {"data": "d2"}}, "  data: d1, d2\n"),
        pytest.param({"facts": FACTS | {"folds": "f2"}}, "  folds: f1, f2\n", marks=pytest.mark.slow),
        pytest.param({"objective": {}}, "  macro_f1: maximize, nothing\n", marks=pytest.mark.slow),
        pytest.param(
            {"config": CONFIG | {"validation.folds": "5"}}, "  validation.folds: 3, 5\n", marks=pytest.mark.slow
        ),
    ],
)
def test_scores_that_cannot_be_compared_are_refused_and_marked_anyway(
    make: Make, tmp_path: Path, records: dict[str, Any], said: str
) -> None:
    a, b, c = make("a", 0.3), make("b", 0.9, **records), make("c", 0.5)
    with pytest.raises(SpaceError) as refused:
        merge(a, c, b, out=tmp_path / "team")
    assert f"got others in {a} and {b}:\n{said}" in str(refused.value) and "--anyway" in str(refused.value)
    assert not (tmp_path / "team").exists()

    text = merge(a, b, c, out=tmp_path / "team", anyway=True)
    assert f"{b}: scores cannot be compared with those of {a}, marked * ({said.strip()})." in text
    rows = board(tmp_path / "team")
    assert [(row["rank"], row["who"], row["comparable"]) for row in rows] == [
        ("1", "hostc", "yes"),
        ("2", "hosta", "yes"),
        ("3", "hosta", "yes"),
        ("", "hostb", "no"),
        ("", "hostb", "no"),
    ]
    trials = load(tmp_path / "team").trials
    assert best_trials(trials, StudyDirection.MAXIMIZE) == [trials[n] for n in (4, 1, 0)]
    assert [t.user_attrs.get("not_comparable") for t in trials] == [None, None, True, True, None]
    assert "best, by the score of the search: hostc, study search, trial 1: 0.5" in text
    subject = read_subject(load(tmp_path / "team"), tmp_path / "team")
    assert "Trial 4 is the best: macro_f1 0.500" in headline(subject).text
    assert [row["comparable"] for row in read_table(tmp_path / "team" / "trials.csv")] == 2 * ["yes"] + 2 * ["no"] + [
        "yes"
    ]
    sweep = {"sweep": {"dir": "team"}, "runtime": {"cwd": "."}, "sweeper": {"storage": None, "study_name": "team"}}
    (tmp_path / "team" / "multirun.yaml").write_text(yaml.safe_dump({"hydra": sweep}), encoding="utf-8")
    assert SearchResult(tmp_path / "team", tmp_path, {}).best_value == 0.5
    assert last_improvement(trials, subject.directions) == 0, "since trial 4"
    merge(tmp_path / "team", make("d", 0.2), out=tmp_path / "again")
    assert [row["comparable"] for row in board(tmp_path / "again")].count("no") == 2, "in a merge of the merge too"


def test_studies_from_before_and_after_a_renaming_are_one_search(make: Make, tmp_path: Path) -> None:
    key, names = "data.reader._target_", ("docclf.data.pages.read_csv", "docclf.data.readers.read_csv")
    a, b = (make("ab"[i], 0.3, config=CONFIG | {key: name}) for i, name in enumerate(names))
    merge(a, b, out=tmp_path / "team")
    assert board(tmp_path / "team")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({"config": CONFIG | {"model.name": "swin_tiny"}}, "  model.name: mobilenet, swin_tiny\n"),
        ({"space": SPACE | {"optimizer.lr": FloatDistribution(1e-5, 0.5, log=True)}}, "1e-05..0.5 (log)\n"),
        ({"space": SPACE | {"model.drop_rate": FloatDistribution(0, 1)}}, "  model.drop_rate: nothing, 0.0..1.0\n"),
    ],
)
def test_other_spaces_and_configs_are_refused(make: Make, tmp_path: Path, records: dict[str, Any], said: str) -> None:
    a, b = make("a", 0.3), make("b", 0.9, **records)
    with pytest.raises(SpaceError) as refused:
        merge(a, f"bob={b}", out=tmp_path / "team")
    assert f"got others in {a} and bob ({b}):" in str(refused.value)
    assert said in str(refused.value) and "--anyway" in str(refused.value)


def test_anyway_what_fits_the_first_space_is_in_the_study_and_all_on_the_leaderboard(
    make: Make, tmp_path: Path
) -> None:
    wide = {"optimizer.lr": FloatDistribution(1e-5, 1, log=True), "model.drop_rate": FloatDistribution(0, 1)}
    config = CONFIG | {"data.batch_size": "32"}
    del config["model.drop_rate"]
    b = tmp_path / "b"
    study = new_study(b, space=wide, config=config)
    fits = tell(study, 0.4, folder=b, host="hostb", params={"optimizer.lr": 0.01, "model.drop_rate": 0.0})
    tell(study, 0.5, folder=b, host="hostb", params={"optimizer.lr": 0.01, "model.drop_rate": 0.5})
    other = {"optimizer.lr": wide["optimizer.lr"], "model.drop_rate": wide["model.drop_rate"]}
    study.add_trial(
        create_trial(
            value=0.8,
            params={"optimizer.lr": 0.5, "model.drop_rate": 0.0},
            distributions=other,
            user_attrs={"owner": "hostb:1:2"},
        )
    )
    text = merge(make("a", 0.3), b, out=tmp_path / "team", anyway=True)
    merged = load(tmp_path / "team").trials
    assert origins(tmp_path / "team") == [("hosta", 0), ("hosta", 1), ("hostb", 0)]
    assert merged[2].params == {"optimizer.lr": 0.01, "data.batch_size": 32}, "which was fixed there"
    assert merged[2].distributions == SPACE and merged[2].value == fits.value
    assert f"{b}: 2 of 3 trials do not fit the space and the config of {tmp_path / 'a'}" in text
    assert [(row["score"], row["number"]) for row in board(tmp_path / "team")][:3] == [
        ("0.8", ""),
        ("0.5", ""),
        ("0.4", "2"),
    ]
    assert yaml.safe_load((tmp_path / "team/best/params.yaml").read_text())["optimizer.lr"] == 0.5
    header = (tmp_path / "team/best/params.yaml").read_text().splitlines()
    assert header[:2] == [
        "# study: team, which it does not fit of 3, merged",
        "# from: hostb, study search, trial 2, on hostb",
    ]


def test_another_model_is_on_the_leaderboard_alone(make: Make, tmp_path: Path) -> None:
    b = make("b", 0.9, config=CONFIG | {"model.name": "swin_tiny"})
    merge(make("a", 0.3), b, out=tmp_path / "team", anyway=True)
    assert {who for who, _ in origins(tmp_path / "team")} == {"hosta"}
    assert board(tmp_path / "team")[0]["who"] == "hostb"
    assert OmegaConf.load(tmp_path / "team/best/config.yaml").of == str(b)


def test_other_directions_are_refused_anyway(make: Make, tmp_path: Path) -> None:
    b = make("b", 0.9, directions=["minimize"])
    with pytest.raises(ConfigError, match=r"got maximize in .*a and minimize in .*b. One study cannot hold both"):
        merge(make("a", 0.3), b, out=tmp_path / "team", anyway=True)


def test_scores_that_cannot_be_compared_are_not_on_the_pareto_front(tmp_path: Path) -> None:
    values = {"a": [(0.5, 10.0), (0.4, 20.0)], "b": [(0.9, 5.0)], "c": [(0.6, 30.0)]}
    for name, pairs in values.items():
        objective = {"f1": "maximize", "s": "minimize"}
        facts = FACTS | ({"data": "d2"} if name == "b" else {})
        directions = ["maximize", "minimize"]
        study = new_study(tmp_path / name, directions=directions, objective=objective, facts=facts)
        for pair in pairs:
            tell(study, pair, host=name, folder=tmp_path / name)
    out = tmp_path / "team"
    merge(*(tmp_path / name for name in values), out=out, anyway=True)
    assert [trial.number for trial in front_of(load(out))] == [0, 3]
    assert {path.name for path in (out / "best").iterdir()} == {"0", "3"}
    subject = read_subject(load(out), out)
    assert headline(subject).text == "2 trials are on the Pareto front"
    assert [number for number, _, _ in facts_of(subject, {}, {})["front"]] == [3, 0]


def test_a_study_of_another_program_needs_anyway(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.9, space={}, objective=None, facts=None, config=None)
    load(b, "search").set_user_attr("space", "the final frontier")
    with pytest.raises(ConfigError, match=f"got {b}, which does not say on what data it was scored"):
        merge(b, a, out=tmp_path / "team")
    merge(b, a, out=tmp_path / "team", anyway=True)
    assert [row["comparable"] for row in board(tmp_path / "team")] == ["yes", "yes", "no", "no"]
    assert json.loads(load(tmp_path / "team").user_attrs["facts"]) == FACTS, "with which the search can go on"
    assert [who for who, _ in origins(tmp_path / "team")] == ["hostb", "hostb", "hosta", "hosta"]


@pytest.mark.slow
def test_what_cannot_be_read_is_refused_with_a_sentence(make: Make, tmp_path: Path) -> None:
    a = make("a", 0.3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.db").write_text("no database")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE pages (id)")
    new_study(tmp_path / "none")
    tell(load(tmp_path / "none", "search"), state=TrialState.RUNNING)
    two = new_study(tmp_path / "two", "x")
    tell(two, 0.5)
    new_study(tmp_path / "two", "y")
    refusals = {
        "nowhere": "no such file",
        "empty": "Expected study.db for the search in",
        "text.db": "text.db: DatabaseError: file is not a database",
        "other.db": "Expected one study in .*other.db, got none",
        "none": "Expected studies with finished trials, got none in .*none. Leave it out",
        "two": "Expected one study in .*two, got x, y. Name one by its storage URL with #NAME",
    }
    for name, message in refusals.items():
        with pytest.raises(ConfigError, match=message):
            merge(a, tmp_path / name, out=tmp_path / "team")
    with pytest.raises(ConfigError, match=r"got x, y|a study `z`"):
        merge(a, f"sqlite:///{tmp_path}/two/study.db#z", out=tmp_path / "team")
    with pytest.raises(ConfigError, match="at least two studies"):
        merge(a, out=tmp_path / "team")
    with pytest.raises(ConfigError) as refused:
        merge(a, "postgresql://me:secret@localhost:1/db#x", out=tmp_path / "team")
    assert "secret" not in str(refused.value) and "postgresql://me@localhost:1/db" in str(refused.value)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("pages",)], "nothing was made there"
    assert not (tmp_path / "nowhere").exists() and not (tmp_path / "empty" / "study.db").exists()
    assert not (tmp_path / "team").exists()
    merge(a, f"sqlite:///{tmp_path}/two/study.db#x", out=tmp_path / "team")
