"""Interpolations: those of docclf, and in texts of others which would tell of this machine, or stand for millions."""

import re
from typing import Any

from omegaconf import OmegaConf

# Resolvers that neither read the environment nor run anything.
_RESOLVERS = ("oc.select:", "docclf.sizes:", "docclf.other_seed:", "now:", "hydra:", "oc.env:WANDB_PROJECT,docclf}")
_INTERPOLATION = re.compile(r"\$\{\s*(?=([^\s}]{,400}\}?))")  # one within another too
_OPENING = re.compile(r"(\\*)\$\{")
_NODE = re.compile(r"\.*[\w.\[\]-]+\}")
# What is between the braces of one, and names of keys in it.
_INNER, _KEY = re.compile(r"\$\{([^{}]*)"), re.compile(r"(\.*)([\w.\[\]-]+)")
_SELECTS_BY_VALUE = re.compile(r"oc\.select:([^}]{400}|[^}]*\$\{)")  # or is too long to look for that
# Keys and characters that a config may have when it is resolved.
_MOST = 1_000_000

_LARGE = 288  # pixels a side


def _sizes(size: int, also: str = "larger") -> str | None:
    """What a search tries as the side of a page in pixels: that of the config, and of small pages 1.43 times as many.

    From 288 on it is not searched: the folds of a few hundred pages cannot tell what is better, and what was chosen by
    them did worse on other pages than 320.

    Args:
        size: That of the config.
        also: `smaller` for 0.7 times as many instead, which are faster.

    >>> _sizes(96), _sizes(320), _sizes(320, "smaller")
    ('choice(96, 128)', None, 'choice(224, 320)')
    """
    if also == "smaller":
        return f"choice({max(32, 32 * round(0.7 * size / 32))}, {size})"
    return None if size >= _LARGE else f"choice({size}, {32 * round(size / 0.7 / 32)})"


OmegaConf.register_resolver("docclf.sizes", _sizes, replace=True)
# The seed of finalists, whose folds must be other ones.
OmegaConf.register_resolver("docclf.other_seed", lambda seed: int(seed) + 1000, replace=True)


def unsafe_interpolation(text: str) -> str:
    """The first interpolation of a text that is neither of a key nor by a harmless resolver; empty without one.

    >>> unsafe_interpolation("${oc.env:HOME}"), unsafe_interpolation("${b.c} ${oc.select:d,e}")
    ('${oc.env:HOME}', '')
    >>> unsafe_interpolation("${${x}:HOME}")
    '${${x}'
    """
    for match in _INTERPOLATION.finditer(text):
        if not (_NODE.fullmatch(match[1]) or match[1].startswith(_RESOLVERS)):
            return f"${{{match[1]}"
    return ""


def escape_interpolations(text: str) -> str:
    """A text that a config resolves to itself: what is escaped already stays as it is.

    >>> print(escape_interpolations("${a}"), escape_interpolations(r"\\${a}"), escape_interpolations(r"\\\\${a}"))
    \\${a} \\${a} \\\\\\${a}
    """
    return _OPENING.sub(lambda found: found[0] if len(found[1]) % 2 else f"{found[1]}\\${{", text)


def require_bounded(config: Any) -> None:
    """Refuse plain values of others by whose interpolations a few lines would stand for millions.

    Raises:
        ValueError: They do, or go round in a circle.
    """
    sizes: dict[tuple[str, ...], int] = {}

    def of_key(path: tuple[str, ...]) -> int:
        found = config
        for name in path:
            number = int(name) if name.isdecimal() else -1
            if isinstance(found, dict):
                found = found.get(name, found.get(number))
            else:
                found = found[number] if isinstance(found, list) and 0 <= number < len(found) else None
        if path not in sizes:
            sizes[path] = _MOST  # until it is known: of a circle
            sizes[path] = of_value(found, path)
        return sizes[path]

    def of_value(value: Any, path: tuple[str, ...]) -> int:
        if isinstance(value, dict | list):
            children = value.items() if isinstance(value, dict) else enumerate(value)
            size = sum(1 + of_value(child, (*path, str(key))) for key, child in children)
        elif isinstance(value, str):
            size = len(value) + (_MOST if _SELECTS_BY_VALUE.search(value) else 0)
            for inner in _INNER.findall(value):
                for dots, name in _KEY.findall(inner.rpartition(":")[2]):
                    keys = tuple(filter(None, re.split(r"[.\[\]]", name)))
                    size += of_key((*path[: -len(dots)], *keys) if dots else keys)
        else:
            size = 1
        if size >= _MOST:
            raise ValueError(f"`{'.'.join(path)}` would be too large when its interpolations are resolved")
        return size

    of_value(config, ())
