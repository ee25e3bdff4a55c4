"""The exported config trains what the winning trial trained, from any folder, with any override after it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig, OmegaConf
from results.sweeps import BEST, TRIALS, Compose, Sweep
from slowly import slowly

import docclf
from docclf.errors import DataError
from docclf.results.study.export import export
from docclf.results.study.trial_config import _reference_config
from docclf.train import train


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values, unresolved."""
    values: dict[str, Any] = {}
    for key, value in OmegaConf.to_container(node).items() if isinstance(node, DictConfig) else node.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, compose_config: Compose) -> Sweep:
    sweep = Sweep(tmp_path_factory.mktemp("project"), compose_config, "data=csv", "data.root=pages")
    export(sweep.config, sweep.folder)
    return sweep


def compose_best(compose: Compose, sweep: Sweep, *overrides: str, hydra: bool = False) -> DictConfig:
    """As `--config-dir best --config-name config` does: the exported folder comes before that of docclf."""
    path = f"hydra.searchpath=['file://{docclf.CONF_DIR}']"
    return compose(path, *overrides, config="config", hydra=hydra, folder=sweep.folder / "best")


def test_the_exported_config_is_that_of_the_best_trial_key_by_key(
    compose_config: Compose, cwd: Path, elsewhere: Path
) -> None:
    sweep = Sweep(cwd, compose_config, "data=csv", "data.root='내 문서/pages'", "augment=scan", "model.drop_rate=0.125")
    export(sweep.config, sweep.folder)
    command = [
        sys.executable,
        "-m",
        "docclf.train",
        "--config-dir",
        str(sweep.folder / "best"),
        "--config-name",
        "config",
    ]
    shown = subprocess.run([*command, "--cfg", "job"], cwd=elsewhere, capture_output=True, text=True, check=True).stdout
    trial, exported = flat(sweep.trial_config), flat(OmegaConf.create(shown))
    assert trial["optimizer.lr"] == 4.5678901234567e-3 and trial["data.batch_size"] == 64
    assert sorted(exported) == sorted(trial)
    assert {key: (trial[key], exported[key]) for key in trial if trial[key] != exported[key]} == {
        "refit": (False, "folds"),
    }
    assert flat(compose_best(compose_config, sweep)) == exported, "so that the tests below may compose in this process"


@pytest.mark.parametrize("root", ["/data/pages", *slowly("pages", "../pages")])
def test_paths_are_absolute_but_the_root_is_as_it_was_given(
    compose_config: Compose, cwd: Path, elsewhere: Path, root: str
) -> None:
    sweep = Sweep(
        cwd, compose_config, "data=folder", f"data.root={root}", "data.cache_dir=cache", "data.exclude=out.csv",
        "model.checkpoint_path=../weights.pth", "validation.split_file=folds.csv",
    )  # fmt: skip
    export(sweep.config, sweep.folder)
    exported = compose_best(compose_config, sweep)
    assert exported.data.root == root and exported.data.cache_dir == str(cwd / "cache")
    assert exported.data.exclude == str(cwd / "out.csv")
    assert exported.model.checkpoint_path == str(cwd / "../weights.pth")
    assert exported.validation.split_file == str(cwd / "folds.csv")


@pytest.mark.parametrize("through", [{}, *slowly({"model.name": "${oc.env:MY_SECRET}"})], ids=["itself", "another key"])
def test_a_trial_s_config_takes_nothing_from_the_environment_along(
    compose_config: Compose, cwd: Path, through: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cret")
    sweep = Sweep(cwd, compose_config, "data=folder", "data.root=pages")
    theirs = sweep.trial_config
    for key, value in (
        {"data.exclude": "${model.name}"} if through else {"data.exclude": "${oc.env:MY_SECRET}"}
    ).items():
        OmegaConf.update(theirs, key, value)
    for key, value in through.items():
        OmegaConf.update(theirs, key, value)
    (path,) = sweep.folder.glob("[0-9]*/.hydra/config.yaml")
    OmegaConf.save(theirs, path)
    export(sweep.config, sweep.folder)
    written = (sweep.folder / "best" / "config.yaml").read_text(encoding="utf-8")
    assert "s3cret" not in written and "${oc.env:MY_SECRET}" in written


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("optimizer.lr=0.5", "optimizer.lr", 0.5),
        ("seed=7", "validation.seed", 7),
        ("validation.folds=9", "validation.folds", 9),
        *slowly(
            ("logger=none", "logger.none", True),
            ("augment=scan", "augment.noise", 0.05),
            ("augment=none", "augment.degrees", 0),
            ("model=convnext_tiny", "model.name", "convnext_tiny"),
            ("validation=full", "validation.epochs", 20),
            ("validation=holdout", "validation.run_folds", 1),
            ("scheduler=constant", "scheduler._target_", "docclf.models.schedules.constant"),
            ("optimizer=sgd", "optimizer._target_", "torch.optim.SGD"),
            ("experiment=basic", "model.name", "efficientnet_b3"),
        ),
    ],
)
def test_any_override_works_after_the_exported_config(
    compose_config: Compose, exported: Sweep, elsewhere: Path, override: str, key: str, value: object
) -> None:
    plain, changed = compose_best(compose_config, exported), compose_best(compose_config, exported, override)
    assert OmegaConf.select(changed, key) == value != OmegaConf.select(plain, key)
    part = key.split(".")[0]
    derived = ("seed", "search", "finalists", "validation", "augment", "data")
    others = [name for name in plain if name not in (part, *derived)]
    assert all(plain[name] == changed[name] for name in others), "the rest stays as the trial had it"
    assert changed.data.root == plain.data.root


