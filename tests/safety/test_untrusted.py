"""Names, links and places out of somebody else's folder: nothing is read, written or removed outside of it."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from merged_studies import merge, new_study, tell
from PIL import Image
from small_models import save_model

from docclf.data.folds import read_folds
from docclf.data.formats import count_pages, has_more_pages
from docclf.data.reading.tables import candidates
from docclf.errors import ConfigError, DataError
from docclf.files import link
from docclf.inference.ensemble import load_ensemble
from docclf.models.state import save_state
from docclf.report import main as report
from docclf.report import read_thumbnail
from docclf.results.folders import link_folder
from docclf.results.reading import baseline_run, read_predictions, read_run
from docclf.results.study.studies import open_study, replayable
from docclf.results.study.winner import remove_run
from docclf.results.team.sources import read_source
from docclf.safety.cells import CsvWriter, cell
from docclf.safety.untrusted import inside, plain, read_config, read_yaml, require_whole
from docclf.training.resume import FoldCheckpoints

OUTSIDE = ["..", "../x", "a/../../x", "/x", "..\\x", "", "\0", "a\0b", None, 3, ["a"], "leads/x", "out"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with links out of it, beside a secret."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_text("secret")
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "leads").symlink_to(tmp_path / "secret")
    (folder / "out").symlink_to(tmp_path / "secret" / "x")
    (folder / "own").write_text("own")
    (folder / "alias").symlink_to("own")
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_leads_nowhere_else(name: Any, folder: Path) -> None:
    with pytest.raises(DataError, match="which leads elsewhere"):
        inside(folder, name)


@pytest.mark.parametrize("name", ["own", "alias", "new", "a/b", "..x", "x..", "서식"])
def test_a_name_in_the_folder_is_taken(name: str, folder: Path) -> None:
    assert inside(folder, name) == folder / name
    if "/" in name:
        with pytest.raises(DataError):
            inside(folder, name, is_plain=True)


def test_links_out_of_a_search_are_refused_and_models_may_be_elsewhere(folder: Path) -> None:
    with pytest.raises(DataError, match="Expected a folder without links that lead out of it"):
        require_whole(folder)
    (folder / "leads").rename(folder / "model")
    (folder / "out").unlink()
    (folder / "broken").symlink_to("nowhere")
    (folder / "wandb").mkdir()
    (folder / "wandb" / "debug.log").symlink_to(folder.parent / "secret" / "x")
    require_whole(folder)
    require_whole(folder / "nowhere")


# Models


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "linked.safetensors"])
@pytest.mark.parametrize("key", ["members", "weights", "backbone"])
def test_files_of_a_model_are_in_its_folder(name: str, key: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    shutil.copyfile(model / "fold_0.safetensors", tmp_path / "secret.safetensors")
    (model / "linked.safetensors").symlink_to(tmp_path / "secret.safetensors")
    described = yaml.safe_load((model / "model.yaml").read_text(encoding="utf-8"))
    if key == "members":
        described["members"] = [name]
    else:
        head = {"fraction": 0.5, "sides": [32], "stages": False, "aspect": False}
        described["head"] = {**head, "weights": "fold_0.safetensors", "backbone": "fold_0.safetensors", key: name}
    (model / "model.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    with pytest.raises(DataError, match="leads elsewhere"):
        load_ensemble(model)


# The folder of a search


@pytest.mark.parametrize("name", ["..", "../..", ".", "../study.db", "/etc", "a/../../study.db"])
def test_a_verdict_removes_nothing_outside_of_best(name: str, tmp_path: Path) -> None:
    best = tmp_path / "search" / "best"
    best.mkdir(parents=True)
    (tmp_path / "search" / "study.db").touch()
    (best / "verdict.yaml").write_text(yaml.safe_dump({"files": [name]}))
    with pytest.raises(DataError, match="leads elsewhere"):
        remove_run(best)
    assert (tmp_path / "search" / "study.db").is_file() and (best / "verdict.yaml").is_file()


@pytest.mark.parametrize("name", ["../../secret", "/etc", "leads"])
def test_a_verdict_names_runs_of_its_search_alone(name: str, folder: Path) -> None:
    (folder / "best").mkdir()
    (folder / "best" / "verdict.yaml").write_text(yaml.safe_dump({"baseline": {"folder": name}}))
    with pytest.raises(DataError, match="leads elsewhere"):
        baseline_run(folder)


def test_files_of_a_run_are_no_links_out_of_it(folder: Path) -> None:
    (folder / "oof.csv").symlink_to(folder.parent / "secret" / "x")
    with pytest.raises(DataError, match="leads elsewhere"):
        read_run(folder)


def test_links_are_neither_copied_nor_followed(folder: Path) -> None:
    link_folder(folder, folder.parent / "copy")
    assert [path.name for path in (folder.parent / "copy").iterdir()] == ["own"]
    with pytest.raises(DataError, match="got the link"):
        link(folder / "out", folder.parent / "new")


def test_what_an_earlier_run_kept_is_taken_over_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "0" / "resume").mkdir(parents=True)
    save_state(tmp_path / "0" / "resume" / "folds.safetensors", {"key": "key", "folds": {}})
    (tmp_path / "0" / "resume" / "fold_0_net.safetensors").symlink_to(tmp_path / "secret")
    assert FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]).load()
    assert [path.name for path in (tmp_path / "1" / "resume").iterdir()] == ["folds.safetensors"]


@pytest.mark.parametrize(
    "place", ["0/secret", "0/index.html", "finalists/0", "artifacts/x", "0/.hydra", "0", "best", "wandb"]
)
def test_a_search_with_a_link_out_of_it_is_neither_reported_nor_merged(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "id_rsa").write_text("secret")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "index.html").write_text("mine")
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    for i, search in enumerate((theirs, mine)):
        tell(new_study(search), 0.5 + i / 10, folder=search, host=f"host{i}")
    path = theirs / place
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    is_folder = place in ("finalists/0", "0", "0/.hydra", "best", "wandb")
    path.symlink_to(tmp_path / "home" if is_folder else tmp_path / "id_rsa")
    assert report([str(theirs)]) == 2
    assert "links that lead out" in capsys.readouterr().err
    with pytest.raises(DataError, match="links that lead out"):
        merge(mine, theirs, out=tmp_path / "team")
    assert (tmp_path / "home" / "index.html").read_text() == "mine" and not (tmp_path / "team").exists()


# Pages


@pytest.mark.parametrize(
    "name", ["../private.png", "{tmp}/private.png", "train/../../private.png", "link.png", "sub/x.png"]
)
def test_a_page_that_an_id_names_is_below_the_root(name: str, tmp_path: Path) -> None:
    root = tmp_path / "pages"
    (root / "train").mkdir(parents=True)
    private = Image.fromarray(np.zeros((8, 8), np.uint8))
    for path in (tmp_path / "private.png", root / "own.png"):
        private.save(path)
    (tmp_path / "elsewhere").mkdir()
    private.save(tmp_path / "elsewhere" / "x", "PNG")
    (root / "link.png").symlink_to(tmp_path / "private.png")
    (root / "sub").symlink_to(tmp_path / "elsewhere")
    assert read_thumbnail(root, "own.png", 8).shape == (8, 8, 3)
    with pytest.raises(FileNotFoundError):
        read_thumbnail(root, name.format(tmp=tmp_path), 8)


# Places of studies


def named(folder: Path, storage: Any, **more: Any) -> Path:
    """A search's folder that says where its study is."""
    folder.mkdir(parents=True, exist_ok=True)
    sweeper = {"storage": storage, "study_name": "private"}
    hydra = {"sweep": {"dir": "multirun/x"}, "runtime": {"cwd": str(folder.parent)}, "sweeper": sweeper, **more}
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    return folder


