"""Values of any kind come back from an exported file as they were tried, and fronts are exported whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.trial import create_trial
from slowly import slowly

from docclf.results.provenance import header_of
from docclf.results.study.export import export
from docclf.sweeper.space.grammar import encode
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.study.starting_points import read_entries

Compose = Callable[..., DictConfig]


def test_what_a_study_says_stays_in_the_comments_of_an_exported_file() -> None:
    study, trial = optuna.create_study(study_name="a\nb: 1"), create_trial(value=0.5)
    study.set_user_attr("facts", "d\u2028e: 2")
    text = header_of(study, trial, {"study": study.study_name}, {"weights": "x\r\ny: 3"}, "python '/my  pages'")
    assert yaml.safe_load(text) is None and {"# study: a b: 1", "# weights: x y: 3"} <= set(text.splitlines())
    assert text.endswith("\n# train: python '/my  pages'\n"), "as it is typed"


class Sweep:
    """A search with fabricated trials and the configs that Hydra leaves.

    Args:
        cwd: Where it was started.
        config: Of the sweep.
        directions: Of the objectives.
    """

    def __init__(self, cwd: Path, config: DictConfig, directions: list[str]) -> None:
        OmegaConf.set_readonly(config, False)
        OmegaConf.update(config, "hydra.runtime.cwd", str(cwd), force_add=True)
        self.config, self.folder = config, cwd / config.hydra.sweep.dir
        self.folder.mkdir(parents=True)
        storage = f"sqlite:///{self.folder / 'study.db'}"
        self.study = optuna.create_study(storage=storage, study_name=config.study_name, directions=directions)

    def add(self, values: Any, *, suggest: Any = None, folder: bool = True, **attributes: Any) -> optuna.Trial:
        trial = self.study.ask()
        if suggest is not None:
            suggest(trial)
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        if folder:
            (self.folder / str(trial.number) / ".hydra").mkdir(parents=True)
            config = OmegaConf.create({"made_by": trial.number})
            OmegaConf.save(config, self.folder / str(trial.number) / ".hydra" / "config.yaml")
        self.study.tell(trial, values)
        return trial

    def export(self) -> None:
        export(self.config, self.folder)

    def read(self, name: str) -> Any:
        return yaml.safe_load((self.folder / "best" / name).read_text(encoding="utf-8"))

    @property
    def fronts(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "best").iterdir() if path.is_dir())


# As a choice is written, and what the config has
VALUES = {
    "null": None,
    "1": 1,
    "0.5": 0.5,
    "true": True,
    "adamw": "adamw",
    "'1'": "1",
    "'null'": "null",
    "'a b'": "a b",
    "'c,d'": "c,d",
    "'한글'": "한글",
    '"it\'s"': "it's",
    "''": "",
    "[8, 16]": [8, 16],
    "['a b', null]": ["a b", None],
    "{a: 1}": {"a": 1},
}


@pytest.mark.parametrize("text", ["null", "'1'", "['a b', null]", *slowly(*VALUES)])
def test_a_value_of_any_kind_comes_back_from_the_exported_parameters(
    compose_config: Compose, tmp_path: Path, text: str
) -> None:
    value = VALUES[text]
    config = compose_config("hparams_search=optuna", hydra=True)
    sweep = Sweep(tmp_path, config, ["maximize"])
    space = parse_space({"model.checkpoint_path": f"choice({text}, 12345)"})
    sweep.study.enqueue_trial({"model.checkpoint_path": encode(value)})
    trial = sweep.add(0.5, suggest=space.suggest)
    sweep.export()
    assert sweep.read("params.yaml") == {"model.checkpoint_path": value}
    assert type(sweep.read("params.yaml")["model.checkpoint_path"]) is type(value)
    (entry,) = read_entries([str(sweep.folder / "best" / "params.yaml")], space, config, tmp_path).values()
    assert entry == trial.params, "so that the file may be tried again"


@pytest.fixture
def front(compose_config: Compose, tmp_path: Path) -> Sweep:
    config = compose_config("hparams_search=multi_objective", hydra=True)
    return Sweep(tmp_path, config, ["maximize", "minimize"])


def test_a_front_is_exported_trial_by_trial_and_the_best_by_the_first_objective(front: Sweep) -> None:
    for values in ([0.5, 10.0], [0.9, 30.0], [0.4, 20.0], [0.7, 20.0]):
        front.add(values)
    front.export()
    assert front.fronts == ["0", "1", "3"] and front.read("config.yaml")["made_by"] == 1
    assert [front.read(f"{number}/config.yaml")["made_by"] for number in front.fronts] == [0, 1, 3]
    header = (front.folder / "best" / "3" / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert (
        header[0] == "# study: search, trial 3 of 4"
        and header[1] == "# score: 0.7000, 20.0000, on the folds that it was chosen by"
    )
    assert any(f"--config-dir {front.folder / 'best' / '3'}" in line for line in header)


def test_a_trial_that_was_beaten_since_is_no_longer_exported(front: Sweep) -> None:
    front.add([0.5, 10.0])
    front.add([0.9, 30.0])
    front.export()
    front.add([0.6, 9.0])
    front.export()
    assert front.fronts == ["1", "2"]


def test_what_breaks_a_constraint_is_not_on_the_front(front: Sweep) -> None:
    for values, excess in (([0.5, 10.0], -1.0), ([0.9, 5.0], 1.0), ([0.7, 30.0], 0.0)):
        trial = front.study.ask()
        trial.set_constraint("train_seconds", excess)
        (front.folder / str(trial.number) / ".hydra").mkdir(parents=True)
        OmegaConf.save(OmegaConf.create({"made_by": trial.number}), front.folder / f"{trial.number}/.hydra/config.yaml")
        front.study.tell(trial, values)
    front.export()
    assert front.fronts == ["0", "2"] and front.read("config.yaml")["made_by"] == 2


def test_a_duplicate_is_exported_from_the_folder_that_has_its_results(front: Sweep) -> None:
    front.add([0.5, 10.0])
    front.add([0.5, 10.0], folder=False, duplicate_of=0)
    front.export()
    assert front.fronts == ["0", "1"]
    assert front.read("1/config.yaml")["made_by"] == 0


def test_a_winner_that_is_a_duplicate_is_exported_from_its_original_s_folder(
    compose_config: Compose, tmp_path: Path
) -> None:
    """As a search has it whose original was lost or told another value."""
    sweep = Sweep(tmp_path, compose_config("hparams_search=optuna", hydra=True), ["maximize"])
    sweep.add(0.4)
    sweep.add(0.5, folder=False, duplicate_of=0)
    sweep.export()
    assert sweep.read("config.yaml")["made_by"] == 0
    header = (sweep.folder / "best" / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert header[0] == "# study: search, trial 1 of 2"
