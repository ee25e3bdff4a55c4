"""Who may import whom, and what is not imported until a job trains."""

import ast
import re
from collections.abc import Iterator
from functools import cache
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
    "results": {"data", "inference", "metrics", "sweeper"},
    "review": {"data", "results"},
    "loggers": {"results", "sweeper"},
    "training": {"data", "inference", "loggers", "metrics", "models", "results"},
    "cli": {"data", "loggers", "sweeper", "training"},
}
# What every room may import: it knows nothing of any.
OPEN = {"errors", "files", "safety"}
# Names of docclf itself, which every room may import.
ITSELF = {"CONF_DIR", "__version__", "n_cores"}


def room(module: str) -> str:
    return module if module in COMMANDS else module.split("/")[0]


@cache
def executed(module: str) -> list[ast.AST]:
    """Nodes of a file's syntax tree, but for what is there for types alone."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    of_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in of_types for inner in ast.walk(node)}
    return [node for node in ast.walk(tree) if id(node) not in skipped]


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


def test_a_room_imports_those_below_it_alone() -> None:
    for module in MODULES:
        mine = room(module)
        if mine in COMMANDS:
            continue
        assert mine in {*RULES, *OPEN}, f"{module} is in no room; say in RULES what it may import"
        rooms = {name.split(".")[1] for name in imports(module) if name.startswith("docclf.")}
        above = rooms - OPEN - RULES.get(mine, set()) - ({*ITSELF, mine} if mine in RULES else set())
        assert not above, f"{module} imports what is above it"


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


EXPORTS = {"safety/allow", "results/study/export", "results/study/trial_config", "loggers/callback"}
TORCH = {"torch", "timm", "pytorch_lightning", "torchmetrics", "torchvision"}


def importers(*packages: str) -> set[str]:
    """Modules that import one of some packages of others."""
    return {module for module in MODULES if outside(module) & set(packages)}


def in_rooms(modules: set[str], *rooms: str) -> set[str]:
    return {module for module in modules if room(module) in rooms}


def test_hydra_is_imported_by_sweeper_export_and_commands_alone() -> None:
    found = importers("hydra", "hydra_plugins")
    assert found - in_rooms(found, "sweeper", "cli", *COMMANDS) <= EXPORTS


def test_optuna_is_imported_by_sweeper_results_and_what_is_above_alone() -> None:
    found = importers("optuna")
    assert found == in_rooms(found, "sweeper", "results", "api", *COMMANDS)


def test_sweeper_and_results_never_import_torch() -> None:
    assert not in_rooms(importers(*TORCH), "sweeper", "results")


def test_wandb_is_imported_by_loggers_alone() -> None:
    found = importers("wandb")
    assert found and found == in_rooms(found, "loggers")


def test_these_rules_see_what_is_imported() -> None:
    assert {"docclf.training.validation", "torch"} <= set(imports("training/folds/trainer"))
    assert "docclf.training.crossval" in set(imports("train")), "an import inside a function too"


# What opens or calls what a file names: each in the one place that looks at it first.
DOORS = {
    r"\binstantiate\(": {"safety/allow"},
    r"\b(get_method|get_class|get_object)\(": {"sweeper/run/opening/request"},
    r"\bimport_module\(": {"sweeper/job/worker", "safety/allow", "__init__"},  # of what is allowed, of docclf
    r"\b(sqlite3\.connect|RDBStorage)\((?!.*\bConnection\b)": set(),  # see docclf/safety/sqlite.py
    r"torch\.load\((?!path, weights_only=True)": set(),
    r"timm\.models\.load_state_dict\((?!checkpoint_path, weights_only=True)": set(),
    r"\bpickle\.loads?\(|Unpickler|joblib\.load|allow_pickle=True|\bdill\b": {
        "sweeper/job/worker",
        "sweeper/job/task",  # what the same object has pickled, as in the next one
        "sweeper/space/composing",
    },
    r"yaml\.(safe_|full_|unsafe_)?load(_all)?\(": {"safety/untrusted"},
    r"OmegaConf\.load\(": {
        "safety/untrusted",
        "cli/composing",
        "training/parts",
        "results/study/trial_config",
        "sweeper/study/starting_points",
    },
    r"(?<![.\w])(eval|exec|compile)\(|os\.system|shell=True": set(),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_files_name_is_opened_and_called_in_one_place(door: str) -> None:
    found = {m for m in MODULES if re.search(door, (PACKAGE / f"{m}.py").read_text(encoding="utf-8"))}
    assert found <= DOORS[door], "see docclf/safety/ and docclf/models/state.py for how"
