"""Searches whose finalists are made up: a real study, and the files that runs leave."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from docclf.results.study.judging import judge_finalists
from docclf.results.study.verdict import Verdict
from docclf.sweeper.study.finalists import mark, open_finalists

LABELS = np.repeat([0, 1, 2], 20)
NAMES = ["invoice", "계약서", "fold"]  # a class may be called as a column is
ON = ["validation.seed=43"]


class Finals:
    """A search whose trial 0 is the baseline.

    Args:
        folder: Of the search.
        values: Of its trials.
        excess: By how much each misses a constraint.
        **attributes: User attributes of every trial.
    """

    def __init__(
        self,
        folder: Path,
        values: Sequence[float] = (0.5, 0.6, 0.7),
        excess: Sequence[float] = (0, 0, 0),
        **attributes: Any,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.study = optuna.create_study(
            study_name="s", storage=f"sqlite:///{folder / 'study.db'}", direction="maximize"
        )
        for number, (value, missed) in enumerate(zip(values, excess, strict=True)):
            self.study.add_trial(
                create_trial(
                    value=value,
                    params={"lr": value},
                    distributions={"lr": FloatDistribution(0, 1)},
                    user_attrs=attributes | ({"role": "baseline"} if number == 0 else {}),
                    constraints={"seconds": missed},
                )
            )
        self.finalists = open_finalists(self.study, race=True)

    def score(
        self,
        source: int,
        value: float,
        predicted: NDArray[np.int64] | None = None,
        *,
        state: TrialState = TrialState.COMPLETE,
        how: Sequence[str] = ON,
        model: bool = False,
        ids: Sequence[str] | None = None,
        reference: str | None = None,
        **result: Any,
    ) -> int:
        """Score a trial again; with a run of these predictions. Its number as a finalist.

        Args:
            reference: The floor that is run instead of the trial.
            **result: More of `result.yaml`.
        """
        number = len(self.finalists.get_trials(deepcopy=False))
        attributes = {"finalist": mark(source, how, reference), "folds": [value - 0.1, value + 0.1]}
        attributes |= {"macro_f1_pooled": value} | ({"reference": reference} if reference else {})
        attributes |= {key: result[key] for key in ("tune", "kept") if key in result}
        if source == 0:
            attributes["role"] = "baseline"
        trial = self.study.trials[source]
        self.finalists.add_trial(
            create_trial(
                state=state, value=value, params=trial.params, distributions=trial.distributions, user_attrs=attributes
            )
        )
        marks = [t.user_attrs["finalist"] for t in self.finalists.get_trials(deepcopy=False)]
        self.finalists.set_user_attr("current", [m for m in marks if m.partition(" ")[2] == " ".join(how)])
        if predicted is not None:
            self.write(number, predicted, model=model, ids=ids, **result)
        return number

    def write(
        self,
        number: int,
        predicted: NDArray[np.int64],
        *,
        model: bool = False,
        ids: Sequence[str] | None = None,
        **more: Any,
    ) -> Path:
        """The files of a finalist's run."""
        run = self.folder / "finalists" / str(number)
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra" / "config.yaml").write_text(f"seed: {number}\n")
        with (run / "oof.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["ID", "target", "fold", *NAMES])
            for i, (label, guess) in enumerate(zip(LABELS, predicted, strict=True)):
                shares = [f"{0.8 if c == guess else 0.1:.6f}" for c in range(3)]
                writer.writerow([ids[i] if ids else f"{i}.png", NAMES[label], i % 3, *shares])
        result = {"state": "COMPLETE", "data": {"targets": NAMES, "class_names": NAMES}, "number": number}
        result |= more
        (run / "result.yaml").write_text(yaml.safe_dump(result, allow_unicode=True), encoding="utf-8")
        (run / "train.log").write_text(f"finalist {number}\n")
        if model:
            (run / "model").mkdir()
            for name in ("model.yaml", "fold_0.safetensors"):
                (run / "model" / name).write_text(f"{name} of {number}")
        return run

    @property
    def verdict(self) -> Verdict:
        found = judge_finalists(self.study, self.folder)
        assert found is not None
        return found


def right(n: int, seed: int = 0) -> NDArray[np.int64]:
    """Predictions of which so many of 60 are right, as many in each class."""
    rng = np.random.default_rng(seed)
    predicted = LABELS.copy()
    for label in range(3):
        rows = np.flatnonzero(label == LABELS)
        wrong = rng.choice(rows, size=20 - n // 3 - (label < n % 3), replace=False)
        predicted[wrong] = (label + rng.integers(1, 3, len(wrong))) % 3
    return predicted


@pytest.fixture
def finals(tmp_path: Path) -> Finals:
    return Finals(tmp_path / "검색 1")


@pytest.fixture
def make_finals(tmp_path: Path) -> Callable[..., Finals]:
    """Makes a search with trials of these values, none of which misses a constraint."""
    return lambda values: Finals(tmp_path / "more", values, [0] * len(values))


@pytest.fixture(scope="session")
def answers() -> Callable[..., NDArray[np.int64]]:
    """Predictions for 60 pages of which so many are right: `answers(50, seed=0)`."""
    return right


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory far from the search's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "내 프로젝트"
    folder.mkdir()
    return folder
