"""Places that a folder of configs gives the jobs of a search, and not the command's own config."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from forked import python
from hydra import initialize_config_dir
from hydra._internal.utils import get_args
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from slowly import slowly

from docclf import CONF_DIR
from docclf.cli.foreign import check_foreign, check_job
from docclf.cli.preflight import check_drawn, preflight
from docclf.errors import ConfigError
from docclf.safety.places import is_own, require_folder

SEARCH = "hydra: {sweeper: {baseline: false, climb: null, conditional: [], params: {data.image_size: null, %s}}}"


def write(folder: Path, **files: str) -> Path:
    """A folder of configs; names with __ for the groups."""
    for name, content in files.items():
        path = folder / "theirs" / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# @package _global_\n{content}\n", encoding="utf-8")
    return folder / "theirs"


def job(folder: Path, given: Sequence[str], drawn: Sequence[str]) -> DictConfig:
    """The config of a job of a command that was looked at, as Hydra composes it."""
    check_foreign(get_args(["--config-dir", str(folder), *given]), "train")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR)):
        loader = GlobalHydra.instance().config_loader()
        overrides = [f"hydra.searchpath=['file://{folder}']", "hydra.mode=MULTIRUN", *given[1:]]
        master = loader.load_configuration("train", overrides, RunMode.MULTIRUN)
        drawn_keys = [text.partition("=")[0] for text in drawn]
        fixed = [text for text in master.hydra.overrides.task if text.partition("=")[0] not in drawn_keys]
        return loader.load_sweep_config(master, [*fixed, *drawn])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("DOCCLF_TYPED", "")


@pytest.mark.parametrize(
    ("content", "drawn", "key"),
    [
        ("data: {cache_dir: '${augment.place}'}\naugment: {place: null}", "augment.place={place}", "data.cache_dir"),
        *slowly(
            ("", "data={{cache_dir: '{place}', cache_gb: 0}}", "data.cache_dir"),
            ("defaults: [override /data: synthetic]", "data.root={place}", "data.root"),
            ("", "+trainer={{default_root_dir: '{place}'}}", "trainer.default_root_dir"),
            ("teacher: '${augment.place}'\naugment: {place: null}", "augment.place={place}", "teacher"),
            (
                "search: {storage: '${augment.place}'}\naugment: {place: null}",
                "augment.place={place}",
                "search.storage",
            ),
        ),
    ],
)
def test_what_a_job_may_write_to_is_looked_at_in_its_own_config(
    content: str, drawn: str, key: str, tmp_path: Path
) -> None:
    given = ["-m", "hparams_search=optuna", "experiment=e"]
    cfg = job(write(tmp_path, experiment__e=content), given, [drawn.format(place=tmp_path / "precious")])
    for check in (check_drawn, preflight, check_job):
        with pytest.raises(ConfigError, match=f"leave `{key}` alone"):
            check(cfg)
    assert not (tmp_path / "precious").exists()


@pytest.mark.slow
def test_two_options_that_pass_alone_are_refused_together(tmp_path: Path) -> None:
    place = tmp_path / "precious"
    drawing = "data: {draw: {_target_: docclf.demo.draw_pages, pages_per_class: 2}}"
    theirs = write(tmp_path, experiment__a=f"data: {{root: {place}}}", scheduler__b=f"defaults: [cosine]\n{drawing}")
    given = ["-m", "data=csv", "experiment=a,basic", "scheduler=b,cosine"]
    cfg = job(theirs, given, ["experiment=a", "scheduler=b"])
    with pytest.raises(ConfigError, match=r"leave `data\.root` alone"):
        check_job(cfg)


def test_a_job_may_write_to_what_was_typed(tmp_path: Path) -> None:
    theirs = write(tmp_path, experiment__e="data: {cache_dir: /x}")
    typed = ["-m", "experiment=e", "data=csv", f"data.root={tmp_path}/a,{tmp_path}/b", f"data.cache_dir={tmp_path}/c"]
    cfg = job(theirs, typed, [f"data.root={tmp_path}/b", f"data.cache_dir={tmp_path}/c"])
    check_job(cfg)
    os.environ["DOCCLF_TYPED"] = ""
    with pytest.raises(ConfigError, match=r"data\.cache_dir"):
        check_job(cfg)


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_the_folder_of_a_search_is_the_same_for_all_of_its_jobs(mode: list[str], tmp_path: Path) -> None:
    theirs = write(tmp_path, experiment__e="study_name: ${augment.place}\naugment: {place: mine}")
    given = get_args(["--config-dir", str(theirs), *mode, "experiment=e"])
    if not mode:
        assert check_foreign(given, "train").study_name == "mine"
        return
    with pytest.raises(ConfigError, match="leave `study_name` alone"):
        check_foreign(given, "train")


def test_a_model_is_not_exported_into_a_run_elsewhere_that_a_folder_names(tmp_path: Path) -> None:
    theirs = write(tmp_path, mine=f"defaults: [export_model]\nrun: {tmp_path}/precious")
    given = ["--config-dir", str(theirs), "--config-name", "mine"]
    with pytest.raises(ConfigError, match="leave `run` alone"):
        check_foreign(get_args(given), "export_model")
    check_foreign(get_args([*given, "output=here"]), "export_model")
    check_foreign(get_args([*given, f"run={tmp_path}/precious"]), "export_model")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "params"),
    [
        ("", "data: {cache_dir: PLACE, cache_gb: 0}"),
        ("data: {cache_dir: '${augment.place}', cache_gb: 0}\naugment: {place: null}", "augment.place: PLACE"),
        ("defaults: [override /data: synthetic]", "data.root: PLACE/new"),
    ],
)
def test_a_search_of_somebody_elses_leaves_files_of_mine_alone(content: str, params: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious" / "mine-v3.npy"
    precious.parent.mkdir()
    precious.write_bytes(b"mine")
    text = f"{content}\n{SEARCH % params}".replace("PLACE", str(precious.parent))
    command = ["docclf.train", "-m", "--config-dir", str(write(tmp_path, experiment__e=text)), "experiment=e"]
    code, output = python(*command, "hparams_search=optuna", "logger=none", cwd=tmp_path / "work")
    assert code == 1 and "Expected the folder of configs to leave `data." in output and "Traceback" not in output
    assert [path.name for path in precious.parent.iterdir()] == ["mine-v3.npy"]


@pytest.mark.parametrize(
    ("link", "given"),
    [
        (".hydra/config.yaml", ["hydra.run.dir=sent"]),
        *slowly(
            (".hydra", ["hydra.run.dir=sent"]),
            ("train.log", ["hydra.run.dir=../mine/sent"]),
            ("resume", ["hydra.run.dir=sent"]),
            ("train.log", ["-m", "hparams_search=optuna", "hydra.sweep.dir=sent"]),
            ("0/.hydra/overrides.yaml", ["-m", "seed=1,2", "hydra.sweep.dir=sent"]),
        ),
    ],
)
def test_hydra_writes_through_no_link_of_a_folder_that_was_sent(link: str, given: list[str], tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "mine.yaml").write_text("mine: 1\n")
    path = tmp_path / "mine" / "sent" / link
    path.parent.mkdir(parents=True)
    path.symlink_to(precious if "." not in path.name[1:] else precious / "mine.yaml")
    code, output = python("docclf.train", *given, "data=csv", "data.root=pages", cwd=tmp_path / "mine")
    assert code == 1 and "Expected a folder without links that lead out of it" in output and "Traceback" not in output
    assert [(one.name, one.read_text()) for one in precious.iterdir()] == [("mine.yaml", "mine: 1\n")]


@pytest.mark.parametrize("place", [".", "..", "new", "${hydra:job.name}"])
def test_links_beside_what_a_command_writes_are_the_users_own(place: str, tmp_path: Path) -> None:
    (tmp_path / "work" / "pages").symlink_to(tmp_path / "elsewhere")
    require_folder(OmegaConf.create({"run": {"dir": place}}), "run.dir")


@pytest.mark.parametrize(
    ("typed", "expected"), [(None, True), ("model.name", False), ("model.name\ndata.root", True), ("data", True)]
)
def test_a_key_is_own_where_no_folder_of_configs_could_set_it(
    typed: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCCLF_TYPED", raising=False)
    if typed is not None:
        monkeypatch.setenv("DOCCLF_TYPED", typed)
    assert is_own("data.root") is expected
