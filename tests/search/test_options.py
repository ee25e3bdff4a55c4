"""Every option of `hparams_search` runs, on tiny pages, and does what its first lines say."""

import re
from typing import Any

import pytest

from docclf import CONF_DIR

pytestmark = pytest.mark.slow

# What the options search themselves is not given
FREE = ("data=csv", "validation.folds=2", "validation.epochs=1", "logger=none")
TESTED = {"optuna", "quick", "hyperband", "conditional", "multi_objective", "augmentation", "head", "ladder"}


def test_every_option_is_tested_here_or_by_the_other_searches() -> None:
    assert {path.stem for path in (CONF_DIR / "hparams_search").glob("*.yaml")} == TESTED


def test_quick_scores_by_one_split(search: Any) -> None:
    output = search.run("hparams_search=quick", "validation.folds=5", "search.n_trials=2")
    assert "fold 1/1" in output and search.read("multirun.yaml")["search"]["timeout"] == 120
    assert [len(trial.user_attrs["folds"]) for trial in search.trials] == [1, 1]
    assert set(search.states) <= {"COMPLETE", "PRUNED"}


def test_hyperband_stops_bad_trials_once_they_have_a_fold(search: Any) -> None:
    lr = "optimizer.lr=choice(5e-4, 3e-3, 1e-9, 2e-9, 3e-9, 4e-9)"
    free = ("search.n_trials=9", "validation.folds=3", "validation.epochs=3")
    search.run("hparams_search=hyperband", lr, *free)
    assert search.study.user_attrs["facts"].count('"steps": 9') == 1
    reports = [len(t.intermediate_values) for t in search.trials if t.state.name == "PRUNED"]
    assert reports and all(3 < n < 9 for n in reports), "not in the first fold"
    assert search.states[0] == "COMPLETE" and set(search.states) == {"COMPLETE", "PRUNED"}


def test_conditional_draws_for_each_backbone_from_its_own_ranges(search: Any) -> None:
    """With the real backbones, on pictures so small that both train in seconds."""
    tiny = (*FREE, "augment=none", "data.image_size=32", "data.batch_size=8")
    search.run("hparams_search=conditional", "search.n_trials=4", tiny=tiny)
    rates = {"efficientnet_b3": (1e-4, 1e-2), "swin_tiny": (1e-5, 1e-3)}
    decays = {"efficientnet_b3": (0.0, 0.1), "swin_tiny": (1e-3, 0.3)}
    names = {"efficientnet_b3": "efficientnet_b3", "swin_tiny": "swin_tiny_patch4_window7_224"}
    for trial in search.trials:
        model = trial.params["model"]
        own = {f"optimizer.{key} [model={model}]" for key in ("lr", "weight_decay")}
        assert set(trial.params) == {"model", "model.drop_rate", *own}
        config = search.read(f"{trial.number}/.hydra/config.yaml")
        assert config["model"]["name"] == names[model]
        assert rates[model][0] <= config["optimizer"]["lr"] <= rates[model][1]
        assert decays[model][0] <= config["optimizer"]["weight_decay"] <= decays[model][1]
    assert {trial.params["model"] for trial in search.trials} == set(rates), "or one branch was not run"
    best = search.study.best_trial.params
    assert search.read("best/params.yaml") == {name.partition(" [")[0]: value for name, value in best.items()}
    assert {"model", "optimizer.lr", "optimizer.weight_decay"} < set(search.table[0])


def test_augmentation_is_searched_with_its_strength(search: Any) -> None:
    tiny = (
        *FREE,
        "model.name=test_resnet",
        "model.tune=all",
        "model.pretrained=false",
        "model.label_smoothing=0.0",
        "data.image_size=32",
    )
    search.run("hparams_search=augmentation", "search.n_trials=5", "hydra/sweeper/pruner=none", tiny=tiny)
    keys = {"augment", "augment.strength", "optimizer.lr", "data.batch_size"}
    assert all(set(trial.params) == keys for trial in search.trials)
    assert (search.trials[0].params["augment"], search.trials[0].params["augment.strength"]) == ("light", 1.0)
    degrees = {"light": 5, "scan": 10, "photo": 15}
    assert {trial.params["augment"] for trial in search.trials} == degrees.keys(), "or one option was not run"
    for trial in search.trials:
        augment = search.read(f"{trial.number}/.hydra/config.yaml")["augment"]
        assert augment["strength"] == trial.params["augment.strength"]
        assert augment["degrees"] == degrees[trial.params["augment"]]


def test_head_trains_no_net(search: Any) -> None:
    tiny = (*FREE, "augment=none", "data.image_size=32", "model.name=test_resnet", "model.pretrained=false")
    search.run("hparams_search=head", "search.n_trials=3", tiny=tiny)
    keys = {"data.fit", "model.head.C", "model.head.stages", "model.head.scales"}
    for trial in search.trials:
        assert {name.partition(" [")[0] for name in trial.params} == keys
        assert search.read(f"{trial.number}/.hydra/config.yaml")["model"]["tune"] == "head"


def test_multi_objective_searches_size_too_and_exports_the_front(search: Any) -> None:
    tiny = (*FREE, "augment=none", "data.batch_size=16")
    names = "model.name=choice(mobilenetv3_small_050, test_resnet, test_vit)"
    asked = ("hparams_search=multi_objective", names, "hydra.sweeper.baseline=false", "search.n_trials=5")
    output = search.run(*asked, tiny=tiny)
    assert re.search(r"^report: .*report\.html$", output, re.MULTILINE)
    assert search.states == ["COMPLETE"] * 5 and all(len(trial.values) == 2 for trial in search.trials)
    assert [d.name for d in search.study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert len({(trial.params["model.name"], trial.params["data.image_size"]) for trial in search.trials}) > 1

    front = search.study.best_trials
    folders = {path.name for path in (search.folder / "best").iterdir() if path.is_dir()}
    assert folders == {str(trial.number) for trial in front}
    best = max(front, key=lambda trial: trial.values[0])
    for place, trial in [("best", best), *((f"best/{trial.number}", trial) for trial in front)]:
        config = search.read(f"{place}/config.yaml")
        del config["defaults"]
        assert config == search.read(f"{trial.number}/.hydra/config.yaml") | {"refit": "folds", "logger": {}}
        assert search.read(f"{place}/params.yaml") == trial.params
    for row, trial in zip(search.table, search.trials, strict=True):
        assert [float(row["macro_f1"]), float(row["train_seconds"])] == trial.values and "value" not in row
    assert f"{len(front)} trial{'s' * (len(front) > 1)} on the Pareto front" in output
