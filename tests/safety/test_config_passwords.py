"""The password of a database in a config that is sent, or that a team shares: no run writes or shows it."""

from pathlib import Path

import pytest
from forked import python
from slowly import slowly

SECRET = "postgresql://me:SECRETPW@127.0.0.1:1/db"


@pytest.mark.parametrize(
    ("content", "given"),
    [
        (f"search: {{storage: '{SECRET}'}}", []),
        *slowly(
            (f"search: {{warm_start_from: '{SECRET}'}}", ["logger=wandb"]),
            (f"search: {{storage: '{SECRET}'}}", ["-m", "seed=1,2"]),
            (f"search: {{storage: '{SECRET}'}}", ["-m", "hparams_search=optuna"]),
            (f"search: {{storage: '{SECRET}'}}", ["--cfg", "job"]),
            (f"search: {{storage: '{SECRET}'}}", ["-m", "hparams_search=optuna", "--cfg", "all", "--resolve"]),
            ("search: {storage: {url: x, engine_kwargs: {connect_args: {password: SECRETPW}}}}", ["--info", "config"]),
        ),
    ],
)
def test_a_password_in_a_config_is_neither_written_nor_shown(content: str, given: list[str], tmp_path: Path) -> None:
    path = tmp_path / "theirs" / "experiment" / "e.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{content}\n", encoding="utf-8")
    command = ["docclf.train", "--config-dir", "theirs", "experiment=e", "data=csv", "data.root=pages", *given]
    code, output = python(*command, cwd=tmp_path)
    assert code == 1 and "SECRETPW" not in output and "Traceback" not in output
    assert "Expected no password in `search." in output or "leave `search.storage` alone" in output
    assert [one.name for one in tmp_path.iterdir()] == ["theirs"]
    if "--info" not in given:
        way_out = ("search.storage=null", "search.warm_start_from=null", "--cfg", "job")
        assert python(*command, *way_out, cwd=tmp_path)[0] == 0
