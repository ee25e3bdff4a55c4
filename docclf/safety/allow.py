"""Which dotted names of a config may be imported and called: those that the program lists, and the keyboard's."""

import inspect
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import execution_whitelist, instantiate
from omegaconf import OmegaConf

from docclf.errors import ConfigError, NotAllowedError, unknown_key
from docclf.safety.permission import VARIABLE, allowed, is_listed
from docclf.safety.untrusted import as_texts

# What a storage given as an object may be. Of Optuna's others, that of Redis opens pickles.
STORAGES = (
    *(f"optuna.storages.{name}" for name in ("GrpcStorageProxy", "InMemoryStorage", "JournalStorage", "RDBStorage")),
    *(f"optuna.storages.{name}" for name in ("RetryFailedTrialCallback", "RetryHeartbeatStaleTrialCallback")),
    *(f"optuna.storages.journal.JournalFile{name}" for name in ("Backend", "OpenLock", "SymlinkLock")),
    *(f"optuna.storages.JournalFile{name}" for name in ("Storage", "OpenLock", "SymlinkLock")),
)

_MANY = 25
# Hydra's words for a class that a called function returned an object of
_MADE = re.compile(r"Target '([\w.]+)' \(resolved from '([\w.]+)'\) is not in")
_FLAGS = {
    "_partial_": (bool, "true or false"),
    "_recursive_": (bool, "true or false"),
    "_convert_": (str, "a text"),
    "_args_": (list, "a list"),
}


def require_allowed(name: Any, listed: Any, key: str) -> None:
    """Refuse a name that neither the program lists nor `DOCCLF_ALLOW` matches.

    Args:
        listed: Names and patterns of the program, a tuple or list of them; anything else, as Hydra has it for a program
            that lists none, refuses nothing.
        key: Where it stands in the config.

    Raises:
        NotAllowedError: It is neither, and nothing of it was imported. Or `mine.*` matches a name that leads out of
            `mine`, to what that imports.
    """
    if not isinstance(listed, tuple | list) or (isinstance(name, str) and is_listed(name, listed)):
        return
    if isinstance(name, str) and (patterns := [text for text in allowed() if is_listed(name, [text])]):
        if not any(_leads_to(name, text) for text in patterns):
            package = patterns[0].removesuffix(".*")
            raise NotAllowedError(
                f"Expected `{key}` to be of {package} itself, as {patterns[0]} allows, got {name}, which {package} has "
                f"from elsewhere. Allow it by its name too: {_to_type(name)}"
            )
        return
    known = f"one of {', '.join(listed)}" if 0 < len(listed) < _MANY else "what docclf calls there"
    raise NotAllowedError(
        f"Expected `{key}` to be {known}, got {name}. A config from others could run anything by it, so nothing else "
        f"is called. If it is code of your own, allow it where you type the command: {_to_type(str(name))} (in Python "
        f"allow=[{str(name)!r}])"
    )


def _to_type(*names: str) -> str:
    """What allows names: of docclf's own commands an option, of other applications a variable alone."""
    all_names = ",".join(dict.fromkeys([*allowed(), *names]))
    return f"{' '.join(f'--allow {name}' for name in names)}, or {VARIABLE}={all_names} in front"


def _leads_to(name: str, pattern: str) -> bool:
    """Whether a name leads to what a pattern allows: `mine.*` all that `mine` defines, not what it imports."""
    package = pattern.removesuffix(".*")
    place, *rest = name.split(".")
    if package == pattern:
        return True
    try:
        found: Any = import_module(place)
        for part in rest:
            place = f"{place}.{part}"
            if isinstance(found, ModuleType) and not hasattr(found, part):
                import_module(place)
            found = getattr(found, part)
            is_module = isinstance(found, ModuleType)
            defined = ".".join(str(getattr(found, key, "")) for key in ("__module__", "__qualname__"))
            origin = found.__name__ if is_module else defined
            if not package.startswith(f"{place}.") and not f"{origin}.".startswith(f"{package}."):
                return False
    except (ImportError, AttributeError):  # which is told of where it is called
        return True
    return True


