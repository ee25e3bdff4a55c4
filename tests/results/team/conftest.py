"""Searches that a team merges."""

from pathlib import Path
from typing import Any

import pytest
from merged_studies import Make, new_study, tell


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a search's folder with a baseline and trials of these values."""

    def made(where: str, *values: float, host: str = "", **records: Any) -> Path:
        folder = tmp_path / where
        study = new_study(folder, **records)
        host = host or f"host{where[0]}"
        base = {"optimizer.lr": 1e-3, "data.batch_size": 32}
        tell(study, 0.1, folder=folder, host=host, params=base, role="baseline", folds=[0.0, 0.2])
        for value in values:
            # Of each study others
            params = {"optimizer.lr": 10 ** -(2 + value + ord(where[0]) / 1e4), "data.batch_size": 16}
            tell(study, value, folder=folder, host=host, params=params, folds=[value - 0.1, value + 0.1])
        return folder

    return made
