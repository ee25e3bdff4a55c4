"""What a search starts from: the baseline, configurations to try first, and what another study has learned."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.errors import ConfigError, SpaceError
from docclf.safety.untrusted import inside, read_config, reading
from docclf.sweeper.optuna_private import renumber
from docclf.sweeper.space.checks import check_keys
from docclf.sweeper.space.grammar import decode, describe, encode, parse_override, to_text
from docclf.sweeper.space.parameters import Space, key_of
from docclf.sweeper.storage.hiding import split_name
from docclf.sweeper.storage.places import choose_study, open_storage, sqlite_url
from docclf.sweeper.study.attributes import ENQUEUED

log = logging.getLogger(__name__)


def read_entries(
    entries: Sequence[Any],
    space: Space,
    config: DictConfig,
    cwd: Path,
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda values: values,
) -> dict[str, dict[str, Any]]:
    """Read `enqueue`: configurations to try before the sampler chooses.

    Args:
        entries: Each a mapping of keys to values, a list of overrides, a text of overrides with spaces between, or the
            path of a YAML file: an exported `params.yaml` or whole config. Keys left out are drawn by the sampler.
        config: The composed config, to name near keys.
        cwd: Where relative paths begin.
        complete: Adds to the values of an entry what follows from them.

    Returns:
        Text of the entry to draws by name in the study.

    Raises:
        ConfigError, DataError: A file that is not there, or holds no mapping.
        SpaceError: A key that is not searched, or a value outside its range.
    """
    found = {}
    for entry in entries:
        given = list(_values(entry, space, cwd))
        values = dict(given)
        shown = " ".join(f"{key}={to_text(value)}" for key, value in given)
        if not given or len(given) > len(values):
            raise SpaceError(
                f"Expected entries of `enqueue` that give keys one value each, got `{shown or entry}`. "
                f"Write for example '{_example(space)}'."
            )
        check_keys((key for key in values if key not in space.keys), config)
        values = dict(complete(values))
        known = {**{p.key: values.get(p.key) for p in space.active(values)}, **values}
        for key in values:
            if key not in space.keys:
                raise SpaceError(
                    f"Expected keys of the search space in `enqueue`, got `{key}` in `{shown}`, which is not searched. "
                    f"Searched are {', '.join(space.keys)}."
                )
        for key, distribution in space.misfits(known).items():
            if key in values:
                raise SpaceError(
                    f"Expected `{key}` of `enqueue` within its search range {describe(distribution)}, "
                    f"got {to_text(values[key])} in `{shown}`."
                )
        found[shown] = space.to_names(values)
    return found


def enqueue(study: optuna.Study, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Queue entries that the study has not tried or queued yet."""
    seen = {trial.user_attrs.get(ENQUEUED) for trial in study.get_trials(deepcopy=False)}
    for text, params in entries.items():
        if text not in seen:
            study.enqueue_trial(dict(params), user_attrs={ENQUEUED: text})


def _values(entry: Any, space: Space, cwd: Path) -> Iterator[tuple[str, Any]]:
    if isinstance(entry, str) and entry.endswith((".yaml", ".yml")):
        path = cwd / entry
        if not path.is_file():
            raise ConfigError(
                f"Expected `enqueue` to name a YAML file of keys and values such as multirun/NAME/best/params.yaml, "
                f"got {path}, which does not exist."
            )
        content = read_config(path)
        for key in space.keys:
            name = key.lstrip("+")
            with reading("keys and values", path):
                value = content[name] if name in content else OmegaConf.select(content, name)
            # A group has only its content in a whole config, not its name.
            if name in content or (value is not None and not OmegaConf.is_dict(value)):
                yield key, encode(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)
    elif isinstance(entry, Mapping):
        yield from ((str(key), encode(value)) for key, value in entry.items())
    elif not isinstance(entry, str | Sequence):
        raise ConfigError(
            f"Expected `enqueue` to list mappings, texts of overrides or files, got {entry} among them. "
            f"A text is, for example, '{_example(space)}'."
        )
    else:
        # Blanks are within quotes, lists and mappings, too: an override begins at its key.
        for text in filter(None, re.split(r"\s+(?=[^\s='\"]+=)", entry.strip())) if isinstance(entry, str) else entry:
            if "=" not in str(text):
                raise ConfigError(
                    f"Expected `enqueue` to list overrides such as '{_example(space)}', or files that "
                    f"end with .yaml, got `{text}`."
                )
            try:
                override = parse_override(str(text))
            except SpaceError as error:
                raise SpaceError(
                    f"Expected `enqueue` to list overrides such as '{_example(space)}', got `{text}`: {error.__cause__}"
                ) from error
            if override.is_sweep_override() or override.is_delete():
                raise SpaceError(f"Expected `enqueue` to give every key one value, got `{text}`.")
            yield override.get_key_element(), encode(override.value())


def _example(space: Space) -> str:
    return f"{next(iter(space.keys), 'key')}=1"


def read_study(source: str, cwd: Path) -> optuna.Study:
    """Open a study to learn from.

    Args:
        source: A search's folder, a study.db, a journal file, or a storage URL; `#NAME` behind it names the study where
            the storage holds several.

    Raises:
        ConfigError: There is none, or several without a name.
    """
    place, name = (source, "") if (cwd / source).exists() else split_name(source)
    if "://" not in place:
        path = cwd / place
        path = inside(path, "study.db") if path.is_dir() else path
        if not path.is_file():
            raise ConfigError(f"Expected a search's folder, a study.db or a storage URL, got {path}: no such file.")
        place = str(path) if path.suffix in (".log", ".journal") else sqlite_url(path)
    return choose_study(open_storage(place), source, name)


def fitting_trials(source: optuna.Study, space: Space, directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Another study's complete trials, as if they were drawn from this space; those outside it are left out.

    Their numbers are negative, so that no sampler takes one for a trial of its own. They end with -1, before which
    Optuna's `IntersectionSearchSpace` looks at nothing.

    Raises:
        SpaceError: The other study has other directions.
    """
    if list(source.directions) != list(directions):
        names = [[d.name.lower() for d in study_directions] for study_directions in (directions, source.directions)]
        raise SpaceError(f"Expected a study to start from with the directions {names[0]}, got {names[1]}.")
    complete = [t for t in source.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    found: list[FrozenTrial] = []
    for trial in complete:
        values = {key_of(name): encode(decode(value)) for name, value in trial.params.items()}
        if space.misfits(values) or any(key not in space.keys for key in values):
            continue
        params = space.to_names(values)
        known = create_trial(
            params=params,
            distributions={name: space.distributions[name] for name in params},
            values=trial.values,
            constraints=trial.constraints,
        )
        found.append(known)
    for i, known in enumerate(found):
        renumber(known, i - len(found))
    log.info(f"Starting from study {source.study_name}: {len(found)} of its {len(complete)} trials fit the space")
    return found
