"""Studies of every kind, and runs whose names would do harm where they are not escaped."""

import csv
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import optuna
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.results.pictures import write_confusion

SPACE: dict[str, BaseDistribution] = {
    "optimizer.lr": FloatDistribution(1e-5, 1e-2, log=True),
    "data.batch_size": CategoricalDistribution([16, 32, 64]),
    "model.drop_rate": FloatDistribution(0.0, 0.3),
}
START = datetime(2026, 1, 31, 9)
# Names as users have them, and as an attacker would.
CLASSES = ["계약서", "<script>window.hacked = 1</script>", "<b>bill</b> \"q\" 'a' &amp;", "--blue"]
NAME = "서류 <img src=x onerror='window.hacked=2'>"


def trial(number: int, state: TrialState = TrialState.COMPLETE, **changes: object) -> FrozenTrial:
    """A fabricated trial; its score grows with the learning rate."""
    rng = np.random.default_rng(number)
    params = {
        "optimizer.lr": float(10 ** rng.uniform(-5, -2)),
        "data.batch_size": int(rng.choice([16, 32, 64])),
        "model.drop_rate": float(rng.uniform(0, 0.3)),
    }
    value = 0.9 + 0.1 * float(np.log10(params["optimizer.lr"])) + 0.02 * float(rng.standard_normal())
    steps = {TrialState.COMPLETE: 9, TrialState.PRUNED: 3, TrialState.RUNNING: 2}.get(state, 0)
    attributes: dict[str, object] = {"owner": f"host:{100 + number % 2}:7"}
    if state == TrialState.FAIL:
        attributes["cause"] = "OutOfMemoryError: <i>CUDA</i> out of memory"
    if number == 0:
        attributes["role"] = "baseline"
    if state == TrialState.COMPLETE:
        attributes["folds"] = [value - 0.02, value, value + 0.02]
    made = create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params=params,
        distributions=SPACE,
        user_attrs=attributes,
        intermediate_values={step: value * (0.5 + step / 18) for step in range(steps)},
    )
    made.datetime_start = START + timedelta(seconds=30 * number)
    made.datetime_complete = made.datetime_start + timedelta(seconds=25) if state.is_finished() else None
    for key, change in changes.items():
        setattr(made, key, change)
    return made


def new_study(trials: list[FrozenTrial], directions: list[str] | None = None, **where: str) -> optuna.Study:
    study = optuna.create_study(directions=directions or ["maximize"], sampler=optuna.samplers.RandomSampler(), **where)
    study.add_trials(trials)
    return study


def conditional(number: int) -> FrozenTrial:
    """As `hparams_search=conditional` names parameters."""
    model = ["swin_tiny", "mobilenet"][number % 2]
    name = f"optimizer.lr [model={model}]"
    params = {"model": model, name: 10 ** -(2 + number % 3)}
    space: dict[str, BaseDistribution] = {"model": CategoricalDistribution(["swin_tiny", "mobilenet"])}
    space[name] = FloatDistribution(1e-5, 1e-1, log=True)
    return create_trial(value=0.5 + 0.01 * number, params=params, distributions=space)


def tuned(number: int) -> FrozenTrial:
    """As trials of which some train a head alone, which has no learning rate."""
    tune = ["head", "all"][number % 3 > 0]
    params: dict[str, object] = {"model.tune": tune, "data.image_size": 96 + 32 * (number % 4)}
    space: dict[str, BaseDistribution] = {
        "model.tune": CategoricalDistribution(["head", "all"]),
        "data.image_size": IntDistribution(96, 192, step=32),
    }
    if tune == "all":
        params |= {"optimizer.lr": 10 ** -(2 + number % 5 / 2), "optimizer.weight_decay": 0.01 * (number % 7)}
        space |= {"optimizer.lr": FloatDistribution(1e-5, 1e-1, log=True)}
        space |= {"optimizer.weight_decay": FloatDistribution(0, 0.1)}
    facts = {"tune": tune} | ({"kept": "net"} if tune == "all" else {})
    made = create_trial(value=0.5 + 0.01 * (number % 5), params=params, distributions=space, user_attrs=facts)
    made.datetime_start = START + timedelta(seconds=30 * number)
    made.datetime_complete = made.datetime_start + timedelta(seconds=25)
    return made


def _pareto(number: int) -> FrozenTrial:
    return trial(number, values=[0.5 + 0.01 * (number * 7 % 10), 20.0 + number], intermediate_values={})


KINDS: dict[str, Callable[[], optuna.Study]] = {
    "no trial": lambda: new_study([]),
    "one trial": lambda: new_study([trial(0)]),
    "none finished": lambda: new_study([trial(0, TrialState.RUNNING), trial(1, TrialState.WAITING)]),
    "all pruned": lambda: new_study([trial(i, TrialState.PRUNED) for i in range(5)]),
    "all failed": lambda: new_study([trial(i, TrialState.FAIL) for i in range(5)]),
    "running": lambda: new_study(
        [trial(i) for i in range(6)] + [trial(6, TrialState.PRUNED), trial(7, TrialState.RUNNING)]
    ),
    "two objectives": lambda: new_study([_pareto(i) for i in range(20)], ["maximize", "minimize"]),
    "conditional": lambda: new_study([conditional(i) for i in range(12)]),
    "some are heads": lambda: new_study([tuned(i) for i in range(24)]),
    "not finite": lambda: new_study(
        [trial(i) for i in range(5)]
        + [
            trial(5, values=[float("inf")]),
            trial(6, TrialState.PRUNED, intermediate_values={0: float("nan"), 1: 0.5, 2: float("nan")}),
            trial(7, values=[float("-inf")]),
        ]
    ),
    "minimized": lambda: new_study([trial(i) for i in range(8)], ["minimize"]),
}


def write_run(folder: Path, root: Path, *, right: float, seed: int) -> None:
    """What a run leaves: predictions for 40 pages of which a share is right."""
    (folder / ".hydra").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 10)
    predicted = np.where(rng.random(40) < right, labels, (labels + 1) % 4)
    probabilities = np.full((40, 4), 0.1)
    probabilities[np.arange(40), predicted] = 0.7
    with (folder / "oof.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ID", "target", "fold", *CLASSES])
        for i, label in enumerate(labels):
            writer.writerow([f"page {i}.png", str(label), i % 2, *probabilities[i]])
    with (folder / "label_issues.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["ID", "given", "suggested", "score"], ["page 3.png", "0", "1", "0.1"]])
    result = {
        "state": "COMPLETE",
        "data": {"targets": ["0", "1", "2", "3"], "class_names": CLASSES, "fingerprint": "a"},
        "folds": [0.5, 0.6],
        "calibration": {"temperature": 0.8, "error_before": 0.1, "error_after": 0.05},
    }
    (folder / "result.yaml").write_text(yaml.safe_dump(result, allow_unicode=True), encoding="utf-8")
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"cwd": str(root.parent)}}}))
    write_config(folder, lr=1e-3 * (1 + seed))
    write_confusion(folder / "confusion.png", labels, predicted, CLASSES)


def write_config(folder: Path, lr: float) -> None:
    """A config."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    config: dict[str, dict[str, object]] = {
        "data": {"root": "pages"},
        "optimizer": {"lr": lr, "betas": [0.9, 0.99]},
        "search": {"n_trials": lr},
    }
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
