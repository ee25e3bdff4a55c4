"""What must be so when a study goes on: its folders, its space, its config, its data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import json_to_distribution

from docclf.errors import ConfigError, SpaceError
from docclf.sweeper.config import Settings
from docclf.sweeper.space.grammar import describe
from docclf.sweeper.space.keys import leaves
from docclf.sweeper.space.parameters import Space, key_of
from docclf.sweeper.study.attributes import read_record

FACTS = "facts"  # attribute of a study: what its preflight has found
CONFIG = "config"  # attribute of a study: what all its trials have in common


@dataclass(frozen=True)
class Before:
    """What an earlier release of the application did otherwise, so that its studies go on as they began."""

    facts: Mapping[str, Any] = field(default_factory=dict)  # those of a preflight that it gave other values
    overrides: Sequence[str] = ()  # with which jobs do now what they did then
    names: Mapping[str, str] = field(default_factory=dict)  # values of its config that are called otherwise now

    def fits(self, study: optuna.Study, facts: Mapping[str, Any]) -> bool:
        """Whether a study was begun by that release."""
        known = study.user_attrs.get(FACTS)
        return bool(self.facts) and known == json.dumps({**facts, **self.facts}, sort_keys=True)


def require_known_folders(study: optuna.Study | None, directory: Path, config: DictConfig) -> int:
    """See that no folder of a trial is there that the study does not know, which a new trial would overwrite.

    Args:
        study: None where there is none yet.

    Returns:
        How many trials the study has.

    Raises:
        ConfigError: There is one: the study's file was removed, emptied or replaced by an older one.
    """
    # Looked for before the trials are counted: another process makes the trial first, and then its folder.
    found = [int(path.name) for path in directory.iterdir() if path.name.isdecimal() and any(path.iterdir())]
    n = 0 if study is None else len(study.get_trials(deepcopy=False))
    if unknown := sorted(number for number in found if number >= n):
        some = ", ".join(map(str, unknown[:5])) + (" ..." if len(unknown) > 5 else "")
        raise ConfigError(
            f"Expected a study that knows the trials whose folders are in {directory}, got one of {n} trials, and "
            f"folders of trials beyond: {some}. Its file may have been removed, emptied or replaced. New trials would "
            f"overwrite these folders. Put the study back, or begin another one with {_way_out(config)}."
        )
    return n


def _way_out(config: DictConfig) -> str:
    return "study_name=NEW_NAME" if "study_name" in config else "hydra.sweep.dir=NEW_FOLDER"


def require_same_search(
    study: optuna.Study,
    space: Space,
    facts: Mapping[str, Any],
    objectives: Mapping[str, str],
    settings: Settings,
    config: DictConfig,
    compose: Callable[[Sequence[str]], DictConfig],
    names: Mapping[str, str],
) -> None:
    """Keep what a new search is about, and compare it when the search goes on.

    Args:
        names: Values of a config of an earlier release, to what they are called now.

    Raises:
        SpaceError: It is another search.
    """
    free = settings.may_change
    common = _fixed(space, config) if free is None else _constants(space, compose, free)
    records = {
        "space": ("the search space", space.to_json()),
        "objective": ("the objectives", objectives),
        CONFIG: ("the config", common),  # before the facts, since it names keys
        FACTS: ("the data and the validation", facts),
    }
    for key, (what, values) in records.items():
        require_same(study, key, values, what=what, way_out=_way_out(config), names=names)


def _constants(
    space: Space, compose: Callable[[Sequence[str]], DictConfig], may_change: Sequence[str]
) -> dict[str, str]:
    """What every trial has in common and must keep: the config but for what is searched or may change."""
    config = compose(space.fixed)
    free = (*may_change, *(key_of(key) for key in space.keys))
    return {
        key: str(OmegaConf.select(config, key, throw_on_missing=False))
        for key in leaves(config)
        if not any(key == name or key.startswith(f"{name}.") for name in free)
    }


def _fixed(space: Space, config: DictConfig) -> dict[str, str]:
    """The overrides that every trial gets, but for those that only set the sweeper, as in `n_trials: ${n_trials}`."""
    used = set(re.findall(r"\$\{([\w.]+)\}", OmegaConf.to_yaml(config.hydra)))
    split = (text.partition("=") for text in space.fixed)
    return {key: value for key, _, value in split if key not in used}


def require_same(
    study: optuna.Study,
    key: str,
    facts: Mapping[str, Any],
    *,
    what: str,
    way_out: str,
    names: Mapping[str, str] | None = None,
) -> None:
    """Keep facts with a new study, and compare them when it is continued.

    A fact that one of both has not is the same as one that is null or false: keys of a later release, which are off.

    Args:
        key: User attribute of the study.
        facts: JSON-serialisable values by name.
        what: The facts in words, for the message.
        way_out: How to begin another study.
        names: Facts of an earlier release, to what they are called now.

    Raises:
        SpaceError: The study was begun with others; the message names the differences.
    """
    known, value = study.user_attrs.get(key), json.dumps(dict(facts), sort_keys=True)
    if known is None:
        study.set_user_attr(key, value)
        return
    before, now = read_record(known), json.loads(value)
    if before is None:
        raise SpaceError(
            f"Expected {what} in the attribute `{key}` of study `{study.study_name}`, got something else. Begin "
            f"another study with {way_out}."
        )
    before = {name: (names or {}).get(str(fact), fact) for name, fact in before.items()}
    changed = "".join(
        f"  {name}: {show_fact(before.get(name))}, now {show_fact(now.get(name))}\n"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name) and not _is_new(name, before, now)
    )
    if changed:
        raise SpaceError(
            f"Expected {what} of study `{study.study_name}` as it was begun, got another:\n{changed}"
            f"Set it back to continue, or begin another study with {way_out}."
        )


def _is_new(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether one of both has not this fact, and the other has it switched off."""
    return (name in before) != (name in now) and str({**before, **now}[name]) in ("None", "False")


def show_fact(fact: Any) -> str:
    """A fact, or the JSON of a distribution, in a few characters."""
    if isinstance(fact, str) and fact.startswith('{"name":'):
        return describe(json_to_distribution(fact))
    return "nothing" if fact in (None, "None") else str(fact)
