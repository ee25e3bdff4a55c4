"""Folders as runs leave them, with predictions that are made up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from docclf.data.pages import Pages
from docclf.inference.tables import class_columns
from docclf.results.run import write_folds, write_predictions, write_result

NAMES = ["invoice", "계약서", "letter of intent"]
TARGETS = ["0", "7", "10"]
LABELS = np.repeat([0, 1, 2], [9, 8, 4])
CONFIG = {
    "study_name": "search",
    "seed": 42,
    "optimizer": {"lr": 1e-3, "_target_": "torch.optim.AdamW"},
    "validation": {"seed": "${seed}", "epochs": 3, "split_file": None},
    "data": {"root": "pages"},
    "search": {"n_trials": 20},
}


def shares_of(predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Probabilities with these classes on top."""
    shares = np.full((len(predicted), n_classes), 0.1 / n_classes, dtype=np.float32)
    shares[np.arange(len(predicted)), predicted] += 0.9
    return shares


def make_run(
    folder: Path,
    predicted: NDArray[np.int64],
    *,
    names: list[str] = NAMES,
    targets: list[str] = TARGETS,
    labels: NDArray[np.int64] = LABELS,
    ids: list[str] | None = None,
    n_folds: int = 3,
    test: bool = False,
    data: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **result: Any,
) -> Path:
    """What a run leaves, written as a run writes it; its test pages are its training pages but the last 5."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = ids or [f"쪽, {i}.png" for i in range(len(labels))]
    pages = Pages(ids, [Path(name) for name in ids], labels)
    folds = np.arange(len(labels)) % n_folds
    facts = {"fingerprint": "f00d", "targets": targets, "class_names": names} if data is None else data
    write_result(folder, {"state": "COMPLETE", "data": facts, "folds": [0.5, 0.7], **result})
    write_folds(folder, ids, folds)
    data_set: Any = SimpleNamespace(targets=targets, class_names=names, train=pages, test=None)
    write_predictions(folder, data_set, folds, shares_of(predicted, len(names)))
    if test:
        rows = [line.split('",') for line in (folder / "oof.csv").read_text(encoding="utf-8").splitlines()[1:-5]]
        without_fold = [f'{page}",{more.split(",")[0]},{",".join(more.split(",")[2:])}' for page, more in rows]
        text = "\n".join([",".join(["ID", "target", *class_columns(names)]), *without_fold])
        (folder / "predictions_test.csv").write_text(text, encoding="utf-8")
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config or CONFIG, sort_keys=False), encoding="utf-8")
    return folder


def make_two(folder: Path, predicted: tuple[NDArray[np.int64], ...], **options: Any) -> tuple[Path, Path]:
    return make_run(folder / "a", predicted[0]), make_run(folder / "b", predicted[1], **options)
