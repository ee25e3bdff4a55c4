"""Writes docs/reference/config.md from conf/ and its comments, the sweeper's schema, its samplers and its pruners.

python docs/reference.py     `make docs` does so too: this is a hook of mkdocs
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from docclf import CONF_DIR
from docclf.sweeper import config as schema

PAGE = Path(__file__).parent / "reference" / "config.md"
# Group to its default option. Those that have none are shown as they are.
DEFAULTS = dict(re.findall(r"^  - (\w+): (?!null)(\w+)", (CONF_DIR / "train.yaml").read_text(encoding="utf-8"), re.M))
_KEY = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?: +(?P<value>[^#\s].*?))?(?: +# (?P<comment>.*))?$")


class Key(NamedTuple):
    """A key of a YAML file: its dotted name, its value as it is written, and what the file says of it."""

    name: str
    value: str
    meaning: str


def read_keys(path: Path, prefix: str = "") -> list[Key]:
    """Keys of a config file in their order. A key without a comment has that of the block it stands in."""
    found: list[Key] = []
    parents: list[tuple[int, str]] = []
    block = ""
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines[next(i for i, line in enumerate(lines) if not line.startswith("#")) :]:
        if not line.strip() or line.lstrip().startswith("# "):
            block = line.strip().removeprefix("# ")
            continue
        if (match := _KEY.match(line)) is None or match["key"] == "defaults":
            continue
        parents = [parent for parent in parents if parent[0] < len(match["indent"])]
        name = ".".join([*(parent[1] for parent in parents), match["key"]])
        parents.append((len(match["indent"]), match["key"]))
        if match["value"] is None:
            block = ""
        found.append(Key(f"{prefix}{name}", match["value"] or "", match["comment"] or block))
    return found


def head(path: Path) -> tuple[str, list[str]]:
    """What the first lines of an option say: its description, and the commands that use it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    comments = [line.removeprefix("# ") for line in lines[:end] if not line.startswith("# @package")]
    commands = [line for line in comments if line.startswith("python -m docclf.")]
    return " ".join(line for line in comments if line not in commands), commands


def code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield from ("", f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}")
    for row in rows:
        cells = [cell if "`" in cell else cell.replace("<", r"\<") for cell in row]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def group_section(group: str) -> Iterator[str]:
    """Options of a group, and all keys below its name with the value that each option gives them."""
    first = DEFAULTS[group]
    extended = re.findall(r"^  - ([a-z]\w*)$", (CONF_DIR / group / f"{first}.yaml").read_text(encoding="utf-8"), re.M)
    paths = sorted((CONF_DIR / group).glob("*.yaml"), key=lambda path: (path.stem != first, path.stem))
    yield f"\n## {group}"
    heads = {path.stem: head(path) for path in paths}
    rows = [[code(f"{group}={name}"), text, "<br>".join(map(code, use))] for name, (text, use) in heads.items()]
    yield from table(["Option", "What it is", "Command"], rows)
    in_train = read_keys(CONF_DIR / "train.yaml")
    keys: dict[str, Key] = {key.name: key for key in in_train if key.name.startswith(f"{group}.")}
    values = {name: {"": key.value} for name, key in keys.items()}
    for path in paths:
        for key in read_keys(path, f"{group}."):
            meaning = next((known.meaning for known in (keys.get(key.name), key) if known and known.meaning), "")
            keys[key.name] = key._replace(meaning=meaning)
            values.setdefault(key.name, {})[path.stem] = key.value
    for name, key in keys.items():
        if name.endswith(("._target_", "._partial_")) or not (key.meaning or any(values[name].values())):
            del values[name]
    rows = [[code(name), by_option(its, ["", first, *extended]), keys[name].meaning] for name, its in values.items()]
    if rows:
        yield from table(["Key", "Value", "Meaning"], rows)


