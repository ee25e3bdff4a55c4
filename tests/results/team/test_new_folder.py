"""The folder that a merge makes is whole or not there."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from merged_studies import Make, load, merge, tell

from docclf.errors import ConfigError
from docclf.results.folders import replacing_folder


def test_a_folder_that_is_there_is_replaced_only_if_it_is_a_merge_and_only_if_asked(make: Make, tmp_path: Path) -> None:
    a, b, out = make("a", 0.3), make("b", 0.5), tmp_path / "team"
    with pytest.raises(ConfigError, match=r"which exists. Give another --out.$"):
        merge(a, b, out=a)
    with pytest.raises(ConfigError, match="Expected an earlier merge to replace"):
        merge(a, b, out=a, replace=True)
    merge(a, b, out=out)
    tell(load(b, "search"), 0.6, host="hostb", folder=b)
    with pytest.raises(ConfigError, match="or add --replace, since it is an earlier merge"):
        merge(a, b, out=out)
    assert load(out).best_value == 0.5
    merge(a, b, out=out, replace=True)
    assert load(out).best_value == 0.6 and len(load(out).trials) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "team"]
    tell(load(out), 0.7)
    with pytest.raises(ConfigError, match=r"searched on from since.* merge it too"):
        merge(a, b, out=out, replace=True)
    merge(make("c", 0.1), out, out=out, replace=True)
    assert load(out).best_value == 0.7 and len(load(out).trials) == 6
    tell(load(out), 0.8)
    (tmp_path / "link").symlink_to(tmp_path)
    merge(make("d", 0.2), f"team={tmp_path / 'link' / 'team'}", out=out, replace=True)
    assert load(out).best_value == 0.8, "under a name, and by another path"


def test_of_a_best_trial_whose_config_is_damaged_the_parameters_are_exported(make: Make, tmp_path: Path) -> None:
    b = make("b", 0.5)
    (b / "1" / ".hydra" / "config.yaml").write_text("a: [1", encoding="utf-8")
    text = merge(make("a", 0.3), b, out=tmp_path / "team")
    assert "hostb, study search, trial 1: its config is not here, so best/ has its parameters alone." in text
    assert [path.name for path in (tmp_path / "team" / "best").iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_kill_in_the_middle_leaves_nothing_half_and_the_next_one_tidies_up(tmp_path: Path, replaced: bool) -> None:
    out = tmp_path / "team"
    if replaced:
        out.mkdir()
        (out / "old").touch()
    code = f"""
import os
from pathlib import Path
from docclf.results.folders import replacing_folder
with replacing_folder(Path({str(out)!r})) as partial:
    (partial / "half").touch()
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".team.partial-*"))) == 1
    assert [path.name for path in out.glob("*")] == (["old"] if replaced else [])
    with replacing_folder(out) as partial:
        (partial / "whole").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["team"]
    assert [path.name for path in out.iterdir()] == ["whole"]


@pytest.mark.parametrize("where", ["123", "0123abcd-40.123"])
def test_what_a_machine_left_when_it_went_down_is_put_away(where: str, tmp_path: Path) -> None:
    """Its boot says so, which earlier releases did not write."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{where}"
    (tmp_path / f".team.replaced-{owner}").mkdir()
    (tmp_path / f".team.partial-{owner}").mkdir()
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "team"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["team"]


def test_what_died_between_two_renames_is_put_back(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "from docclf.sweeper.study.process import this_process; print(this_process())"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.strip()
    (tmp_path / f".team.replaced-{dead}").mkdir()
    (tmp_path / f".team.replaced-{dead}" / "old").touch()
    (tmp_path / ".team.partial-elsewhere:1:2").mkdir()
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "team"):
        assert (tmp_path / "team" / "old").is_file()
        raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.iterdir()) == [".team.partial-elsewhere:1:2", "team"]
