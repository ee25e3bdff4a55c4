"""Searches above and below their floors, and such as have none: all files and lines that say so."""

import csv
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_runs import LABELS, make_run
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from docclf.compare import main as compare
from docclf.results.quality.comparison import compare_runs
from docclf.results.report.page import write_report
from docclf.results.study.export import export

Compose = Callable[..., DictConfig]
Answers = Callable[..., NDArray[Any]]
PIXELS, HEAD = "logistic regression on 24 x 24 grey pixels", "logistic regression on frozen features of resnet18, 96 px"


def floors(pixels: float, features: float, **more: Any) -> dict[str, Any]:
    """Floors as `result.yaml` has them."""
    measured = {"pixels": (pixels, PIXELS), "features": (features, HEAD)}
    facts = {name: {"mean": m, "folds": [m, m], "pooled": m, "what": what} for name, (m, what) in measured.items()}
    facts["pixels"] |= {"seconds": 0.6}
    return {name: its | more for name, its in facts.items()}


class Search:
    """A search of three trials with everything that it leaves but its results.

    Args:
        make: The class of made-up finals.
        compose: Composes a config.
        cwd: Where it was started.
        **attributes: User attributes of its trials.
    """

    def __init__(self, make: Any, compose: Compose, cwd: Path, *overrides: str, **attributes: Any) -> None:
        given = ["hparams_search=optuna", "study_name=s", *overrides]
        self.config = compose(*given, hydra=True)
        OmegaConf.set_readonly(self.config, False)
        OmegaConf.update(self.config, "hydra.runtime.cwd", str(cwd), force_add=True)
        self.folder = cwd / "multirun" / "s"
        self.finals = make(self.folder, **attributes)
        (self.folder / "multirun.yaml").touch()
        self.finals.study.set_user_attr("config", '{"data.image_size": "96", "data": "csv"}')
        self.trial_config = compose(*given)
        for number in range(3):
            self.write_config(self.folder / str(number))

    def write_config(self, run: Path, **changes: Any) -> None:
        (run / ".hydra").mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.merge(self.trial_config, changes), run / ".hydra" / "config.yaml")

    def export(self, caplog: pytest.LogCaptureFixture) -> str:
        """Export the search; what it says on the screen."""
        with caplog.at_level(logging.INFO):
            export(self.config, self.folder)
        return "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("docclf"))

    @property
    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.folder / "best" / "verdict.yaml").read_text(encoding="utf-8"))
        return found

    @property
    def first_screen(self) -> str:
        text = (self.folder / "report.html").read_text(encoding="utf-8")
        return " ".join(re.sub(r"<[^>]+>", " ", text.partition('id="main">')[2].partition("<main")[0]).split())


@pytest.fixture
def make_search(finals: Any, compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a `Search`, whose report is written too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["python", *["-m", "docclf.train", "-m", "data=csv", "search.n_trials=3"]])

    def make(*overrides: str, **attributes: Any) -> Search:
        return Search(type(finals), compose_config, tmp_path, *overrides, **attributes)

    return make