def by_option(values: dict[str, str], order: list[str]) -> str:
    """The value of a key, the first one in this order of options; and those of options that have another one."""
    usual = next((name for name in order if name in values), None)
    others = {name: value for name, value in values.items() if usual is None or value != values[usual]}
    told = [code(values[usual])] if usual is not None and values[usual] else []
    return "; ".join([*told, *(f"{name}: {code(value)}" for name, value in others.items())])


def file_section(title: str, path: Path, *, only: tuple[str, ...] | None = None) -> Iterator[str]:
    """A table of the keys of one file."""
    yield f"\n## {title}"
    keys = [key for key in read_keys(path) if (key.value or key.meaning) and not key.name.startswith("hydra.")]
    keys = [key for key in keys if only is None or key.name.partition(".")[0] in only]
    yield from table(["Key", "Value", "Meaning"], [[code(k.name), code(k.value), k.meaning] for k in keys])


def whole_section(title: str, text: str, paths: list[Path]) -> Iterator[str]:
    """Files as they are, for options that set keys of several groups."""
    yield from (f"\n## {title}", "", text)
    for path in paths:
        name = path.relative_to(CONF_DIR).with_suffix("").as_posix()
        yield from (f"\n### {name}", "", "```yaml", path.read_text(encoding="utf-8").strip(), "```")


def fields(config: type[Any], prefix: str) -> Iterator[list[str]]:
    """Key, default and comment of each field of a schema; a comment holds up to the next blank line."""
    defaults = {
        f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(config)
    }
    comment: list[str] = []
    is_told = False
    for line in inspect.getsource(config).splitlines():
        if (text := line.strip()).startswith("# "):
            comment = [*([] if is_told else comment), text.removeprefix("# ")]
            is_told = False
        elif not text:
            comment = []
        elif (match := re.match(r"^    (\w+): ", line)) and comment and not comment[-1].startswith("--"):
            yield [code(prefix + match[1]), code(shown(defaults[match[1]])), " ".join(comment)]
            is_told = True
        if comment[:1] and comment[0].startswith("--"):
            comment = []


