"""The house's limits: lines of files and functions, entries of folders, docstrings, private names of others."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "docclf"
FILES = sorted(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
FOLDERS = sorted({folder for path in FILES for folder in path.relative_to(PACKAGE).parents})
MODULES = [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in FILES if path.suffix == ".py"]


@cache
def parse(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


# Length

MOST_LINES = 250  # of a file


def test_files_are_short() -> None:
    lines = {path.relative_to(PACKAGE).as_posix(): path.read_bytes().count(b"\n") for path in FILES}
    over = {name: n for name, n in lines.items() if n > MOST_LINES}
    assert not over, "simplify them, or divide them by idea"


_LONGEST = 40  # lines of a function without its docstring


def test_functions_are_short() -> None:
    for module, node in ((name, node) for name in MODULES for node in ast.walk(parse(name))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node) is not None
            first = node.body[0]
            of_docstring = int(first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            n = int(node.end_lineno or 0) - node.lineno + 1 - of_docstring
            assert n <= _LONGEST, f"{node.name} of {module} has {n} lines: give its steps names"


# Folders

MOST_ENTRIES = 12
# What stands beside the rooms: the commands, and what all may import.
TOP = {"api.py", "errors.py", "files.py", "py.typed"}
TOP |= {f"{name}.py" for name in ("train", "predict", "report", "merge", "compare", "export_model", "labels")}


def test_a_folder_can_be_seen_at_a_glance() -> None:
    for folder in FOLDERS:
        inner = [path for path in FILES if path.is_relative_to(PACKAGE / folder) and path.name != "__init__.py"]
        parts = [path.relative_to(PACKAGE / folder).parts for path in inner]
        folders, files = {first for first, *more in parts if more}, {first for first, *more in parts if not more}
        if folder == Path():
            assert len(folders) <= MOST_ENTRIES and files == TOP, "a new file belongs in one of the rooms"
        else:
            assert len(folders | files) <= MOST_ENTRIES, f"merge two modules of {folder}, or make a folder of some"


# Docstrings

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    """Dotted names of what is public and has no docstring; what stands in a function is not looked at."""
    for node in tree.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node, f"{prefix}{node.name}.")


def test_what_is_public_has_a_docstring_or_overrides_what_has_one() -> None:
    for module in MODULES:
        missing = list(undocumented(parse(module)))
        if any("." in name for name in missing):  # a method, of which a base class may say what it does
            found = importlib.import_module(f"docclf.{module.replace('/', '.')}")
            missing = [name for name in missing if "." not in name or not inspect.getdoc(attrgetter(name)(found))]
        assert not missing, f"say in {module} what it does, for those who call it"


def test_what_has_no_docstring_is_seen() -> None:
    code = "class A:\n    def f(self): ...\ndef g(): ...\ndef _h(): ..."
    assert list(undocumented(ast.parse(code))) == ["A", "A.f", "g"]


# Private names of other packages, whose next release may change them: one module for each package.
PRIVATE = {"sweeper/hydra_private", "sweeper/optuna_private"}
OTHERS = {
    *("hydra", "loky", "omegaconf", "optuna", "PIL", "pytorch_lightning", "ray", "rich", "sklearn", "submitit", "timm"),
    *("cloudpickle", "hydra_plugins", "torch", "wandb"),
}


def own_names(tree: ast.AST) -> Iterator[str]:
    """What a file defines, or sets on `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            yield node.attr


def private_names(tree: ast.AST) -> list[str]:
    """Names with one underscore in front, imported from another package or asked of what is not `self`."""
    own, found = set(own_names(tree)), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in OTHERS:
            found += [*str(node.module).split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            found.append(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr"):
            found += [str(part.value) for part in node.args if isinstance(part, ast.Constant)]
    return [name for name in found if re.match("_[a-zA-Z]", name)]


def test_private_names_of_other_packages_stand_in_the_modules_for_them_alone() -> None:
    found = {module: names for module in MODULES if (names := private_names(parse(module)))}
    assert found.keys() <= PRIVATE, "take a public name, or give it a function there, with the reason"


@pytest.mark.parametrize(
    "line",
    [
        *("study._storage", "getattr(x, '_y')", "from optuna.pruners import _filter"),
        *("from hydra._internal import utils", "from hydra_plugins.hydra_optuna_sweeper._impl import f"),
    ],
)
def test_a_private_name_is_seen(line: str) -> None:
    assert private_names(ast.parse(line))


def test_what_a_class_calls_its_own_is_not_another_packages() -> None:
    assert not private_names(ast.parse("class A:\n    def _f(self, other): self._x = other._x or other._f()"))
