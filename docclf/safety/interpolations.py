"""Interpolations in texts of others: which would tell of this machine, and texts in which none is left."""

import re

# Resolvers that neither read the environment nor run anything.
_RESOLVERS = ("oc.select:", "docclf.sizes:", "docclf.other_seed:", "now:", "hydra:", "oc.env:WANDB_PROJECT,docclf}")
_INTERPOLATION = re.compile(r"\$\{\s*(?=([^\s}]*\}?))")  # one within another too
_OPENING = re.compile(r"(\\*)\$\{")
_NODE = re.compile(r"\.*[\w.\[\]-]+\}")


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
