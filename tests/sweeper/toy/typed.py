"""A Hydra application whose config is typed, by classes of its own file.

python tests/sweeper/toy/typed.py -m 'x=interval(0, 1)'
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore


class Kind(Enum):
    """How it is done."""

    SLOW = 1
    FAST = 2


class Size(IntEnum):
    """How large it is."""

    SMALL = 1
    LARGE = 2


@dataclass
class Config:
    """What is searched."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"override hydra/sweeper": "docclf"}])
    x: float = 0.5
    kind: Kind = Kind.SLOW
    size: Size = Size.SMALL
    path: Path = Path("a b")


ConfigStore.instance().store(name="typed", node=Config)


@hydra.main(config_path=None, config_name="typed")
def main(config: Config) -> float:
    """What comes out, of values of the kinds that the config says."""
    assert isinstance(config.path, Path)
    return config.x + config.kind.value + config.size


if __name__ == "__main__":
    main()