def test_above_its_floors_a_search_tells_them_and_exports_its_winner(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search(tune="all", kept="average", weights="random", floors={"pixels": 0.3, "features": 0.6})
    search.finals.score(0, 0.6, answers(36, seed=1), floors=floors(0.412, 0.701))
    search.finals.score(2, 0.95, answers(57, seed=2), floors=floors(0.412, 0.701), tune="all", kept="net")
    said = search.export(caplog)
    assert "  floors (same folds): pixels 0.412, frozen features 0.701\n  trial 2: 0.950" in said
    assert "\n  baseline: 0.600" in said and "Below a floor" not in said
    verdict = search.verdict
    assert (verdict["beats_baseline"], verdict["below_floor"], verdict["exported"]) == (True, False, "winner")
    assert verdict["floors"]["features"] == {"mean": 0.701, "pooled": 0.701, "folds": [0.701, 0.701], "what": HEAD}
    header = (search.folder / "best" / "config.yaml").read_text(encoding="utf-8")
    assert "# trained: tune=all, kept=net\n" in header, "as the finalist was"
    assert "# floors: pixels 0.412, frozen features 0.701\n" in header
    assert "# warning" not in header
    with (search.folder / "trials.csv").open(encoding="utf-8") as file:
        row = list(csv.DictReader(file))[2]
    assert (row["tune"], row["kept"], row["weights"]) == ("all", "average", "random")
    assert (row["floor_pixels"], row["floor_features"], row["rescored"]) == ("0.3", "0.6", "0.95")
    rows = [f"pixels {PIXELS}", "0.412", f"frozen features {HEAD}", "0.701", "baseline", "0.600", "winner, trial 2"]
    assert re.search(
        ".*".join(map(re.escape, [*rows, "exported", "trained: all, kept: net", "0.950"])), search.first_screen
    )


def test_below_the_features_floor_its_run_is_exported_and_the_first_line_says_so(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search(tune="all", floors={"pixels": 0.3, "features": 0.9})
    search.finals.score(0, 0.6, answers(36, seed=1), floors=floors(0.412, 0.92))
    search.finals.score(2, 0.88, answers(52, seed=2), floors=floors(0.412, 0.92))
    n = search.finals.score(2, 0.921, answers(55, seed=3), reference="features", tune="head")
    search.write_config(search.folder / "finalists" / str(n), seed=7)
    said = search.export(caplog).strip().splitlines()
    warning = "Below a floor: the best trial (2) has 0.880, logistic regression on frozen features 0.921."
    assert said[0] == f"{warning} Exported is the latter."
    assert (
        "  logistic regression on frozen features, exported in its place: 0.921 (folds 0.821, 1.021; pooled 0.921)"
        in said
    )
    assert "  # train logistic regression on frozen features; scored on test pages that have labels" in said
    advice = "Try model.tune=head, more epochs (validation.epochs), or larger pages (data.image_size)."
    assert said[1] == advice and advice in search.first_screen
    verdict = search.verdict
    assert (verdict["below_floor"], verdict["exported"], verdict["trial"]) == (True, "features", 2)
    assert verdict["winner"]["folder"] == "finalists/1"
    assert verdict["reference"]["folder"] == verdict["run"] == f"finalists/{n}"
    assert verdict["floors"]["features"]["mean"] == 0.921, "as the finalist that it was run as scores"
    assert verdict["floors"]["features"]["what"] == HEAD
    best = search.folder / "best"
    assert yaml.safe_load((best / "result.yaml").read_text(encoding="utf-8"))["tune"] == "head"
    text = (best / "config.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["seed"] == 7 and f"# warning: {said[0]}\n" in text
    assert "# study: s, logistic regression on frozen features, as a finalist, in place of trial 2\n" in text
    assert warning.rstrip(".") in search.first_screen and "frozen features, exported" in search.first_screen
    page = (search.folder / "finalists" / str(n) / "index.html").read_text(encoding="utf-8")
    assert "<h1>Logistic regression on frozen features: " in page and "head" in page


def test_below_a_floor_that_was_not_run_the_best_trial_is_exported_all_the_same(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search("finalists.top_k=1")
    search.finals.score(2, 0.88, answers(52), floors=floors(0.412, 0.921))
    said = search.export(caplog)
    assert "frozen features 0.921. Exported is trial 2 all the same." in said
    assert search.verdict["below_floor"] is True and search.verdict["exported"] == "winner"
    assert "reference" not in search.verdict


def test_a_reference_that_the_winner_beats_changes_nothing(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search()
    search.finals.score(2, 0.95, answers(57), floors=floors(0.412, 0.92))
    search.finals.score(2, 0.93, answers(55), reference="features")
    said = search.export(caplog)
    verdict = search.verdict
    assert (verdict["exported"], verdict["below_floor"], verdict["trial"]) == ("winner", False, 2)
    assert "floors (same folds): pixels 0.412, frozen features 0.930" in said


def test_a_floor_that_its_own_run_does_not_reach_is_not_lowered_by_it(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search()
    search.finals.score(2, 0.95, answers(57), floors=floors(0.412, 0.97))
    search.finals.score(2, 0.93, answers(55), reference="features")
    said, verdict = search.export(caplog), search.verdict
    assert (verdict["exported"], verdict["below_floor"]) == ("winner", True)
    assert "frozen features 0.970. Exported is trial 2 all the same." in said


def test_below_the_pixel_floor_without_finalists_the_pages_are_to_be_checked(
    make_search: Any, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search("finalists.top_k=0", "data=csv", floors={"pixels": 0.8, "features": 0.75}, tune="head")
    said = search.export(caplog).strip().splitlines()
    warning = "Below a floor: the best trial (2) has 0.700, logistic regression on pixels 0.800."
    assert said[0] == f"{warning} Exported is trial 2 all the same."
    assert said[1].startswith("It learns less than a thumbnail shows: check the pages (python -m docclf.data), then ")
    verdict = search.verdict
    assert (verdict["below_floor"], verdict["beats_baseline"], verdict["trial"]) == (True, False, 2)
    assert verdict["floors"] == {"pixels": {"mean": 0.8}, "features": {"mean": 0.75}}
    assert (verdict["winner"]["folder"], verdict["baseline"]["folder"]) == ("2", "0")
    assert warning.rstrip(".") in search.first_screen


def test_results_of_earlier_releases_have_no_floors(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    search = make_search()
    search.finals.score(0, 0.6, answers(36, seed=1))
    search.finals.score(2, 0.95, answers(57, seed=2))
    said = search.export(caplog)
    assert "loor" not in said and "loor" not in search.first_screen
    verdict = search.verdict
    assert verdict["floors"] == {} and verdict["below_floor"] is False and verdict["beats_baseline"] is True
    with (search.folder / "trials.csv").open(encoding="utf-8") as file:
        assert not {"tune", "kept", "weights", "floor_pixels"} & set(next(csv.reader(file)))
    assert compare([str(search.folder), "--anyway"]) == 0 and "loor" not in capsys.readouterr().out


def test_floors_of_other_finalists_count_where_they_have_the_same_folds(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search()
    given = [(0, 0.6, 0.9), (2, 0.8, 0.7)]
    numbers = [search.finals.score(i, value, answers(40), floors=floors(0.4, head)) for i, value, head in given]
    search.export(caplog)
    assert search.verdict["floors"]["features"]["mean"] == 0.7, "the folds of the other are not known"
    for number in numbers:
        (search.folder / "finalists" / str(number) / "folds.csv").write_text("ID,fold\n0.png,0\n")
    search.export(caplog)
    assert search.verdict["floors"]["features"]["mean"] == 0.9 and search.verdict["below_floor"] is True


def test_a_damaged_result_costs_the_details_of_floors_alone(
    make_search: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    search = make_search("finalists.top_k=0", floors={"pixels": 0.4, "features": "?"}, tune="<b>all</b>")
    (search.folder / "2" / "result.yaml").write_text("floors: {pixels: [")
    said = search.export(caplog)
    assert "floors (same folds): pixels 0.400\n" in said and search.verdict["floors"] == {"pixels": {"mean": 0.4}}
    text = write_report(search.finals.study, search.folder).read_text(encoding="utf-8")
    assert "<b>all</b>" not in text


def test_compare_tells_the_floors_of_each_run(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", LABELS, tune="all", kept="net", floors=floors(0.412, 0.921))
    text = compare_runs(a, make_run(tmp_path / "b", LABELS))
    assert "   trained: tune=all, kept=net\n   floors: pixels 0.412, frozen features 0.921\nB  " in text
    assert text.count("floors: ") == 1
