"""Configs of jobs are those that Hydra composes, composed once."""

import pickle
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from docclf.sweeper.space.composing import SweepConfigs

MAIN = """
defaults: [{model: small}, _self_]
lr: 0.1
twice: ${lr}
sizes: [1, 2]
nested: {a: 1, b: {c: 2}}
text: x
"""
OVERRIDES = [
    [],
    ["lr=0.5", "text='a, b'", "nested.b.c=null"],
    ["model=large", "model.width=7", "lr=1e-3"],
    ["model.width=7", "model=large"],
    ["+new=3", "nested.a=2", "sizes=[3]"],
    ["nested={a: 4}", "lr=0.2", "lr=0.3"],
    ["~nested.a", "sizes.0=5"],
    ["hydra.sweep.subdir=elsewhere", "lr=0.7"],
]


@pytest.fixture
def folder(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "main.yaml").write_text(MAIN)
    (tmp_path / "model" / "small.yaml").write_text("{name: small, width: 1}")
    (tmp_path / "model" / "large.yaml").write_text("{name: large, width: 100}")
    with initialize_config_dir(str(tmp_path)):
        yield tmp_path


def loaders():
    loader = GlobalHydra.instance().config_loader()
    return loader, SweepConfigs(loader), loader.load_configuration("main", [], RunMode.MULTIRUN)


def plain(config: DictConfig) -> dict:
    return OmegaConf.to_container(config)


def test_a_number_for_a_config_group_is_refused_as_an_unknown_option_is(folder: Path):
    _, ours, master = loaders()
    for wrong in ("model=1e9", "model=huge"):
        with pytest.raises(HydraException, match=r"must be a string or a list|Could not find"):
            ours.load_sweep_config(master, [wrong])


@pytest.mark.parametrize("overrides", OVERRIDES, ids=" ".join)
def test_a_job_has_the_config_that_hydra_composes(folder: Path, overrides: list[str]):
    loader, ours, master = loaders()
    theirs = loader.load_sweep_config(master, overrides)
    for _ in range(2):  # composed, and remembered
        found = ours.load_sweep_config(master, overrides)
        assert plain(found) == plain(theirs)
        assert found.hydra.job.override_dirname == theirs.hydra.job.override_dirname
        assert found.twice == found.lr
        assert OmegaConf.is_struct(found)


def test_a_job_does_not_see_what_another_one_was_given(folder: Path):
    _, ours, master = loaders()
    ours.load_sweep_config(master, ["lr=0.5"]).text = "changed by the job"
    found = ours.load_sweep_config(master, ["nested.a=9"])
    assert (found.lr, found.text, found.nested.a) == (0.1, "x", 9)


@pytest.mark.parametrize("override", ["lrr=1", "nested.b.d=1", "lr=1,2", "model=none_such", "lr.deeper=1"])
def test_what_hydra_refuses_is_refused_in_its_words(folder: Path, override: str):
    loader, ours, master = loaders()
    with pytest.raises(HydraException) as theirs:
        loader.load_sweep_config(master, ["text=y", override])
    with pytest.raises(HydraException) as found:
        ours.load_sweep_config(master, ["text=y", override])
    assert str(found.value) == str(theirs.value)


def test_later_jobs_have_the_files_that_the_first_one_had(folder: Path):
    _, ours, master = loaders()
    ours.load_sweep_config(master, ["lr=0.5"])
    (folder / "main.yaml").write_text(MAIN.replace("text: x", "text: edited"))
    assert ours.load_sweep_config(master, ["lr=0.6"]).text == "x"


def test_it_travels_to_worker_processes(folder: Path):
    _, ours, master = loaders()
    ours.load_sweep_config(master, [])
    there = pickle.loads(pickle.dumps(ours))
    assert plain(there.load_sweep_config(master, ["lr=3"]))["lr"] == 3
    assert there.get_group_options("model") == ["large", "small"]
