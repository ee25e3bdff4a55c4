"""Look at a data set before training on it.

python -m docclf.data data=csv data.root=DIR        what there is, what is wrong with it, how test pages differ from
                                                    training pages, and a picture of each class
"""

import logging
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from docclf import CONF_DIR
from docclf.cli.foreign import check_job
from docclf.cli.key_table import check_leaves
from docclf.cli.preflight import open_pages, require_root
from docclf.cli.typos import answer_typos
from docclf.data.reading.names import count_of
from docclf.errors import DocclfError
from docclf.safety.faults import told
from docclf.safety.targets import build, whitelist

log = logging.getLogger(__name__)

# Pixels at least, to be looked at.
_SIZE = 192


@answer_typos("look")
@hydra.main(config_path=str(CONF_DIR), config_name="look", execution_whitelist=whitelist())
def main(cfg: DictConfig) -> None:
    """The command: look at the pages of a data set."""
    try:
        check_job(cfg)
        look(cfg, Path(HydraConfig.get().runtime.output_dir))
    except (DocclfError, OSError) as error:
        log.error(told(error))
        raise SystemExit(1) from error


def look(cfg: DictConfig, folder: Path) -> None:
    """Describe a data set, leaving out what cannot be used, and write `examples.png`, and `problems.csv` if there are.

    Where there are enough test pages, how they differ from the training pages goes into `test_pages.yaml` and
    `test_pages.png`.

    Args:
        cfg: The whole config, see conf/look.yaml.

    Raises:
        ConfigError, DataError: There is no data set, or none that can be split into folds.
        SystemExit: Some pages cannot be used.
    """
    from docclf.data.looks.other_pages import take_sample
    from docclf.data.looks.overview import describe, examples
    from docclf.results.pictures import write_examples
    from docclf.results.quality.shift import PICTURE, read_shift, shift_lines
    from docclf.training.other_pages import compare_test_pages

    require_root(cfg)
    check_leaves(cfg)
    larger = {"image_size": _SIZE, "margin": 1.0} if cfg.data.image_size < _SIZE else {}
    data, options = open_pages(cfg, on_error="drop", **larger)
    log.info(describe(data))
    write_examples(folder / "examples.png", examples(data))
    log.info(f"Examples of every class: {folder / 'examples.png'}")
    if take_sample(data) is not None:
        from docclf.training.parts import make_feature_cache

        cache = make_feature_cache(cfg, cache_dir=options.cache_dir, limit_gb=options.cache_gb)
        facts = compare_test_pages(cfg, data, cache, folder) or read_shift(folder)
        for line in shift_lines(facts) if facts else ():
            log.info(line)
        if (folder / PICTURE).is_file():
            log.info(f"The test pages that are most unlike: {folder / PICTURE}")
    if data.dropped:
        from docclf.data.reading.problems import write_problems
        from docclf.sweeper.space.grammar import typed

        write_problems(path := folder / "problems.csv", data.dropped)
        n, way_out = count_of(len(data.dropped), "page"), typed("data.exclude", str(path))
        log.info(f"List of {n} that cannot be used: {path}; {way_out} leaves them out")
    build(cfg.validation, "validation").assign(data, options.rare_classes)  # refuses what a training would refuse
    if data.dropped:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
