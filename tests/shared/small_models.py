"""Models of random weights that tell pages apart, to predict with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from docclf.inference.description import Description
from docclf.inference.folder import save_ensemble
from docclf.models.backbone import make_net, normalisation
from docclf.models.classifier import PageClassifier
from docclf.models.schedules import cosine

TARGETS = ["0", "7", "10"]
CLASS_NAMES = ["invoice", "계약서", "letter of intent"]
needs_exporter = pytest.mark.skipif(
    torch.__version__.startswith(("2.6.", "2.7.", "2.9.")), reason="this torch cannot export batch normalisation"
)


def save_model(
    folder: Path,
    backbone: str = "test_resnet",
    *,
    members: int = 2,
    channels: int = 3,
    image_size: int = 32,
    decoded_size: int = 40,
    temperature: float = 1.7,
) -> Path:
    """Write a model's folder, see `docclf.inference.folder`."""
    torch.manual_seed(0)
    weights = {}
    for member in range(members):
        net = make_net(backbone, len(TARGETS), image_size, channels)
        with torch.no_grad():  # as they are made, all pages are the same to them
            net.get_classifier().weight.normal_(std=2)
        weights[f"fold_{member}"] = net.state_dict()
    mean, std = normalisation(net, channels)
    description = Description(
        backbone=backbone,
        targets=TARGETS,
        class_names=CLASS_NAMES,
        image_size=image_size,
        decoded_size=decoded_size,
        channels=channels,
        mean=mean,
        std=std,
        temperature=temperature,
    )
    save_ensemble(folder, description, weights)
    return folder


def build(name: str = "test_resnet", **options: Any) -> PageClassifier:
    settings: dict[str, Any] = {"num_classes": 3, "image_size": 32, "optimizer": AdamW, "scheduler": cosine, **options}
    return PageClassifier(name, **settings)
