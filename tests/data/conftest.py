"""A small data set that is sound, for tests that make it unsound."""

from pathlib import Path

import pytest
from flat_pages import picture, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of two pages and three test pages that are sound."""
    root = tmp_path / "root"
    root.mkdir()
    for i, grey in enumerate((10, 60, 110, 160)):
        picture(root / f"{i}.png", grey)
    for i, grey in enumerate((200, 220, 240)):
        picture(root / f"t{i}.png", grey)
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", "2.png,a", "3.png,b")
    write(root / "test.csv", "ID,target", "t0.png,b", "t1.png,a", "t2.png,b")
    write(root / "meta.csv", "target,class_name", "a,영수증 🧾", "b,letter")
    return root