@pytest.mark.parametrize(
    "storage",
    [
        "private.db",
        "{tmp}/private.db",
        "sqlite:///{tmp}/private.db",
        "sqlite:///{tmp}/new.db",
        "sqlite:///new.db",
        "{tmp}/new.log",
        "sqlite:///file:{tmp}/private.db?uri=true",
        "postgresql://me@localhost:1/x",
        "mysql+pymysql://me@localhost:1/x",
        {"_target_": "optuna.storages.RDBStorage", "url": "sqlite:///{tmp}/private.db"},
        {"_target_": "optuna.storages.RDBStorage", "url": "postgresql://me@localhost:1/x"},
        {"_target_": "optuna.storages.JournalStorage", "log_storage": {"_target_": "os.system", "command": "x"}},
    ],
)
def test_a_folder_does_not_say_where_studies_are_read_or_made(storage: Any, tmp_path: Path) -> None:
    optuna.create_study(study_name="private", storage=f"sqlite:///{tmp_path / 'private.db'}").set_user_attr("a", "b")
    text = yaml.safe_dump(storage).replace("{tmp}", str(tmp_path))
    theirs = named(tmp_path / "theirs", yaml.safe_load(text))
    before = sorted(tmp_path.rglob("*"))
    for read in (lambda: open_study(str(theirs)), lambda: read_source(str(theirs))):
        with pytest.raises(ConfigError, match=r"which its multirun\.yaml names.*DOCCLF_STORAGE="):
            read()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_that_was_typed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "mine.db"
    optuna.create_study(study_name="private", storage=f"sqlite:///{place}")
    theirs = named(tmp_path / "theirs", f"sqlite:///{place}")
    with pytest.raises(ConfigError) as caught:
        open_study(str(theirs))
    monkeypatch.setenv("DOCCLF_STORAGE", str(caught.value).rpartition("DOCCLF_STORAGE=")[2])
    assert open_study(str(theirs))[0].study_name == "private", "what the message says works"
    assert read_source(str(theirs)).name == "private"


