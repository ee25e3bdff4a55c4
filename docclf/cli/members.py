"""Who of a team searches: a seed of their own, so that members who search apart do not all try the same."""

from __future__ import annotations

import getpass
import logging
import platform
import zlib
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)

_COMMON = 42  # the default of search.seed in conf/train.yaml


def own_seed() -> int:
    """A seed that is always the same for one person on one machine, and another one for others."""
    user = ""
    with suppress(OSError, KeyError, ImportError):  # nobody, as in some containers
        user = getpass.getuser()
    return 1000 + zlib.crc32(f"{user}@{platform.node()}".encode()) % 9000


def tell_seed(cfg: DictConfig) -> None:
    """Say before a new search that its seed is everybody's, where nothing was said of it and the study is not shared.

    Members of one shared study draw different parameters whatever their seed is.

    Args:
        cfg: The config of a trial, `hydra` included.
    """
    task = OmegaConf.select(cfg, "hydra.overrides.task", default=None)
    if task is None or any(str(text).lstrip("+").startswith(("search.seed=", "seed=")) for text in task):
        return
    is_old = Path(cfg.hydra.runtime.cwd, cfg.hydra.sweep.dir, "multirun.yaml").is_file()
    if is_old or cfg.search.storage is not None or cfg.search.seed != _COMMON:
        return
    log.info(
        f"search.seed={_COMMON}, as everybody has it: whoever searches the same pages in another study tries the same "
        f"parameters. To merge searches of a team, each member says another one, such as search.seed={own_seed()}."
    )
