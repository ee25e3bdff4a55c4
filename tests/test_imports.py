"""Who may import whom, and what is not imported until a job trains."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "docclf"
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))

COMMANDS = ("train", "data/__main__", "predict", "report", "merge", "compare", "export_model", "labels")
# Room: the rooms that it may import besides itself. The commands may import all.
RULES = {
    "__init__": {"api", "inference", "predict"},
    "api": {"results", "sweeper"},
    "sweeper": {"quick_imports"},  # of docclf itself
    "metrics": set(),
    "demo": set(),
    "data": set(),
    "models": {"data", "metrics"},
    "inference": {"data", "metrics", "models"},
    "results": {"inference", "metrics", "sweeper"},
    "review": {"data", "results"},
    "loggers": {"results", "sweeper"},
    "training": {"data", "inference", "loggers", "metrics", "models", "results"},
    "cli": {"data", "loggers", "sweeper", "training"},
}
# What every room may import: it knows nothing of any.
OPEN = {"errors", "files", "safety"}
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


def room(module: str) -> str:
    return module if module in COMMANDS else module.split("/")[0]


def executed(module: str) -> Iterator[ast.AST]:
    """Nodes of a file's syntax tree, but for what is there for types alone."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    of_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in of_types for inner in ast.walk(node)}
    yield from (node for node in ast.walk(tree) if id(node) not in skipped)


def imports(module: str) -> Iterator[str]:
    """Names of the modules that a file imports, anywhere in it."""
    for node in executed(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import, which these tests do not follow"
            # `from docclf import train` names a module; `from docclf.errors import DataError` does not.
            yield from (
                (f"docclf.{alias.name}" for alias in node.names) if node.module == "docclf" else [str(node.module)]
            )


def outside(module: str) -> set[str]:
    return {name.split(".")[0] for name in imports(module)} - {"docclf"}


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_those_below_it_alone(module: str) -> None:
    mine = room(module)
    if mine in COMMANDS:
        return
    if mine in OPEN:
        assert {name.split(".")[1] for name in imports(module) if name.startswith("docclf.")} <= OPEN
        return
    assert mine in RULES, f"{module} is in no room; say in RULES what it may import"
    rooms = {name.split(".")[1] for name in imports(module) if name.startswith("docclf.")}
    rooms -= {"CONF_DIR", "__version__"}
    assert rooms - {mine, *OPEN} <= RULES[mine]


def test_no_circle_of_modules() -> None:
    """Imports inside functions counted, those for types alone not."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        nodes = [node for node in executed(module) if isinstance(node, ast.ImportFrom)]
        names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
        name = f"docclf.{module.replace('/', '.')}".removesuffix(".__init__")
        found[name] = names | {str(node.module) for node in nodes}
    rooms = {name.rpartition(".")[0] for name in found}  # which hold a docstring, or names for those outside
    TopologicalSorter({name: others & (found.keys() - rooms - {name}) for name, others in found.items()}).prepare()


def test_no_circle_of_rooms() -> None:
    below = {name: rooms & RULES.keys() for name, rooms in RULES.items()}
    while free := {name for name, rooms in below.items() if not rooms}:
        below = {name: rooms - free for name, rooms in below.items() if name not in free}
    assert below == {}


@pytest.mark.parametrize("module", MODULES)
def test_hydra_is_imported_by_sweeper_export_and_commands_alone(module: str) -> None:
    if room(module) in ("sweeper", "cli", *COMMANDS) or module in (
        "safety/allow",
        "results/study/export",
        "results/study/trial_config",
        "loggers/callback",
    ):
        return
    assert not outside(module) & {"hydra", "hydra_plugins"}


@pytest.mark.parametrize("module", MODULES)
def test_optuna_is_imported_by_sweeper_results_and_what_is_above_alone(module: str) -> None:
    if room(module) not in ("sweeper", "results", "api", *COMMANDS):
        assert "optuna" not in outside(module)


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in ("sweeper", "results")])
def test_sweeper_and_results_never_import_torch(module: str) -> None:
    assert not outside(module) & {"torch", "timm", "pytorch_lightning", "torchmetrics", "torchvision"}


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) != "loggers"])
def test_wandb_is_imported_by_loggers_alone(module: str) -> None:
    assert "wandb" not in outside(module)


def test_these_rules_see_what_is_imported() -> None:
    assert {"docclf.data.folds", "torch"} <= set(imports("training/folds/fitting"))
    assert "docclf.training.crossval" in set(imports("train")), "an import inside a function too"


# What opens or calls what a file names: each in the one place that looks at it first.
DOORS = {
    r"\binstantiate\(": {"safety/allow"},
    r"\b(get_method|get_class|get_object)\(": {"sweeper/run/opening/request", "results/study/export"},
    r"\bimport_module\(": {"sweeper/job/worker"},
    r"torch\.load\((?!path, weights_only=True)": set(),
    r"\bpickle\.loads?\(|Unpickler|joblib\.load|allow_pickle=True|\bdill\b": {"sweeper/job/worker"},
    r"yaml\.(safe_|full_|unsafe_)?load(_all)?\(": {"safety/untrusted", "results/report/trial_page"},
    r"OmegaConf\.load\(": {
        "safety/untrusted",
        "cli/composing",
        "training/parts",
        "results/study/trial_config",
        "sweeper/study/known",
    },
    r"(?<![.\w])(eval|exec|compile)\(|os\.system|shell=True": set(),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_files_name_is_opened_and_called_in_one_place(door: str) -> None:
    found = {m for m in MODULES if re.search(door, (PACKAGE / f"{m}.py").read_text(encoding="utf-8"))}
    assert found <= DOORS[door], "see docclf/safety/ and docclf/models/state.py for how"


# What the commands load

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
    assert heavy == {"matplotlib"}, "which draws the picture"


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
from docclf.train import TARGETS
with initialize_config_dir(str(CONF_DIR)), execution_whitelist(TARGETS):
    print(preflight(compose("train", sys.argv[1:]))["pages"])
"""
    heavy, output = loaded(code, "data=csv", f"data.root='{pages_root}'", "data.image_size=32", cwd=tmp_path)
    assert output.splitlines()[-1] == "24"
    assert heavy <= {"sklearn", "rich"}, "which splits the folds, and imports rich where that is installed"
