"""Turn the model of a run into a folder that predicts anywhere, with or without docclf.

python -m docclf.export_model run=RUN       writes RUN/exported with model.onnx
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from docclf import CONF_DIR
from docclf.cli.foreign import check_job
from docclf.cli.typos import answer_typos
from docclf.errors import ConfigError, DataError, DocclfError
from docclf.safety.faults import told
from docclf.safety.targets import whitelist
from docclf.safety.untrusted import inside, read_config

if TYPE_CHECKING:
    from torch import Tensor

    from docclf.inference.description import Description

log = logging.getLogger(__name__)

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_ONNX = "model.onnx"
_DESCRIPTION = "model.yaml"
_N_CHECKED = 16  # pages
_TOLERANCE = 1e-4  # between probabilities


@answer_typos("export_model")
@hydra.main(config_path=str(CONF_DIR), config_name="export_model", execution_whitelist=whitelist())
def main(cfg: DictConfig) -> None:
    """The command: write the model of a run as ONNX."""
    try:
        check_job(cfg)
        export_model(cfg)
    except (DocclfError, OSError) as error:
        log.error(told(error))
        raise SystemExit(1) from error


def export_model(cfg: DictConfig) -> Path:
    """Write the folder: the model's description and weights, `model.onnx` and a README.md.

    Args:
        cfg: The whole config, see conf/export_model.yaml.

    Returns:
        The folder.

    Raises:
        ConfigError: A package is missing, or PyTorch and ONNX Runtime do not agree; nothing was written.
        DataError: There is no model, or no page in `pages`; nothing was written.
    """
    if OmegaConf.is_missing(cfg, "run"):
        raise ConfigError("Expected `run`, got no value. Say run=RUN, the folder of a run or search.")
    run = Path(str(cfg.run))
    output = inside(run, "exported") if cfg.output is None else Path(str(cfg.output))
    _require(output)
    from docclf.inference.folder import find_model, load_ensemble
    from docclf.inference.onnx import difference, write_onnx, write_readme

    folder = find_model(run)
    ensemble = load_ensemble(folder)
    given = None if cfg.pages is None else Path(str(cfg.pages))
    images, aspects, root = _pages_to_check(given, folder, ensemble.description)
    what = f"{len(aspects)} {'pages' if root else 'images of noise'}"
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".exported-", dir=output.parent) as partial:
        write_onnx(ensemble, Path(partial, _ONNX))
        found = difference(ensemble, Path(partial, _ONNX), images, aspects)
        agreement = f"probabilities of PyTorch and ONNX Runtime differ by at most {found:.1e} on {what}"
        if not found <= _TOLERANCE:
            raise ConfigError(f"Expected agreement within {_TOLERANCE:g}, got: {agreement}. Nothing was written.")
        write_readme(Path(partial, "README.md"), ensemble.description, agreement)
        for name in [*ensemble.description.files, _DESCRIPTION]:
            shutil.copyfile(inside(folder, name, is_plain=True), inside(Path(partial), name, is_plain=True))
        _move(Path(partial), output)
    log.info(f"Checked: {agreement}{f' of {root}' if root else ''}")
    log.info(f"Exported: {output}")
    return output


def _require(output: Path) -> None:
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise ConfigError(
            f"Expected the packages {', '.join(_PACKAGES)}, got none called {' or '.join(missing)}. "
            "Install them with: pip install 'docclf[onnx]'"
        )
    place = next(path for path in output.absolute().parents if path.exists())
    if not os.access(place, os.W_OK):
        raise ConfigError(f"Expected a place for `output` that can be written to, got {place}. Say output=DIR.")
    found = {path.name for path in output.iterdir()} if output.is_dir() else {""}
    if output.exists() and found and not found >= {_ONNX, _DESCRIPTION}:
        raise ConfigError(
            f"Expected `output` to be a new, an empty or an exported folder, got {output} with others. Say output=DIR."
        )


def _move(partial: Path, output: Path) -> None:
    """Put the new files into the folder; the description comes last, since with it the folder is a model."""
    output.mkdir(exist_ok=True)
    for path in [output / _DESCRIPTION, *output.glob("*.safetensors"), *output.glob(f"{_ONNX}*")]:
        path.unlink(missing_ok=True)
    for path in sorted(partial.iterdir(), key=lambda path: path.name == _DESCRIPTION):
        path.replace(output / path.name)


def _pages_to_check(
    given: Path | None, folder: Path, description: Description
) -> tuple[list[Tensor], Tensor, Path | None]:
    """Pages as the model sees them, aspect ratios, and where they are: in `given` or the run's data; None for noise."""
    import torch

    if given and not given.exists():
        raise DataError(f"Expected a folder or a CSV file in `pages`, got {given}: nothing is there. Leave it out.")
    try:
        root = given or _data_root(folder.parent)
        return *_read_pages(root, description), root
    except DataError as error:
        if given:
            raise
        log.warning(f"Found no pages of the run, so checking on noise; pages=DIR names some. {error}")
    generator, shape = torch.Generator().manual_seed(0), (_N_CHECKED, description.channels)
    images = [torch.rand(*shape, view.image_size, view.image_size, generator=generator) for view in description.views]
    return images, 0.5 + torch.rand(_N_CHECKED, generator=generator), None


def _data_root(run: Path) -> Path:
    """Where the pages of a run are, by its config."""
    began, path = run / ".hydra" / "hydra.yaml", run / ".hydra" / "config.yaml"
    try:
        config = read_config(path if path.is_file() else run / "config.yaml")
        cwd = OmegaConf.select(read_config(began), "hydra.runtime.cwd") if began.is_file() else None
        return Path(cwd or ".", str(OmegaConf.select(config, "data.root", throw_on_missing=True)))
    except (OSError, OmegaConfBaseException) as error:
        raise DataError(f"Expected the config of a run in {run}, got {type(error).__name__}: {error}") from error


def _read_pages(root: Path, description: Description) -> tuple[list[Tensor], Tensor]:
    """Up to 16 pages from anywhere in the list, see `docclf.inference.predictor.see`, and aspect ratios."""
    import numpy as np
    import torch

    from docclf.data.formats import quiet_decoders
    from docclf.data.reading.listing import list_pages
    from docclf.data.reading.stream import read_batches
    from docclf.inference.predictor import see

    pages = list_pages(root).pages
    some = [pages[i] for i in np.unique(np.linspace(0, len(pages) - 1, 4 * _N_CHECKED).round().astype(int))]
    some = sorted(some, key=lambda page: bool(page.problem))[:_N_CHECKED]
    sizes, channels = {view.decoded_size for view in description.views}, description.channels
    with quiet_decoders():
        batches = {size: next(read_batches(some, len(some), size=size, channels=channels)) for size in sizes}
    batch = next(iter(batches.values()))
    if not len(batch.images):
        raise DataError(f"Expected pages in {root} that can be read, got {some[0].id}: {batch.problems[0]}")
    aspects = torch.from_numpy(batch.aspects)
    return see({size: torch.from_numpy(one.images) for size, one in batches.items()}, aspects, description), aspects


if __name__ == "__main__":
    main()
