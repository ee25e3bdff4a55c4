"""A module that leaves a trace when it is imported."""

import sys
from pathlib import Path

import pytest

MINE = """
from pathlib import Path
Path({seen!r}).touch()
import torch
class Turned:
    def __init__(self, by=1): self.by, self.mixup = by, None
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears where something ran; a module, a script and a pickle that make it."""
    path = tmp_path / "seen"
    (tmp_path / "mine.py").write_text(MINE.format(seen=str(path)))
    (tmp_path / "code.py").write_text(f"open({str(path)!r}, 'w')")
    (tmp_path / "a.pickle").write_bytes(f"cposix\nsystem\n(S'touch {path}'\ntR.".encode())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return path
