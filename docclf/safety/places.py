"""Where files are written: what a config of somebody else may name, in the config of a command and in that of each job.

A search, or a sweep over options, gives jobs values that the command's own config has not, by mappings and
interpolations too. So what counts is the config that a job has in the end.
"""

import errno
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from docclf.errors import ConfigError
from docclf.safety.permission import VARIABLE, allowed, is_listed
from docclf.safety.untrusted import require_whole

# Keys that were typed, one a line, for the jobs of a command with a folder of configs.
TYPED = "DOCCLF_TYPED"
_MAY_HAVE_SECRETS = re.compile(r"(search|hydra\.sweeper)\.(storage|warm_start_from)\b")
_STUDIES = ("search.storage", "search.warm_start_from", "search.enqueue", "search.memory")


def typed_keys() -> list[str]:
    """Keys that were typed for the command whose job this is; none where it has no folder of configs."""
    return os.environ.get(TYPED, "").split("\n")


def is_own(key: str) -> bool:
    """Whether no folder of configs may have set a key: there is none, or the key was typed."""
    return TYPED not in os.environ or is_typed(key, typed_keys())


def require_folder(hydra: Any, key: str) -> None:
    """See that the folder of a run or of a sweep can be made, where Hydra would end in a traceback, and has no way out.

    Hydra writes to it, and a run that goes on reads it too. The folder where the command runs, and those above it, are
    the user's own.

    Args:
        hydra: The part of the config that is Hydra's.
        key: What names the folder, `run.dir` or `sweep.dir`.

    Raises:
        ConfigError: It cannot be made.
        DataError: A link leads out of it.
    """
    try:
        folder = Path(str(OmegaConf.select(hydra, key))).absolute()
    except OmegaConfBaseException:  # ${hydra:job.name} and the like, which Hydra fills in later: typed, or docclf's own
        return
    # Path.exists raises where a folder may not be looked into, or a name is too long.
    place = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
    try:
        longest = os.pathconf(place, "PC_NAME_MAX")
        if any(len(os.fsencode(name)) > longest for name in folder.relative_to(place).parts):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise ConfigError(
            f"Expected a place for the results that can be written to, got {place}: {error.strerror}. "
            f"Say hydra.{key}=DIR, a folder elsewhere."
        ) from error
    if not Path.cwd().is_relative_to(folder):
        require_whole(folder)


def check_places(cfg: DictConfig, typed: Sequence[str], *, searches: bool) -> None:
    """Refuse places to write to and servers to talk to that were not typed.

    Args:
        typed: Keys of the command line.
        searches: Whether the command goes through several jobs.

    Raises:
        ConfigError: There is such a place.
        DataError: A link leads out of it.
    """

    def given(key: str) -> Any:
        value = None if is_typed(key, typed) else OmegaConf.select(cfg, key, throw_on_missing=False)
        return None if value in (None, "") else value

    name = given("study_name")
    if name is not None and not re.fullmatch(r"\w[^/\\\x00-\x1f\x7f]*", str(name)):
        refuse("study_name", name, "the folder of a search, by more than a plain name")
    cache = given("data.cache_dir")
    if cache is not None and not Path(str(cache), "contents.db").is_file():
        refuse("data.cache_dir", cache, "where decoded pages are written, unless they have been before")
    if cache is not None:
        require_whole(Path(str(cache)))
    for key in ("trainer.default_root_dir", "trainer.profiler"):
        if given(key) is not None:
            refuse(key, given(key), "where a trainer writes")
    # A model is exported into its run where no other place is named.
    exported = "run" if "output" in cfg and cfg.output is None else "output"
    below = {exported: "which file is written", "teacher": "which run is learnt from"}
    root = given("data.root")
    if root is not None and not Path(str(root)).exists() and given("data.draw") is not None:
        below["data.root"] = "where pages are drawn"
    for key, what in below.items():
        if given(key) is not None and not Path(str(given(key))).resolve().is_relative_to(Path.cwd().resolve()):
            refuse(key, given(key), f"{what}, outside the folder where the command runs")
    for key in _STUDIES:
        if searches and given(key) and not (key == "search.memory" and given(key) in ("auto", "none")):
            refuse(key, given(key), "which study a search writes to or starts from")


def is_typed(key: str, typed: Sequence[str]) -> bool:
    """Whether a key, or one above it, is among those that were typed."""
    return any(key == name or key.startswith(f"{name}.") for name in typed)


def refuse(key: str, value: Any, what: str) -> None:
    """Refuse what a folder of configs says of a key, unless `DOCCLF_ALLOW` lists that.

    Raises:
        ConfigError: It does not.
    """
    if is_listed(key, allowed()):
        return
    shown = "one that may have a password" if _MAY_HAVE_SECRETS.match(key) else value
    raise ConfigError(
        f"Expected the folder of configs to leave `{key}` alone, which decides {what}; got {shown}. If you want that, "
        f"type it: {key}=... on the command line, or allow it there: {VARIABLE}={key}"
    )