@pytest.mark.parametrize("data", ["csv", *slowly("folder")])
def test_without_its_pages_the_exported_config_asks_for_their_root(
    compose_config: Compose, cwd: Path, elsewhere: Path, data: str
) -> None:
    sweep = Sweep(cwd, compose_config, f"data={data}", "data.root=pages")
    export(sweep.config, sweep.folder)
    with pytest.raises(DataError) as refused:
        train(compose_best(compose_config, sweep), elsewhere)
    assert "`data.root`" in str(refused.value) and str(refused.value).endswith(
        f"pages, which is not there (looked for in {elsewhere}). Say where the pages are: data.root=DIR."
    )


def test_pages_may_be_others_after_the_exported_config(compose_config: Compose, cwd: Path, elsewhere: Path) -> None:
    sweep = Sweep(cwd, compose_config)
    export(sweep.config, sweep.folder)
    assert compose_best(compose_config, sweep).data.draw._target_ == "docclf.demo.draw_pages"
    changed = compose_best(compose_config, sweep, "data=folder", "data.root=/mine")
    assert changed.data.draw is None and changed.data.reader._target_ == "docclf.data.readers.read_folder"
    assert changed.data.root == "/mine" and changed.optimizer.lr == TRIALS[BEST][1]


def test_drawn_pages_after_the_exported_config_bring_their_augmentation(
    compose_config: Compose, exported: Sweep, elsewhere: Path
) -> None:
    changed = compose_best(compose_config, exported, "data=synthetic")
    assert changed.data.draw.test_look == "photo" and changed.augment.quarter_turns == 0.5
    assert changed.validation.augment == "photo"


@pytest.mark.parametrize("option", sorted(path.stem for path in (docclf.CONF_DIR / "hparams_search").glob("*.yaml")))
def test_any_search_may_start_from_the_exported_config(
    compose_config: Compose, exported: Sweep, elsewhere: Path, option: str
) -> None:
    found = compose_best(compose_config, exported, f"hparams_search={option}", "study_name=again", hydra=True)
    assert found.hydra.sweeper._target_ == "docclf.sweeper.plugin.DocclfSweeper"
    assert found.hydra.sweep.dir == "multirun/again" and found.optimizer.lr == TRIALS[BEST][1]
    plain = compose_config(f"hparams_search={option}", f"data.image_size={found.data.image_size}", hydra=True)
    assert found.hydra.sweeper.params == plain.hydra.sweeper.params
    assert found.validation.run_folds == plain.validation.run_folds


def test_the_exported_config_trains(compose_config: Compose, cwd: Path, elsewhere: Path, pages_root: Path) -> None:
    tiny = ["model.name=test_resnet", "data.image_size=32", "validation.epochs=1", "validation.prune_after=1"]
    sweep = Sweep(cwd, compose_config, "data=csv", f"data.root='{pages_root}'", "augment=none", "logger=none", *tiny)
    export(sweep.config, sweep.folder)
    scores = [train(sweep.trial_config, elsewhere / "a"), train(compose_best(compose_config, sweep), elsewhere / "b")]
    assert scores[0] == scores[1]
    assert (elsewhere / "a" / "oof.csv").read_bytes() == (elsewhere / "b" / "oof.csv").read_bytes()


def test_a_reference_that_wins_is_exported_with_its_own_keys_and_the_folds_of_a_trial(tmp_path: Path) -> None:
    trial, reference = (
        OmegaConf.create({"tune": tune, "validation": {"folds": folds, "seed": seed}})
        for tune, folds, seed in (("all", 3, 42), ("nearest", 5, 1042))
    )
    for name, config in (("4", trial), ("finalists/2", reference)):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        OmegaConf.save(config, tmp_path / name / ".hydra" / "config.yaml")
    finalist = optuna.trial.create_trial(
        value=0.9, user_attrs={"finalist": "4/nearest validation.seed=1042", "reference": "nearest"}
    )
    finalist.number = 2
    overrides = {"validation": None, "validation.seed": 1042}
    search = OmegaConf.create({"hydra": {"sweeper": {"finalists": {"overrides": overrides}}}})
    found = _reference_config(finalist, tmp_path, search)
    assert found == {"tune": "nearest", "validation": {"folds": 3, "seed": 42}}
