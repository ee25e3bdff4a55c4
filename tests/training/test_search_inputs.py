"""Trials and finalists are of the pages, folds and files that their search began with."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig, OmegaConf

from docclf.cli.preflight import preflight
from docclf.data.module import PageDataModule
from docclf.errors import ConfigError, DataError, MachineError
from docclf.safety.targets import build
from docclf.sweeper.job.trial import JobTrial
from docclf.sweeper.study.finalists import open_finalists
from docclf.training.search_inputs import away, open_data, require_folds

KEYS = ("validation.folds", "validation.seed", "validation.split_file", "data.near_duplicates")


@pytest.fixture
def own(cfg: DictConfig, pages_root: Path, tmp_path: Path) -> DictConfig:
    """A config of pages of its own, with a group each."""
    shutil.copytree(pages_root, root := tmp_path / "pages")
    regroup(root, 24)
    cfg.data.root = str(root)
    return cfg


def regroup(root: Path, n: int) -> None:
    with (root / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = ["ID,target,group", *(f"{row['ID']},{row['target']},g{i % n}" for i, row in enumerate(rows))]
    (root / "train.csv").write_text("\n".join(lines), encoding="utf-8")


def begun(cfg: DictConfig, **attributes: Any) -> optuna.Study:
    study = optuna.create_study(study_name="own")
    facts = preflight(cfg)
    facts.pop("before")
    study.set_user_attr("facts", json.dumps(facts))
    study.set_user_attr("config", json.dumps({key: str(OmegaConf.select(cfg, key)) for key in KEYS}))
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    return study


def require(cfg: DictConfig, trial: JobTrial) -> PageDataModule:
    data = open_data(cfg, trial, augment=build(cfg.augment, "augment"))
    require_folds(cfg, trial, data, build(cfg.validation, "validation"))
    return data


def test_finalists_are_held_to_the_pages_that_the_search_began_with(own: DictConfig, tmp_path: Path) -> None:
    trial = JobTrial(open_finalists(begun(own), race=False).ask())
    own.validation.seed = 1042
    require(own, trial)  # other folds are what they are for
    page = next((tmp_path / "pages" / "train").iterdir())
    page.write_bytes(next(path for path in page.parent.iterdir() if path != page).read_bytes())
    with pytest.raises(MachineError, match="Expected the pages with the fingerprint"):
        require(own, trial)
    (tmp_path / "pages").rename(tmp_path / "away")
    with pytest.raises(MachineError, match="when they are back"):
        require(own, trial)


def test_a_trial_that_leaves_pages_out_by_its_own_key_may(own: DictConfig, tmp_path: Path) -> None:
    study, name = begun(own), "data.exclude"
    (tmp_path / "out.csv").write_text("ID\n" + next((tmp_path / "pages" / "train").iterdir()).name, encoding="utf-8")
    trial = study.ask({name: optuna.distributions.CategoricalDistribution([str(tmp_path / "out.csv")])})
    own.data.exclude = trial.params[name]
    assert len(require(own, JobTrial(trial)).labels) == 23
    with pytest.raises(MachineError):
        require(own, JobTrial(study.ask()))


def test_finalists_of_a_study_of_before_are_held_to_nothing(own: DictConfig) -> None:
    trial = JobTrial(open_finalists(optuna.create_study(study_name="old"), race=False).ask())
    require(own, trial)
    own.data.root = "no_such"
    with pytest.raises(DataError):
        require(own, trial)


def test_folds_that_change_while_a_search_runs_end_it(own: DictConfig, tmp_path: Path) -> None:
    trial = JobTrial(begun(own).ask())
    require(own, trial)
    regroup(tmp_path / "pages", 12)
    with pytest.raises(MachineError, match=r"Expected the folds with the fingerprint .* give the same command again"):
        require(own, trial)


def test_folds_that_are_searched_may_differ(own: DictConfig) -> None:
    study = begun(own)
    study.enqueue_trial({"data.rare_classes": "raise"})
    own.validation.seed = 7  # by a key of one's own
    require(own, JobTrial(study.ask()))
    own.validation.seed, own.validation.order = 42, "rows"
    trial = study.ask()
    trial.suggest_categorical("validation.order", ["rows"])
    require(own, JobTrial(trial))


def test_a_split_that_is_away_or_damaged_ends_the_search(own: DictConfig, tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    with (tmp_path / "pages" / "train.csv").open(encoding="utf-8", newline="") as file:
        names = [row["ID"] for row in csv.DictReader(file)]
    whole = "\n".join(["ID,fold", *(f"{name},{i % own.validation.folds}" for i, name in enumerate(names))])
    split.write_text(whole, encoding="utf-8")
    own.validation.split_file = str(split)
    trial = JobTrial(begun(own).ask())
    split.write_text(whole[:40], encoding="utf-8")
    with pytest.raises(MachineError, match="when they are back"):
        require(own, trial)
    split.unlink()
    with pytest.raises(MachineError, match="when they are back"):
        require(own, trial)


@pytest.mark.parametrize("key", ["validation.split_file", "model.checkpoint_path", "data.corrections"])
def test_a_file_of_the_config_that_is_away_is_the_machine_s_fault_in_a_search(
    own: DictConfig, tmp_path: Path, key: str
) -> None:
    study = begun(own)
    OmegaConf.update(own, key, str(path := tmp_path / "file"))
    found = away(ConfigError("Expected a file."), own, JobTrial(study.ask()))
    assert found is not None and f"{path} of `{key}` was there when the search began" in str(found)
    drawn = study.ask()
    drawn.suggest_categorical(key, [str(path)])
    assert away(ConfigError("Expected a file."), own, JobTrial(drawn)) is None, "another trial may draw another"
    assert away(ConfigError("Expected a file."), own, JobTrial()) is None
    assert away(ValueError("loss"), own, JobTrial(study.ask())) is None
    path.touch()
    assert away(ConfigError("Expected less."), own, JobTrial(study.ask())) is None
