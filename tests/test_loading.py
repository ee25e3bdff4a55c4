"""What the commands load: nothing heavy to print help, to complete a line, or to look at data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "pytorch_lightning",
    "torchmetrics",
    "wandb",
    "optuna",
    "sklearn",
    "matplotlib",
    "cleanlab",
    "loky",
    "onnx",
    "rich",
)


REPORT = "import atexit, json, sys; atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))"


def loaded(code: str, *arguments: str, cwd: Path, **environment: str) -> tuple[set[str], str]:
    """Heavy packages that a Python process has loaded at its end, and what it printed."""
    command = [sys.executable, "-c", f"{REPORT}\n{code}", *arguments]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    output, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    return {name.split(".")[0] for name in json.loads(modules)} & set(HEAVY), output


RUN = "import runpy; sys.argv[0] = 'train.py'; runpy.run_module('docclf.train', run_name='__main__', alter_sys=True)"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "hparams_search"),
        (["--cfg", "job"], "study_name: search"),
        (["hparams_search=optuna", "--cfg", "all"], "docclf.sweeper.plugin.DocclfSweeper"),
        (["--info", "plugins"], "DocclfSweeper"),
    ],
)
def test_help_and_config_load_nothing_heavy(tmp_path: Path, arguments: list[str], shown: str) -> None:
    heavy, output = loaded(RUN, *arguments, cwd=tmp_path)
    assert shown in output
    assert heavy == set()
    assert list(tmp_path.iterdir()) == [], "nor is a run folder made"


LOOK = "import runpy; runpy.run_module('docclf.data', run_name='__main__', alter_sys=True)"


@pytest.mark.parametrize(("arguments", "shown"), [(["--help"], "cache_dir"), (["--cfg", "job"], "near_duplicates: 22")])
def test_help_and_config_of_the_data_command_load_nothing_heavy(
    tmp_path: Path, arguments: list[str], shown: str
) -> None:
    heavy, output = loaded(LOOK, *arguments, cwd=tmp_path)
    assert shown in output
    assert heavy == set()
    assert list(tmp_path.iterdir()) == []


def test_looking_at_data_loads_no_torch(tmp_path: Path, pages_root: Path) -> None:
    heavy, output = loaded(LOOK, "data=csv", f"data.root='{pages_root}'", cwd=tmp_path)
    assert "24 training pages of 3 classes" in output
    assert heavy <= {"matplotlib", "sklearn", "rich", "loky"}, "which draw, cut folds and count cores"


def test_completing_a_command_line_loads_nothing_heavy(tmp_path: Path) -> None:
    line = "train.py model="  # Hydra completes the command of a file, not `python -m`
    heavy, output = loaded(RUN, "-sc", "query=bash", cwd=tmp_path, COMP_LINE=line, COMP_POINT=str(len(line)))
    assert "model=convnext_tiny" in output.split()
    assert heavy == set()


def test_checking_the_data_before_a_search_loads_no_torch(tmp_path: Path, pages_root: Path) -> None:
    code = """
from hydra import compose, initialize_config_dir
from hydra.utils import execution_whitelist
from docclf import CONF_DIR
from docclf.cli.preflight import preflight
from docclf.safety.targets import whitelist
with initialize_config_dir(str(CONF_DIR)), execution_whitelist(whitelist()):
    print(preflight(compose("train", sys.argv[1:]))["pages"])
"""
    heavy, output = loaded(code, "data=csv", f"data.root='{pages_root}'", "data.image_size=32", cwd=tmp_path)
    assert output.splitlines()[-1] == "24"
    assert heavy <= {"sklearn", "rich", "loky"}, "which cut folds, are imported by that, and count cores"


def test_garbage_of_a_trial_is_collected_after_the_imports_of_the_next_one(tmp_path: Path) -> None:
    code = """
import gc, weakref
from docclf import quick_imports

class Trial: ...

with quick_imports():
    import colorsys
trial = Trial()
trial.itself, seen = trial, weakref.ref(trial)
del trial
with quick_imports():
    import colorsys
gc.collect()
print(gc.get_freeze_count() > 0, seen())
"""
    assert loaded(code, cwd=tmp_path)[1].split() == ["True", "None"]
