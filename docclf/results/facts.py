"""What a run has recorded of itself in `result.yaml`, and a study of its trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from docclf.errors import DataError
from docclf.files import replacing
from docclf.metrics.resampling import interval_text
from docclf.safety.untrusted import read_yaml

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# Keys of result.yaml and user attributes of trials.
TUNE, KEPT, FLOORS, WEIGHTS = "tune", "kept", "floors", "weights"
# What `kept` may be: the head on frozen features, the fine-tuned net, or the mean of the two.
HEAD, NET, AVERAGE = "head", "net", "average"


def read_facts(path: Path) -> dict[str, Any]:
    """Keys and values of a file that docclf has written; empty where it is not there."""
    if not path.is_file():
        return {}
    result = read_yaml(path)
    if not isinstance(result, dict):
        raise DataError(f"Expected keys and values in {path}, got something else.")
    return result


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write keys and values into a file that `read_facts` reads."""
    with replacing(path) as partial:
        partial.write_text(yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True), encoding="utf-8")


def result_of(run: Path | None, name: str = "result.yaml") -> dict[str, Any]:
    """Content of a run's `result.yaml`, or of another file; empty where there is none, or it is damaged."""
    try:
        return read_facts(run / name) if run is not None else {}
    except (DataError, OSError):
        return {}


def is_score(value: Any) -> bool:
    """Whether a recorded value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def macro_f1_of(trial: FrozenTrial) -> float:
    """Mean macro-F1 of a finished trial, which may not be what is searched for; NaN where it has no score."""
    found: Any = trial.user_attrs.get("macro_f1", trial.values[0] if trial.values else None)
    return float(found) if is_score(found) else math.nan


def expected_score_text(expected_score: Mapping[str, float]) -> str:
    """What to expect on other pages, see `docclf.training.assessment.estimate_score`.

    >>> expected_score_text({"macro_f1": 0.9681, "low": 0.94, "high": 0.99, "gain": 0.02})
    'expected on as many other pages of the kind: 0.968 (95 % interval 0.940 to 0.990)'
    """
    value, low, high = (expected_score[name] for name in ("macro_f1", "low", "high"))
    return f"expected on as many other pages of the kind: {value:.3f} ({interval_text(low, high)})"