def targets_in(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every `_target_` in a plain value of a config, with the key of the mapping that holds it.

    Raises:
        ConfigError: What stands beside one, which Hydra goes by, is of another kind.
    """
    if isinstance(value, Mapping):
        if "_target_" in value:
            for flag, (kind, expected) in _FLAGS.items():
                if not isinstance(found := value.get(flag, kind()), kind):
                    raise ConfigError(f"Expected `{key}.{flag}` to be {expected}, got {found}. Leave it out.")
            yield key, value["_target_"]
        for name, child in value.items():
            yield from targets_in(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for i, child in enumerate(value):
            yield from targets_in(child, f"{key}.{i}")


def check_calls(
    value: Any,
    key: str,
    given: Mapping[str, Collection[str]] | None = None,
    called: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """See that what a plain value of a config names, and may call, is there and takes the arguments beside it.

    Args:
        key: Where it stands in the config.
        given: Names of the arguments that docclf adds, by key; None does not look whether any is lacking.
        called: Those that it calls a part of `_partial_` with, besides the first one; nothing is lacking in others.

    Raises:
        ConfigError: It is not, or does not, or lacks an argument that it needs.
    """
    if not isinstance(value, Mapping):
        return
    for name, child in value.items():
        check_calls(child, f"{key}.{name}", given if value.get("_recursive_", True) else None, called)
    if "_target_" not in value:
        return
    known = _parameters(value["_target_"], key)
    wrong = [name for name in value if name not in (*known, "_target_", *_FLAGS)]
    if wrong and not any(parameter.kind == parameter.VAR_KEYWORD for parameter in known.values()) and known:
        raise unknown_key(f"arguments of {value['_target_']}", key, wrong[0], known)
    is_partial = value.get("_partial_", False)
    if given is None or value.get("_args_") or (is_partial and key not in called):
        return
    there = {*value, *called[key], next(iter(known), "")} if is_partial else {*value, *given.get(key, ())}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for name, parameter in known.items():
        if parameter.default is parameter.empty and parameter.kind in kinds and name not in there:
            more = "" if is_partial else f", or +{key}._partial_=true where docclf gives it"
            needs = f"`{key}.{name}`, which {value['_target_']} needs"
            raise ConfigError(f"Expected {needs}, got no value. Say +{key}.{name}=VALUE{more}.")


def _parameters(target: str, key: str) -> Mapping[str, inspect.Parameter]:
    """Of what is to be called; none where that is not known."""
    try:
        return inspect.signature(pkgutil.resolve_name(target)).parameters
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"Expected `{key}._target_` to name something that can be imported, got {target}: {error}. "
            "Look at its spelling; the folder of your code must be the current one, or on PYTHONPATH."
        ) from error
    except (TypeError, ValueError):  # not to be called, or without a signature
        return {}


def build_listed(config: Any, key: str, listed: Mapping[str, Collection[str]] | Collection[str], **given: Any) -> Any:
    """Make the object that a config describes, where each of its targets may stand where it does.

    Nothing is inherited: what else the program may call elsewhere is refused here.

    Args:
        config: A node or a plain mapping; None stays None.
        key: Where it stands in the config, for messages.
        listed: Names that may be called anywhere in it, or by the key that they stand at.

    Raises:
        NotAllowedError: A target is not listed and not allowed.
    """
    if config is None:
        return None
    # Plain, so that what is called is what was checked. And of a node, Hydra copies the whole config around it.
    plain = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    plain = as_texts(plain)  # Hydra would resolve them once more
    names = set()
    for where, target in targets_in(plain, key):
        here = listed.get(where, ()) if isinstance(listed, Mapping) else listed
        require_allowed(target, here, f"{where}._target_")
        names.add(target)
    check_calls(plain, key, {key: given})
    names.update(allowed())  # where a function returns what is callable, Hydra looks at the name of its class, too
    try:
        return instantiate(plain, _execution_whitelist_=execution_whitelist(sorted(names), reset=True), **given)
    except InstantiationException as error:
        if (made := _MADE.search(str(error))) is None:
            raise
        raise NotAllowedError(
            f"Expected `{key}` to be made by what is allowed alone, got an object of {made[1]} from {made[2]}. Allow "
            f"the class too, where you type the command: {_to_type(made[2], made[1])}"
        ) from error
