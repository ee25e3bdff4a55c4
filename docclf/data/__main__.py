"""Look at a data set before training on it.

python -m docclf.data data=csv data.root=DIR        what there is, what is wrong with it, and a picture of each class
"""

from __future__ import annotations

import logging
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from docclf import CONF_DIR
from docclf.errors import DocclfError
from docclf.preflight import require_root
from docclf.targets import build
from docclf.train import TARGETS
from docclf.typos import answer_typos

log = logging.getLogger(__name__)

# Pixels; larger than pages are trained at, to be looked at.
_SIZE = 192


@answer_typos("look")
@hydra.main(config_path=str(CONF_DIR), config_name="look", execution_whitelist=TARGETS)
def main(cfg: DictConfig) -> None:
    try:
        look(cfg, Path(HydraConfig.get().runtime.output_dir))
    except DocclfError as error:
        log.error(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from error


def look(cfg: DictConfig, folder: Path) -> None:
    """Describe a data set, leaving out what cannot be used, and write `examples.png`.

    Args:
        cfg: The whole config, see conf/look.yaml; of `data` alone.
        folder: Where the picture goes.

    Raises:
        DataError: There is no data set.
        SystemExit: Some pages cannot be used.
    """
    from docclf.data.dataset import DECODING, make_options, open_data_set
    from docclf.data.overview import describe, examples
    from docclf.results.pictures import write_examples

    require_root(cfg)
    root = Path(cfg.data.root)
    if draw := build(cfg.data.draw, "data.draw"):
        draw(root)
    decoding = {key: cfg.data[key] for key in DECODING} | {"on_error": "drop"}
    data = open_data_set(root, build(cfg.data.reader, "data.reader"), make_options(_SIZE, 1.0, **decoding))
    log.info(describe(data))
    write_examples(folder / "examples.png", examples(data))
    log.info(f"Examples of every class: {folder / 'examples.png'}")
    if data.dropped:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
