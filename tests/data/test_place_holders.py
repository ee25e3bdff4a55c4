"""Test targets that are no labels are not scored, and a warning says so."""

from pathlib import Path

import pytest
from flat_pages import write

from docclf.data.readers import read_csv
from docclf.data.reading.listing import list_pages

PAGES = ("t0.png", "t1.png", "t2.png")


def targets(root: Path, file: str, *given: str) -> None:
    write(root / file, "ID,target", *(f"{name},{target}" for name, target in zip(PAGES, given, strict=True)))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("", "", ""), "none is a class"),
        (("?", "?", "?"), "none is a class"),
        (("-1", "-1", "-1"), "none is a class"),
        (("nan", "", "N/A"), "none is a class"),
        (("None", "null", "?"), "none is a class"),
        (("a", "a", "a"), "all of them are a"),
        (("later", "later", "later"), "all of them are later"),
    ],
)
def test_place_holders_are_no_labels(
    root: Path, caplog: pytest.LogCaptureFixture, given: tuple[str, ...], why: str
) -> None:
    targets(root, "test.csv", *given)
    pages = read_csv(root)
    assert pages.test is not None and (pages.test.ids, pages.test.labels) == (list(PAGES), None)
    assert pages.problems == []
    assert f"taken for place-holders, since {why}: the test pages are not scored" in caplog.text
    caplog.clear()
    listing = list_pages(root / "test.csv")
    assert listing.labels(["a", "b"], ["a", "b"]).tolist() == [-1, -1, -1]
    assert (f"since {why}: no page is scored" in caplog.text) is any(given), "nothing to speak of where there is none"


def test_a_copy_of_the_sample_submission_is_not_scored(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in ("sample_submission.csv", "test.csv", "copy.csv"):
        targets(root, file, "a", "b", "a")
    pages = read_csv(root)
    assert pages.test is not None and pages.test.labels is None
    assert list_pages(root / "copy.csv").labels(["a", "b"], ["a", "b"]).tolist() == [-1, -1, -1]
    assert caplog.text.count("since they are those of sample_submission.csv") == 2


@pytest.mark.parametrize("content", ["ID,label\nt0.png,a", "ID,a,b\nt0.png,0.5,0.5", "ID,target\nt0.png,영수증"])
def test_a_sample_submission_of_another_kind_refuses_no_labelled_test_pages(
    root: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    (root / "sample_submission.csv").write_text(content, encoding="cp949")
    pages = read_csv(root)
    assert pages.test is not None and pages.test.labels is not None and pages.test.labels.tolist() == [1, 0, 1]
    assert list_pages(root / "test.csv").labels(["a", "b"], ["a", "b"]).tolist() == [1, 0, 1]
    assert f"{root / 'sample_submission.csv'} is not looked at. Expected " in caplog.text


@pytest.mark.parametrize("given", [("a", "b", "a"), ("-1", "b", "-1"), ("b", "a", "a")])
def test_targets_of_classes_are_labels(root: Path, given: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    write(root / "meta.csv", "target,class_name", "-1,none", "a,A", "b,B")
    targets(root, "sample_submission.csv", "a", "a", "a")
    targets(root, "test.csv", *given)
    pages = read_csv(root)
    assert pages.test is not None and pages.test.labels is not None
    assert [pages.targets[label] for label in pages.test.labels] == list(given)
    assert list_pages(root / "test.csv").labels(pages.targets, pages.class_names).tolist() == pages.test.labels.tolist()
    assert "place-holders" not in caplog.text


@pytest.mark.parametrize("given", ["", "?", "N/A", "-1"])
def test_a_page_without_a_label_among_others_is_not_scored_and_no_reason_to_stop(
    root: Path, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    targets(root, "test.csv", "a", given, "b")
    pages = read_csv(root)
    assert pages.test is not None and (len(pages.test), pages.test.labels, pages.problems) == (3, None, [])
    assert (
        "since 1 of 3 is no label (remove such rows, and the others are scored): the test pages are not" in caplog.text
    )
    caplog.clear()
    assert list_pages(root / "test.csv").labels(["a", "b"], ["a", "b"]).tolist() == [0, -1, 1]
    assert caplog.messages == [f"1 page of 3 in {root / 'test.csv'} without a label: not scored"]


def test_a_row_without_an_id_says_nothing_of_the_others(root: Path) -> None:
    write(root / "test.csv", "ID,target", "t0.png,a", ",a", "t1.png,b")
    pages = read_csv(root)
    assert pages.test is not None and pages.test.labels is not None
    assert pages.problems == ["test.csv, row 3: no ID"]


def test_a_sample_submission_names_the_test_pages_where_no_test_csv_does(root: Path) -> None:
    (root / "test.csv").unlink()
    (root / "test").mkdir()
    for name in PAGES:
        (root / name).rename(root / "test" / name)
    targets(root, "sample_submission.csv", "a", "b", "a")
    pages = read_csv(root)
    assert pages.test is not None and (pages.test.ids, pages.test.labels) == (list(PAGES), None)
    write(root / "test.csv", "ID", "t1.png")
    test = read_csv(root).test
    assert test is not None and test.ids == ["t1.png"], "which comes first"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("id,label", "a.png,0"), "is not looked at. Expected the columns ID,target"),
        (
            ("ID,target", 't0.png,"a', "t1.png,b"),
            "is not looked at. Expected {sample} as CSV, got unexpected end of da",
        ),
        (("ID,target", "lost.png,a"), "1 page cannot be used, the first is sample_submission.csv, row 2, lost.png"),
        (("ID,target",), ""),
    ],
)
def test_a_sample_submission_of_no_use_refuses_no_data_set(
    root: Path, caplog: pytest.LogCaptureFixture, lines: tuple[str, ...], message: str
) -> None:
    (root / "test.csv").unlink()
    write(root / "sample_submission.csv", *lines)
    pages = read_csv(root)
    assert (pages.test, pages.problems) == (None, [])
    assert message.format(sample=root / "sample_submission.csv") in caplog.text
