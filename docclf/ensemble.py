"""A trained classifier as a folder: weights, and all that predicting with them needs.

The folder `model` of a run holds `model.yaml`, see `Description`, and a file of weights for each member. It works
anywhere: neither the run's config nor its data is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from docclf.backbone import make_net
from docclf.errors import DataError
from docclf.results.files import link, replacing

FOLDER = "model"
_DESCRIPTION = "model.yaml"


@dataclass(frozen=True)
class Description:
    """What is in `model.yaml`.

    Attributes:
        backbone: Name of a timm model.
        targets: What the user writes for each class, in the order of the outputs.
        class_names: What each class is called in tables and pictures.
        image_size: Height and width in pixels that the backbone sees.
        decoded_size: Height and width in pixels that pages are decoded to before.
        channels: 3 for RGB, 1 for grey.
        mean: Of each channel, to normalise pages in [0, 1] with.
        std: Of each channel, likewise.
        temperature: Divides the logits of each member; 1 leaves probabilities as they are.
        members: Files of weights beside `model.yaml`.
        source: Where it comes from, for people.
    """

    backbone: str
    targets: list[str]
    class_names: list[str]
    image_size: int
    decoded_size: int
    channels: int
    mean: list[float]
    std: list[float]
    temperature: float = 1.0
    members: list[str] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)


class Ensemble(torch.nn.Module):
    """The mean of its members' probabilities.

    Args:
        nets: timm backbones.
        description: What they are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, nets: Sequence[torch.nn.Module], description: Description) -> None:
        super().__init__()
        self.nets, self.description = torch.nn.ModuleList(nets), description
        for name in ("mean", "std"):
            values = torch.tensor(getattr(description, name), dtype=torch.float32)
            self.register_buffer(name, values.reshape(-1, 1, 1), persistent=False)
        self.eval()

    def forward(self, images: Tensor, *, calibrated: bool = False) -> Tensor:
        """Class probabilities.

        The temperature was fitted to out-of-fold predictions, each of one member alone, and so it is each member's. A
        mean is less sure of itself already: divided by it once more, it would be far too unsure. Where a temperature
        can be fitted to the mean itself, on further pages, that is better than either (arXiv 2007.08792).

        Args:
            images: Of shape (n, channels, image_size, image_size) in [0, 1].
            calibrated: At the temperature of the description.

        Returns:
            Of shape (n, n_classes); rows sum to 1.
        """
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        temperature = self.description.temperature if calibrated else 1.0
        return torch.stack([(net(normalised).float() / temperature).softmax(dim=1) for net in self.nets]).mean(dim=0)


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a backbone's weights as safetensors."""
    with replacing(path) as partial:
        save_file({key: value.detach().cpu().contiguous() for key, value in weights.items()}, partial)


def save_ensemble(folder: Path, description: Description, weights: Mapping[str, Mapping[str, Tensor] | Path]) -> None:
    """Write a model's folder; what a model of before left in it goes.

    Args:
        folder: Where, usually `model` in a run's folder.
        description: Its members are set here.
        weights: Name of each member to its weights or to a file of them, which stays: until its run has come to its
            end, it may be needed again.
    """
    described = {**asdict(description), "members": [f"{name}.safetensors" for name in weights]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _DESCRIPTION).unlink(missing_ok=True)  # until all of its members are there
    for path in folder.glob("*.safetensors"):
        path.unlink()
    for name, content in weights.items():
        if isinstance(content, Path):
            link(content, folder / f"{name}.safetensors")
        else:
            save_weights(folder / f"{name}.safetensors", content)
    with replacing(folder / _DESCRIPTION) as partial:
        partial.write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), encoding="utf-8")


def find_model(run: Path) -> Path:
    """The model's folder of a run, of a search (its winner), or of a folder that was exported.

    Raises:
        DataError: There is none; the message says how to make one.
    """
    for folder in (run, run / FOLDER, run / "best" / FOLDER):
        if (folder / _DESCRIPTION).is_file():
            return folder
    if not run.is_dir():
        raise DataError(f"Expected the folder of a run or search in `run`, got {run}, which is no folder.")
    how = (
        f"python -m docclf.train --config-dir '{run / 'best'}' --config-name config"
        if (run / "best" / "config.yaml").is_file()
        else "the run's command again with refit=folds or refit=all"
    )
    raise DataError(f"Expected a trained model in {run}, got none: its run kept no weights. Train them with {how}.")


def load_ensemble(folder: Path) -> Ensemble:
    """Load the model of a folder that `find_model` has found, on the CPU.

    Raises:
        DataError: The folder is damaged, or timm does not know the backbone.
    """
    try:
        described = Description(**yaml.safe_load((folder / _DESCRIPTION).read_text(encoding="utf-8")))
        nets = []
        for name in described.members:
            net = make_net(described.backbone, len(described.targets), described.image_size, described.channels)
            net.load_state_dict(load_file(folder / name))
            nets.append(net)
        if not nets:
            raise ValueError("no members")
        return Ensemble(nets, described)
    except Exception as error:  # YAML, safetensors, timm and torch have one each for what may be wrong
        raise DataError(
            f"Expected a whole model in {folder}, got {type(error).__name__}: {error}. Copy the folder again, "
            "or install the versions that `source` in its model.yaml names."
        ) from error
