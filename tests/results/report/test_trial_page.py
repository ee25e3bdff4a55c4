"""The page in every trial's folder."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from results.report.studies import new_study, trial

from docclf.results.report.page import write_report


def texts(path: Path) -> str:
    """What a reader sees of a page, in one line."""
    body = path.read_text(encoding="utf-8").partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_every_trial_and_finalist_with_a_folder_has_a_page(search: tuple[optuna.Study, Path]) -> None:
    study, folder = search
    write_report(study, folder)
    assert {path.parent.name for path in folder.glob("*/index.html")} == {str(t.number) for t in study.trials}
    assert {path.parent.name for path in folder.glob("finalists/*/index.html")} == {"0", "1"}


def links_of(page: Path) -> list[Path]:
    """The files that a page links to."""
    found = re.findall(r'href="([^"#:]+)"|"\d+":"([^"]+index\.html)"', page.read_text(encoding="utf-8"))
    return [Path(os.path.normpath(page.parent / unquote(a or b))) for a, b in found]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_report_elsewhere_has_links_that_lead_somewhere_and_breaks_none(
    search: tuple[optuna.Study, Path], tmp_path: Path, is_first: bool
) -> None:
    study, folder = search
    if not is_first:
        write_report(study, folder)
    output = tmp_path / "elsewhere" / "new.html"
    output.parent.mkdir()
    write_report(study, folder, output=output)
    pages = [folder / "1" / "index.html", folder / "finalists" / "1" / "index.html"]
    assert set(pages) <= set(links_of(output))
    for page in (output, *pages):
        assert all(path.is_file() for path in links_of(page))
        assert (folder / "report.html" in links_of(page)) == (not is_first and page != output)


def test_a_report_in_the_folder_under_another_name_is_linked_to(search: tuple[optuna.Study, Path]) -> None:
    study, folder = search
    output = write_report(study, folder, output=folder / "new.html")
    assert output in links_of(folder / "1" / "index.html")


def test_a_page_that_cannot_be_written_costs_no_report(
    search: tuple[optuna.Study, Path], caplog: pytest.LogCaptureFixture
) -> None:
    study, folder = search
    for page in (folder / "1" / "index.html", folder / "finalists" / "0" / "index.html"):
        page.mkdir()
    linked = links_of(write_report(study, folder))
    assert folder / "1" / "index.html" not in linked and folder / "0" / "index.html" in linked
    assert "2 pages of trials could not be written: " in caplog.text


def test_it_tells_its_parameters_beside_those_of_the_baseline(search: tuple[optuna.Study, Path]) -> None:
    study, folder = search
    write_report(study, folder)
    base, mine = (f"{study.trials[number].params['optimizer.lr']:.3g}" for number in (0, 2))
    assert f"optimizer.lr {base} {mine}" in texts(folder / "2" / "index.html")


def test_it_has_scores_and_links_to_files(search: tuple[optuna.Study, Path]) -> None:
    study, folder = search
    write_report(study, folder)
    page = (folder / "1" / "index.html").read_text(encoding="utf-8")
    assert f"value {study.trials[1].value:.3f}" in texts(folder / "1" / "index.html")
    for name in re.findall(r'(?:href|src)="([^"#:]+)"', page):
        assert (folder / "1" / name).is_file(), name
    assert {"train.log", "confusion.png", "oof.csv", "../report.html"} <= set(re.findall(r'href="([^"]+)"', page))
    assert "the log" not in page, "a link, not its content"


def test_a_failed_trial_tells_its_cause(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    write_report(new_study([trial(0, TrialState.FAIL)]), tmp_path)
    assert "OutOfMemoryError: &lt;i&gt;CUDA&lt;/i&gt; out of memory" in texts(tmp_path / "0" / "index.html")


def test_a_trial_with_the_result_of_another_links_to_that_one_and_leaves_its_page_alone(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    twin = trial(1)
    twin.set_user_attr("duplicate_of", 0)
    text = write_report(new_study([trial(0), twin]), tmp_path).read_text(encoding="utf-8")
    assert '"1":"0/index.html"' in text
    assert texts(tmp_path / "0" / "index.html").count("Trial 0") == 1


def test_it_tells_what_was_trained_and_kept_from_what_and_the_floors(tmp_path: Path) -> None:
    result = {
        "tune": "all",
        "kept": "average",
        "kept_scores": {"head": 0.951, "net": 0.949, "average": 0.962},
        "floors": {"pixels": {"mean": 0.41}, "features": {"mean": 0.92, "pages": 5000}},
        "weights": {"name": "resnet18", "source": "timm hub: timm/resnet18", "sha256": "0"},
        "max_batch_size": 16,
        "halved": 1,
    }
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "result.yaml").write_text(yaml.safe_dump(result, sort_keys=False))
    write_report(new_study([trial(0)]), tmp_path)
    page = (tmp_path / "0" / "index.html").read_text(encoding="utf-8")
    rows = dict(re.findall(r'<th scope="row">([^<]*)</th><td>(.*?)</td>', page))
    assert (rows["trained"], rows["weights"]) == ("tune=all, kept=average", "timm hub: timm/resnet18")
    assert rows["scores of what could be kept"] == "head 0.951, net 0.949, average 0.962"
    assert rows["floors"] == "pixels 0.410, frozen features 0.920 (5,000 pages)"
    assert rows["pages at once"] == "16, halved once as memory ran out"
