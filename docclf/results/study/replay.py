"""What a folder says it was searched with, for a command that is printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from docclf.safety.interpolations import unsafe_interpolation
from docclf.sweeper.space.grammar import encode, read_override, to_text

# Keys and groups that say what is trained and how it is searched.
_ABOUT_TRAINING = re.compile(
    r"(data|model|augment|optimizer|scheduler|validation|trainer|search|finalists|results)([./].*)?"
    r"|hparams_search|experiment|callbacks|logger|study_name|seed|report|keep_checkpoints"
    r"|hydra[./]sweeper[./](params|conditional|climb|ladder|sampler|pruner|baseline|max_failure_rate)([./].*)?"
    r"|hydra[.]sweeper[.]finalists[.]references"  # alone, as with =null: what these are in a mapping may act
)
# Of these, what is called, and where files come from or go.
_ACTS = re.compile(
    r".*_target_.*|data\.(cache_dir|draw)(\..*)?|trainer\.(default_root_dir|profiler)(\..*)?"
    r"|search\.(storage|warm_start_from|enqueue|memory)(\..*)?"
)
# Paths that begin in the folder where the command is typed.
_PATHS = ("data.root", "data.corrections", "data.exclude", "validation.split_file", "model.checkpoint_path")

_ESCAPED = re.compile(r"\\(\$\{)")


def given_overrides(config: DictConfig, *kinds: str) -> list[str]:
    """The overrides that a search was given, as they were typed: an interpolation in them is not resolved.

    Args:
        config: Of the sweep, read from its folder by `docclf.safety.untrusted.read_config`.
        kinds: `task`, `hydra` or both.
    """
    found = OmegaConf.to_container(config.hydra)
    overrides = found.get("overrides") if isinstance(found, dict) else None
    known = overrides if isinstance(overrides, dict) else {}
    return [_ESCAPED.sub(r"\1", str(text)) for kind in kinds for text in known.get(kind) or ()]


def replayable(given: Iterable[Any]) -> list[str]:
    """Of the overrides that a folder says it was searched with, those that a printed command may have again.

    What is typed may do anything, and a command that was printed is typed without a second look. So only what is about
    training and its search is left in.

    >>> replayable(["optimizer.lr=0.1", "hydra.run.dir=/x", "+augment._target_=mine.F", "hydra/sweeper/pruner=none"])
    ['optimizer.lr=0.1', 'hydra/sweeper/pruner=none']
    """
    return [text for text in map(str, given) if _is_about_training(text)]


def retyped(config: DictConfig, replaced: Sequence[str] = ()) -> list[str] | None:
    """The overrides of a search for a printed command that goes on with it; None where it cannot have all of them.

    A command that lacks some would search something else without a word, so there is none where an override is not
    `replayable`, or a folder or the name of a config was given beside them.

    Args:
        config: See `given_overrides`.
        replaced: Keys that the command sets itself, or does without.
    """
    starts = tuple(f"{key}=" for key in ("hydra.mode", "hydra.sweep.dir", *replaced))
    given = [text for text in given_overrides(config, "task", "hydra") if not text.startswith(starts)]
    sources = str(OmegaConf.select(config, "hydra.runtime.config_sources"))
    name = OmegaConf.select(config, "hydra.job.config_name", default="train")
    if name != "train" or "'provider': 'command-line'" in sources:
        return None
    kept = replayable(given)
    return kept if kept == given else None


def _is_about_training(text: str) -> bool:
    if not text.isprintable() or text != text.strip():
        return False
    if (override := read_override(text)) is None:
        return False
    key, value = str(override.key_or_group), override.value()
    if override.package is not None or (unsafe_interpolation(text) and key != "data.root"):
        return False
    return all(_ABOUT_TRAINING.fullmatch(leaf) and not _ACTS.fullmatch(leaf) for leaf in _leaves(key, value))


def from_elsewhere(overrides: Iterable[str], cwd: Path) -> list[str]:
    """Overrides for a command that is typed in another folder than `cwd`, where they were: with whole paths."""
    found = []
    for text in overrides:
        key, _, value = text.partition("=")
        path = cwd / value.strip("'\"")
        found.append(f"{key}={to_text(encode(str(path.resolve())))}" if key in _PATHS and path.exists() else text)
    return found


def _leaves(key: str, value: Any) -> Iterator[str]:
    """The dotted key of each value, those in mappings and in lists of them too."""
    yield key
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(f"{key}.{name}", child)
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(key, child)