def test_a_config_in_a_folder_does_not_read_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cret")
    path = tmp_path / "config.yaml"
    path.write_text("a: ${oc.env:MY_SECRET}\nb: ${a}\nc: '${oc.${d}:MY_SECRET}'\nd: env\ne: 1e-3\n")
    config = read_config(path)
    assert [config.a, config.b, config.e] == ["${oc.env:MY_SECRET}", "${oc.env:MY_SECRET}", 1e-3]
    assert "s3cret" not in config.c
    theirs = named(tmp_path / "theirs", None, overrides={"task": ["data.root=${oc.env:MY_SECRET}"]})
    config = read_config(theirs / "multirun.yaml")
    assert replayable(config.hydra.overrides.task) == ["data.root=${oc.env:MY_SECRET}"]


@pytest.mark.parametrize(
    "override",
    ["hydra.run.dir=/x", "hydra/launcher=x", "+hydra.callbacks.x._target_=y", "augment._target_=x", "--config-dir=x",
     "++model={_target_:x}", "data.cache_dir=/x", "search.storage=x", "hydra.sweeper.preflight=x", "hydra/sweeper=x",
     "hydra.sweeper.storage=x", "hydra.searchpath=[x]", "hydra.sweep.dir=/x"],
)  # fmt: skip
def test_a_command_that_is_printed_has_nothing_of_a_folder_that_acts(override: str) -> None:
    kept = ["optimizer.lr=1", "hydra/sweeper/pruner=none", "hydra.sweeper.params.x=1", "hparams_search=optuna"]
    assert replayable([override, *kept]) == kept


# Files and texts


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}'])}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "content",
    [bomb(20), "[" * 200, "a: " + "{" * 100, "!!python/object/apply:os.system [x]", "a: [", b"\xed\xa0\x80"],
)
def test_a_file_that_is_no_plain_yaml_is_refused(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (read_yaml, read_config):
        with pytest.raises(DataError):
            read(path)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(10_000_000_000)  # of holes
    with pytest.raises(DataError, match="Expected at most 64,000,000 bytes"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "\x1b[2J", "\x9b31m", "\r", "\b", "\u202e", "\u2066", "\x00", "\x7f"])
def test_a_terminal_gets_nothing_to_obey(text: str) -> None:
    shown = plain(f"a{text}b")
    assert shown.isprintable() and shown.startswith("a\\")
    assert plain("보통 글 — é\n\t") == "보통 글 — é\n\t"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(1)", "\t=1", "\r=1", "=HYPERLINK(1)"])
def test_a_spreadsheet_gets_no_formula(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert [cell(value) for value in ("a=1", "-1.5", "+1e-3", -1, None)] == ["a=1", "-1.5", "+1e-3", -1, None]


def test_tables_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    names = ["=1+1.png", "'=2.png", "@x", "-1", "plain", "+a", "''=3"]
    with (tmp_path / "oof.csv").open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        writer.writerow(["ID", "target", "=class", "other"])
        writer.writerows([name, "=class", "0.500000", "0.500000"] for name in names)
    assert not re.search(r"(^|,)[=@+]", (tmp_path / "oof.csv").read_text(encoding="utf-8"), re.M)
    found = read_predictions(tmp_path / "oof.csv")
    assert found.ids == names and set(found.targets) == {"=class"} and found.class_names == ["=class", "other"]
    with (tmp_path / "folds.csv").open("w", newline="", encoding="utf-8") as file:
        CsvWriter(file).writerows([["ID", "fold"], *([name, i % 2] for i, name in enumerate(names))])
    assert read_folds(tmp_path / "folds.csv", names, 2).tolist() == [i % 2 for i in range(len(names))]


def test_messages_are_escaped_for_who_reads_them_on_a_terminal() -> None:
    code = (
        "import logging, sys; from docclf.safety.untrusted import escape_logs; escape_logs(); escape_logs()\n"
        "logging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "logging.warning('a %s', '\\x1b[2J'); logging.warning('%d', 'x\\x1b')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("a \\x1b[2J\n") and "\x1b" not in done.stdout


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "..\\x.png"])
def test_lists_of_pages_name_none_outside_of_their_folder(name: str, tmp_path: Path) -> None:
    assert candidates(tmp_path, "train", name) == []
    assert candidates(tmp_path, "train", "a..b/x.png")


def test_a_file_of_very_many_pages_is_refused_without_going_through_them(tmp_path: Path) -> None:
    page = Image.new("L", (1, 1))
    page.save(tmp_path / "many.tif", save_all=True, append_images=2000 * [page])
    page.save(tmp_path / "some.tif", save_all=True, append_images=[page])
    with pytest.raises(ValueError, match="more than 2000 pages"):
        count_pages(tmp_path / "many.tif")
    assert count_pages(tmp_path / "some.tif") == 2
    assert has_more_pages(tmp_path / "many.tif") and has_more_pages(tmp_path / "some.tif")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_of_weights_are_as_readable_as_others(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        model = save_model(tmp_path / "model", members=1)
        save_state(tmp_path / "state.safetensors", {"a": 1})
    finally:
        os.umask(before)
    for path in (model / "fold_0.safetensors", model / "model.yaml", tmp_path / "state.safetensors"):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
