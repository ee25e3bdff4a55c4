"""A file appears whole or not at all."""

from pathlib import Path

import pytest

from docclf.files import replacing


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "결과 표.csv"
    with replacing(target) as partial:
        partial.write_text("whole")
        assert not target.exists() and partial.parent == target.parent and partial.suffix == ".csv"
    assert target.read_text() == "whole" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_crash_leaves_the_old_file_and_nothing_in_part(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "result.yaml"
    target.write_text("old")
    with pytest.raises(error), replacing(target) as partial:
        partial.write_text("half of the n")
        raise error
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_a_crash_before_anything_is_written_is_the_one_that_is_seen(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "result.yaml"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
