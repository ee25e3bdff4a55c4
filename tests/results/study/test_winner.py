"""What `best/` holds of the winner's run, when another one wins, and whose models stay."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from docclf.results.study.winner import place_winner
from docclf.sweeper.study.finalists import scored_alike

Answers = Callable[..., NDArray[np.int64]]
RUN = [".hydra", "model", "oof.csv", "result.yaml", "train.log"]
OWN = ["config.yaml", "params.yaml", "verdict.yaml"]
ON = ["validation.seed=43"]  # as the finalists of conftest.py are scored


class Won:
    """A search whose trial 1 wins, then trial 2."""

    def __init__(self, finals: Any, answers: Answers) -> None:
        self.finals, self.answers = finals, answers
        self.best = finals.folder / "best"
        self.best.mkdir()
        for name in OWN[:2]:
            (self.best / name).write_text("of the export")
        finals.score(0, 0.5, answers(30), model=True)
        finals.score(1, 0.7, answers(42), model=True)

    def export(self, keep: str = "winner") -> None:
        alike = [finalist.number for finalist in scored_alike(self.finals.study)]
        place_winner(self.finals.folder, self.finals.verdict, keep, alike)

    def surpass(self) -> None:
        self.finals.score(2, 0.9, self.answers(57), model=True)

    def lose_run(self) -> None:
        shutil.rmtree(self.finals.folder / "finalists" / "1")

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.best.iterdir())

    @property
    def models(self) -> list[str]:
        return sorted(path.parent.name for path in (self.finals.folder / "finalists").glob("*/model"))

    def text(self, name: str) -> str:
        return (self.best / name).read_text(encoding="utf-8")


@pytest.fixture
def won(finals: Any, answers: Answers) -> Won:
    return Won(finals, answers)


def test_best_has_the_winner_s_run_beside_the_exported_config(won: Won) -> None:
    won.export()
    assert won.files == sorted([*RUN, *OWN])
    assert won.text("train.log") == "finalist 1\n" and won.text(".hydra/config.yaml") == "seed: 1\n"
    assert won.text("model/fold_0.safetensors") == "fold_0.safetensors of 1"
    assert won.text("config.yaml") == "of the export"
    verdict = yaml.safe_load(won.text("verdict.yaml"))
    assert verdict.pop("files") == RUN
    assert verdict == won.finals.verdict.to_dict()


def test_a_model_takes_its_room_once(won: Won) -> None:
    won.export()
    source = won.finals.folder / "finalists" / "1"
    for name in ("oof.csv", "model/fold_0.safetensors"):
        assert (won.best / name).samefile(source / name)


def test_where_the_disk_links_nothing_files_are_copied(won: Won, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    won.export()
    source = won.finals.folder / "finalists" / "1"
    for name in ("oof.csv", "model/fold_0.safetensors"):
        assert not (won.best / name).samefile(source / name)
        assert (won.best / name).read_bytes() == (source / name).read_bytes()


def test_exporting_again_changes_nothing(won: Won) -> None:
    won.export()
    before = {path: path.read_bytes() for path in won.best.rglob("*") if path.is_file()}
    won.export()
    assert {path: path.read_bytes() for path in won.best.rglob("*") if path.is_file()} == before


def test_what_is_half_exported_is_made_whole(won: Won) -> None:
    """As after a crash between the files."""
    won.export()
    (won.best / "oof.csv").unlink()
    (won.best / "model" / "model.yaml").unlink()
    won.export()
    assert won.files == sorted([*RUN, *OWN]) and won.text("model/model.yaml") == "model.yaml of 1"


def test_the_former_winner_s_files_go_and_the_user_s_own_stay(won: Won) -> None:
    (won.finals.folder / "finalists" / "1" / "only_of_1.png").touch()
    won.export("all")
    (won.best / "exported").mkdir()
    (won.best / "exported" / "model.onnx").touch()
    (won.best / "my notes.txt").write_text("mine")
    assert "only_of_1.png" in won.files
    won.surpass()
    won.export("all")
    assert won.files == sorted([*RUN, *OWN, "exported", "my notes.txt"])
    assert won.text("train.log") == "finalist 2\n" and won.text("model/model.yaml") == "model.yaml of 2"
    assert (won.best / "exported" / "model.onnx").is_file() and won.text("my notes.txt") == "mine"
    former = won.finals.folder / "finalists" / "1" / "train.log"
    assert former.read_text() == "finalist 1\n", "its own file is as it was"


@pytest.mark.parametrize(
    ("keep", "models"), [("winner", ["1"]), ("finalists", ["0", "1"]), ("all", ["0", "1"]), ("none", [])]
)
def test_keep_says_whose_models_stay(won: Won, keep: str, models: list[str]) -> None:
    won.export(keep)
    assert won.models == models
    assert (won.best / "model").exists() is (keep != "none")
    assert (won.finals.folder / "finalists" / "0" / "oof.csv").is_file(), "nothing but models goes"
    won.export(keep)
    assert won.models == models and (won.best / "model").exists() is (keep != "none")


def test_a_model_that_shall_not_stay_any_more_goes(won: Won) -> None:
    won.export()
    won.export("none")
    assert won.models == [] and won.files == sorted([*RUN[:1], *RUN[2:], *OWN])


def test_a_winner_without_a_model_leaves_none_of_the_former_one(won: Won) -> None:
    won.export()
    won.finals.score(2, 0.9, won.answers(57))
    won.export()
    assert won.files == sorted([*RUN[:1], *RUN[2:], *OWN]) and won.models == []


def test_the_winner_of_another_validation_keeps_its_model_and_wins_again_with_it(won: Won) -> None:
    won.export()
    full = ["validation=full"]
    won.finals.score(1, 0.4, won.answers(42), how=full, model=True)
    won.finals.score(2, 0.9, won.answers(57), how=full, model=True)
    won.export()
    assert won.models == ["1", "3"] and won.text("model/model.yaml") == "model.yaml of 3"
    won.finals.finalists.set_user_attr("current", [f"{number} {' '.join(ON)}" for number in range(2)])
    won.export()
    assert won.text("model/model.yaml") == "model.yaml of 1"
    won.export("none")
    assert won.models == []


@pytest.mark.parametrize("what", ["model", "."])
def test_what_is_left_in_best_alone_stays_as_long_as_the_same_one_wins(won: Won, what: str) -> None:
    won.export()
    shutil.rmtree(won.finals.folder / "finalists" / "1" / what)
    for _ in range(2):
        won.export()
        assert won.files == sorted([*RUN, *OWN]) and won.text("model/model.yaml") == "model.yaml of 1"
    won.surpass()
    won.export()
    assert won.text("model/model.yaml") == "model.yaml of 2"


def test_a_verdict_of_an_earlier_release_names_its_run_by_its_trial(won: Won) -> None:
    won.export()
    verdict = yaml.safe_load(won.text("verdict.yaml"))
    assert verdict.pop("run") == "finalists/1"
    (won.best / "verdict.yaml").write_text(yaml.safe_dump(verdict), encoding="utf-8")
    shutil.rmtree(won.finals.folder / "finalists" / "1" / "model")
    won.export()
    assert won.text("model/model.yaml") == "model.yaml of 1", "the same one wins, and its model is here alone"


def test_a_winner_whose_run_is_on_another_machine_has_a_verdict_and_no_files(won: Won) -> None:
    won.lose_run()
    won.export()
    assert won.files == OWN and yaml.safe_load(won.text("verdict.yaml"))["files"] == []


def test_models_that_were_moved_and_linked_are_not_followed(won: Won, tmp_path: Path) -> None:
    """A link to another disk goes; what it leads to is the user's, and is not copied."""
    won.export("all")
    for number in ("0", "1"):
        model = won.finals.folder / "finalists" / number / "model"
        model.rename(tmp_path / number)
        model.symlink_to(tmp_path / number)
    won.export()
    assert won.models == ["1"] and won.text("model/model.yaml") == "model.yaml of 1"
    won.export("none")
    assert won.models == [] and (tmp_path / "0" / "model.yaml").is_file() and (tmp_path / "1" / "model.yaml").is_file()


@pytest.mark.parametrize("left", ["", "trial: [", "- a"])
def test_a_verdict_that_was_cut_off_is_written_anew(left: str, won: Won) -> None:
    won.export()
    (won.best / "verdict.yaml").write_text(left)
    won.export()
    assert won.files == sorted([*RUN, *OWN]) and yaml.safe_load(won.text("verdict.yaml"))["files"] == RUN