def shown(value: object) -> str:
    """A value as YAML has it."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def optuna_arguments(option: str, module: Any) -> tuple[str, dict[str, str]]:
    """The class of Optuna that an option names, and the first sentence that its docstring says of each argument."""
    classes = {name.lower(): name for name in module.__all__}
    kind = module.__name__.rpartition(".")[2][:-1]
    if (name := classes.get(f"{option.replace('_', '')}{kind}")) is None:
        return "", {}
    text = inspect.getdoc(getattr(module, name)) or ""
    found = re.findall(r"^    (\w+)(?: \([^)]*\))?:[ ]*\n((?:[ ]{8}.*\n?|\n)*)", text.partition("Args:\n")[2], re.M)
    return name, {argument: first_sentence(body) for argument, body in found}


def first_sentence(text: str) -> str:
    """Of a docstring in reStructuredText, in Markdown."""
    text = re.sub(r"`([^`<]+?) <[^`]*>`__?", r"\1", " ".join(text.split()))  # a link
    text = re.sub(r":\w+:`~?([^`<]+?)(?: <[^`]*)?`", lambda m: f"`{m[1].rpartition('.')[2]}`", text)
    return re.split(r"(?<=[.!])\s", text.replace("``", "`"), maxsplit=1)[0].partition(" .. ")[0]


def options_of_sweeper(group: str, module: Any) -> Iterator[str]:
    """Every sampler or pruner with its keys, composed as a search has them."""
    options = sorted(GlobalHydra.instance().config_loader().get_group_options(f"hydra/sweeper/{group}"))
    documented = {option: optuna_arguments(option, module) for option in options}
    anywhere = {argument: text for _, said in documented.values() for argument, text in said.items()}
    for option, (name, said) in documented.items():
        chosen = compose("train", ["hydra/sweeper=docclf", f"hydra/sweeper/{group}={option}"], return_hydra_config=True)
        link = f"https://optuna.readthedocs.io/en/stable/reference/{module.__name__.partition('.')[2]}.html"
        kind = KINDS.get(option, f"[optuna.{module.__name__.partition('.')[2]}.{name}]({link})")
        yield from (f"\n### {group}={option}", "", f"`hydra/sweeper/{group}={option}`: {kind}")
        rows = [
            [
                code(f"hydra.sweeper.{group}.{key}"),
                code(shown(value)),
                said.get(str(key), anywhere.get(str(key), UNSAID)),
            ]
            for key, value in chosen.hydra.sweeper[group].items_ex(resolve=False)
            if key not in ("_target_", "_partial_")
        ]
        if rows:
            yield from table(["Key", "Value", "Meaning"], rows)


def pages() -> Iterator[str]:
    """The lines of the page."""
    yield INTRODUCTION
    yield from file_section("Top level", CONF_DIR / "train.yaml", only=TOP)
    for group in DEFAULTS:
        yield from group_section(group)
    for group, text in WHOLE.items():
        yield from whole_section(group, text, sorted((CONF_DIR / group).glob("*.yaml")))
    yield from ("\n## hydra.sweeper", "", SWEEPER)
    rows = [*fields(schema.SweeperConfig, "hydra.sweeper.")]
    rows += [*fields(schema.FinalistsConfig, "hydra.sweeper.finalists.")]
    rows += [*fields(schema.ClimbConfig, "hydra.sweeper.climb.")]
    yield from table(["Key", "Default", "Meaning"], rows)
    yield from ("\n## Samplers", "", SAMPLERS)
    yield from options_of_sweeper("sampler", optuna.samplers)
    yield from ("\n## Pruners", "", PRUNERS)
    yield from options_of_sweeper("pruner", optuna.pruners)
    yield from file_section("python -m docclf.predict", CONF_DIR / "predict.yaml")
    yield from file_section("python -m docclf.export_model", CONF_DIR / "export_model.yaml")
    hydra = [CONF_DIR / "app.yaml", CONF_DIR / "screen.yaml", *sorted((CONF_DIR / "hydra").glob("*_logging/*.yaml"))]
    yield from whole_section("How Hydra runs", "Folders, log files and callbacks.", hydra)


def write(*_: object, **__: object) -> None:
    """Write the page, if it is not as it should be."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR)):
        text = "\n".join(pages()) + "\n"
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        PAGE.write_text(text, encoding="utf-8")


TOP = ("study_name", "seed", "refit", "teacher", "report", "results", "keep_checkpoints", "finalists", "search")
WHOLE = {
    "hparams_search": "Searches. Each is one file that sets the space, the pruner and the budget.",
    "experiment": "Model, augmentation and image size that belong together.",
}
UNSAID = "Optuna does not document it."
KINDS = {
    "none": "No trial is pruned.",
    "motpe": "Removed from Optuna: `tpe` takes several objectives.",
    "cmaes": "Refused unless `DOCCLF_ALLOW=optuna.samplers.CmaEsSampler`: it opens pickles that the study holds.",
}
INTRODUCTION = """\
# Config keys

<!-- Written by docs/reference.py from conf/. Change the comment in conf/, then `make docs`. -->

Every key of docclf with its value and its meaning, as `conf/` gives them. Set a key with `KEY=VALUE` and choose an
option with `GROUP=OPTION` on the command line. `python -m docclf.train --cfg job` prints the whole config. Where an
option gives a key another value than the usual one, its name stands before the value. A value in `${...}` comes from
another key, and `???` must be given. `_target_` and `_partial_`, which say what an option builds, are left out."""
SWEEPER = """\
The settings of the search, with the defaults of the schema. [hparams_search/optuna](#hparams_searchoptuna) sets most of
them, and takes the everyday ones from `search.` and `finalists.`"""
SAMPLERS = """\
A sampler proposes the values of the next trial. `null`, and `0` for `multivariate`, leave the choice to Optuna."""
PRUNERS = """\
A pruner stops a bad trial early. Steps are epochs, counted through all folds: 3 folds of 3 epochs make 9 steps. No
trial is pruned before step `validation.prune_after`."""

on_pre_build = write  # as a hook of mkdocs

if __name__ == "__main__":
    write()
