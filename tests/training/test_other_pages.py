"""A search says how test pages differ, which option answers it, and leaves it in its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import python
from omegaconf import DictConfig
from other_pages import blur, same, skew, write_letters
from slowly import slowly

from docclf.data.looks.other_pages import KINDS, Difference
from docclf.results.quality.shift import read_shift
from docclf.training.other_pages import answer

SMALL = ("data=csv", "model.name=test_resnet", "model.pretrained=false", "data.image_size=96", "logger=none")


def differ(kind: str, test: float = 1.0) -> Difference:
    return Difference(kind, KINDS[kind].more or KINDS[kind].less, 0.0, test, 0.5)


@pytest.mark.parametrize(
    ("overrides", "differences", "said"),
    [
        ([], [], ""),
        ([], [differ("size")], ""),
        ([], [differ("turned")], "Say validation.augment=photo augment=photo."),
        ([], [differ("sharpness")], "Say validation.augment=scan augment=scan."),
        *slowly(
            ([], [differ("skew", 3.0)], "Say validation.augment=scan."),  # augment=light turns by 5 degrees
            ([], [differ("skew", 8.0)], "Say validation.augment=scan augment=scan."),
            ([], [differ("skew", 12.0)], "Say validation.augment=photo augment=photo."),
            (
                [],
                [differ("shading"), differ("noise"), differ("sharpness")],
                "Say validation.augment=photo augment=photo.",
            ),
            ([], [differ("aspect")], "Say model.head.aspect=false."),
            (["model.head.aspect=false"], [differ("aspect")], ""),
            (["validation.augment=photo"], [differ("noise")], "Say augment=scan."),
            (["augment=photo"], [differ("turned")], "Say validation.augment=photo."),
            (
                ["validation.augment=scan", "augment=scan"],
                [differ("turned")],
                "Say validation.augment=photo augment=photo.",
            ),
            (
                ["validation.augment=photo", "augment=photo"],
                [differ("turned"), differ("skew", 9.0)],
                "augment and validation.augment are set for it.",
            ),
        ),
    ],
)
def test_the_option_that_answers_is_named(
    compose_config: Callable[..., DictConfig], overrides: list[str], differences: list[Difference], said: str
) -> None:
    assert answer(compose_config("data=csv", "data.root=x", *overrides), differences) == said
    options = [word for word in said.rstrip(".").split() if "=" in word]
    compose_config("data=csv", "data.root=x", *options), "what is named can be said"


def run(cwd: Path, *arguments: str) -> str:
    status, output = python(*arguments, cwd=cwd)
    assert status == 0, output
    return output


@pytest.mark.slow
def test_looking_at_pages_compares_them(tmp_path: Path) -> None:
    root = write_letters(tmp_path / "pages", blur)
    output = run(tmp_path, "docclf.data", *SMALL, f"data.root='{root}'", "data.near_duplicates=null")
    assert "test pages look different from training pages: AUC " in output and "of test_resnet, 96 px" in output
    assert "they are blurred (" in output and "Say validation.augment=scan augment=scan." in output
    (picture,) = (tmp_path / "outputs").rglob("test_pages.png")
    assert str(picture.relative_to(tmp_path)) in output


@pytest.mark.slow
def test_looking_at_pages_that_look_alike_says_so(tmp_path: Path) -> None:
    root = write_letters(tmp_path / "pages", same)
    output = run(tmp_path, "docclf.data", *SMALL, f"data.root='{root}'", "data.near_duplicates=null")
    assert "test pages look like training pages: AUC 0." in output and "Say " not in output
    assert not list((tmp_path / "outputs").rglob("test_pages.png"))


@pytest.mark.slow
def test_a_search_says_it_before_its_first_trial_and_shows_it_in_report_and_verdict(tmp_path: Path) -> None:
    root = write_letters(tmp_path / "pages", skew)
    command = ["docclf.train", "-m", "hparams_search=head", *SMALL, f"data.root='{root}'", "data.near_duplicates=null"]
    output = run(tmp_path, *command, "search.n_trials=1", "finalists.top_k=0", "search.workers=1")
    lines = output.splitlines()
    (said,) = (i for i, line in enumerate(lines) if "Test pages differ from training pages: they are skewed (" in line)
    assert "Say validation.augment=scan augment=scan." in lines[said]
    assert said < next(i for i, line in enumerate(lines) if line.startswith("trial 0"))
    folder = tmp_path / "multirun" / "search"
    facts = read_shift(folder)
    assert [one["kind"] for one in facts["differences"]] == ["skew"]
    assert facts["auc"]["low"] <= facts["auc"]["value"] <= facts["auc"]["high"]
    assert len(facts["most_unlike"]) == 10 and all(name.startswith("test ") for name in facts["most_unlike"])
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "Most unlike the training pages" in report and "data:image/png;base64," in report
    verdict = yaml.safe_load((folder / "best" / "verdict.yaml").read_text(encoding="utf-8"))
    assert verdict["test_pages"]["auc"] == facts["auc"]
    written = (folder / "test_pages.yaml").stat().st_mtime_ns
    again = run(tmp_path, *command, "search.n_trials=2", "finalists.top_k=0", "search.workers=1")
    assert "Test pages differ from training pages" in again
    assert (folder / "test_pages.yaml").stat().st_mtime_ns == written, "and it is compared once a study"


@pytest.mark.parametrize("content", ["", "[1]", "auc: 3", "auc: {value: x, low: 1, high: 1}", "differences: []", ": {"])
def test_a_damaged_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "test_pages.yaml").write_text(content)
    assert read_shift(tmp_path) == {} == read_shift(None)


def test_a_link_out_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    facts: dict[str, Any] = {"differences": [], "answer": "", "auc": {"value": 1, "low": 1, "high": 1, "features": "x"}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(facts))
    assert read_shift(tmp_path) == {}
    (tmp_path / "test_pages.yaml").symlink_to(tmp_path / "other.yaml")
    assert read_shift(tmp_path) == {}
    (tmp_path / "test_pages.yaml").unlink()
    (tmp_path / "test_pages.yaml").write_text(yaml.safe_dump(facts))
    assert read_shift(tmp_path) == facts
