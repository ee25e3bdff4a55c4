"""What of a backbone is trained, how fast, and with which statistics."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import BatchNorm2d
from torch.optim import SGD

from docclf.data.module import PageDataModule
from docclf.models.classifier import PageClassifier
from docclf.models.frozen.head import Head
from docclf.models.schedules import constant
from docclf.models.state import StateIO
from docclf.models.tuning import keep_depthwise_in_32_bit
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.folds.recorder import FoldRecorder
from docclf.training.trainer import make_trainer
from docclf.training.validation import Validation

# Trainings


class Steps(pl.Callback):
    """Keeps the net's weights after every step, and whether batch normalisation used its own statistics."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.modes: list[set[bool]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, PageClassifier)
        self.modes.append({part.training for part in pl_module.net.modules() if isinstance(part, BatchNorm2d)})

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, PageClassifier)
        self.states.append({key: value.clone() for key, value in pl_module.net.state_dict().items()})


Train = Callable[..., tuple[PageClassifier, dict[str, Tensor], Steps]]


@pytest.fixture
def train(open_pages: Callable[..., PageDataModule], tmp_path: Path) -> Train:
    """Trains 2 epochs of 2 steps, with validations; gives the model, its weights of before, and its steps."""

    def run(
        name: str = "test_resnet",
        accumulate: int = 1,
        epochs: int = 2,
        go_on_from: Path | None = None,
        save: Path | None = None,
        **options: Any,
    ) -> Any:
        data = open_pages(image_size=32, batch_size=8)
        data.use_split(np.arange(0, 24, 2), np.arange(1, 24, 2))
        torch.manual_seed(0)
        settings: dict[str, Any] = {"optimizer": partial(SGD, lr=0.05), "scheduler": constant, **options}
        model = PageClassifier(name, num_classes=3, image_size=32, **settings)
        before, steps = {key: value.clone() for key, value in model.net.state_dict().items()}, Steps()
        checkpoints = FoldCheckpoints(tmp_path / "run", "key")
        recorder = FoldRecorder(Validation(epochs=2), checkpoints)  # which draws for each epoch by itself
        trainer = make_trainer(
            accelerator="cpu",
            precision="32-true",
            max_epochs=epochs,
            logger=False,
            callbacks=[steps, recorder],
            accumulate_grad_batches=accumulate,
            plugins=[StateIO()],
        )
        trainer.fit(model, datamodule=data, ckpt_path=go_on_from)
        if save is not None:
            trainer.save_checkpoint(save)
        return model, before, steps

    return run


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def test_frozen_batch_normalisation_keeps_its_statistics_and_learns_its_scales(train: Train) -> None:
    model, before, steps = train(batch_norm="frozen")
    changed = moved(before, model.net.state_dict())
    assert not {key for key in changed if key.endswith(STATISTICS)}
    assert {"bn1.weight", "bn1.bias", "conv1.weight"} <= {key.replace("conv1.0", "conv1") for key in changed}
    assert steps.modes == [{False}] * 4, "in the second epoch too, after a validation"


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_fixed_statistics_are_computed_within_convolutions_and_the_training_comes_to_the_same(
    train: Train, weights_file: Any, ema: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_fused(model: PageClassifier) -> set[bool]:
        norms = [part for net in (model.net, model.kept) for part in net.modules() if isinstance(part, BatchNorm2d)]
        return {"forward" in vars(norm) for norm in norms}

    options = {"checkpoint_path": str(weights_file), "ema": ema}
    model, _, _ = train(**options)
    running, _, _ = train(batch_norm="running", **options)
    monkeypatch.setattr("docclf.models.classifier.fuse_in_training", lambda *_: None)
    plain, before, _ = train(**options)
    assert [is_fused(one) for one in (model, running, plain)] == [{True}, {False}, {False}]
    assert moved(before, model.net.state_dict())
    torch.testing.assert_close(dict(model.kept.state_dict()), dict(plain.kept.state_dict()))
    torch.testing.assert_close(model.logits, plain.logits)


@pytest.mark.parametrize("batch_norm", ["epoch", "running"])
def test_other_batch_normalisation_takes_its_statistics_from_the_pages(train: Train, batch_norm: str) -> None:
    model, before, steps = train(batch_norm=batch_norm)
    changed = moved(before, model.net.state_dict())
    assert {key for key in before if key.endswith(STATISTICS)} <= changed and steps.modes == [{True}] * 4
    assert int(model.net.bn1.num_batches_tracked) == {"epoch": 2, "running": 4}[batch_norm]


@pytest.mark.parametrize("is_trained", [True, False])
def test_auto_freezes_the_statistics_of_trained_weights_alone(
    train: Train, weights_file: Any, is_trained: bool
) -> None:
    options = {"checkpoint_path": str(weights_file)} if is_trained else {}
    model, _, steps = train(layer_decay=0.5, **options)
    assert (model.batch_norm, model.layer_decay) == (("frozen", 0.5) if is_trained else ("epoch", 1.0))
    assert steps.modes == [{not is_trained}] * 4


@pytest.mark.parametrize("batch_norm", ["epoch", "running", "frozen"])
def test_batch_normalisation_without_scales_is_trained_as_any_other(train: Train, batch_norm: str) -> None:
    def build(num_classes: int, **_: Any) -> torch.nn.Module:
        pooled = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, num_classes)]
        return torch.nn.Sequential(torch.nn.BatchNorm2d(3, affine=False), *pooled)

    model, before, steps = train(net=build, batch_norm=batch_norm)
    changed = moved(before, model.net.state_dict())
    assert steps.modes == [{batch_norm != "frozen"}] * 4
    assert changed == {"3.weight", "3.bias", *(() if batch_norm == "frozen" else [f"0.{key}" for key in STATISTICS])}


def test_a_config_of_before_says_it_in_its_own_way() -> None:
    build = partial(PageClassifier, "test_resnet", num_classes=3, image_size=32, optimizer=SGD, scheduler=constant)
    assert [build(epoch_batch_norm=given).batch_norm for given in (True, False)] == ["epoch", "running"]


@pytest.mark.parametrize("batch_norm", ["epoch", "running", "frozen"])
def test_where_the_last_stages_are_trained_the_others_stay_as_they_are_with_their_statistics(
    train: Train, batch_norm: str
) -> None:
    model, before, _ = train(tune="last", batch_norm=batch_norm)
    changed = moved(before, model.net.state_dict())
    names = [name for name, parameter in model.net.named_parameters() if parameter.requires_grad]
    trained = {name.partition(".")[0] for name in names}
    assert {key.partition(".")[0] for key in changed} == trained == {"layer3", "layer4", "fc"}


def test_the_moving_average_of_the_weights_is_what_is_validated_and_kept(train: Train) -> None:
    model, _, steps = train(ema=0.5, batch_norm="frozen")
    average = steps.states[0]
    for state in steps.states[1:]:
        average = {key: torch.lerp(average[key], state[key], 0.5) if value.is_floating_point() else state[key]
                   for key, value in state.items()}  # fmt: skip
    kept = model.kept.state_dict()
    for key, value in average.items():
        assert torch.allclose(kept[key].float(), value.float(), atol=1e-6), key
    assert moved(kept, model.net.state_dict()) >= {"fc.weight", "conv1.0.weight"} & set(kept)
    images = torch.rand(2, 3, 32, 32)
    model.eval()
    with torch.no_grad():
        assert torch.allclose(model(images), model.kept((images - model.mean) / model.std), atol=1e-6)
        assert not torch.allclose(model(images), model.net((images - model.mean) / model.std), atol=1e-4)


def test_gradients_that_accumulate_are_averaged_once(train: Train) -> None:
    model, _, steps = train(ema=0.5, batch_norm="frozen", accumulate=2)
    first, second = steps.states[1], steps.states[3]  # after the two steps of the optimizer
    kept = model.kept.state_dict()
    assert torch.allclose(kept["fc.weight"], torch.lerp(first["fc.weight"], second["fc.weight"], 0.5), atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_moving_average_goes_on_after_an_interruption_as_if_there_had_been_none(
    train: Train, accumulate: int, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"ema": 0.5, "batch_norm": "frozen", "accumulate": accumulate}
    whole, _, _ = train(**options)
    train(**options, epochs=1, save=tmp_path / "last.safetensors")
    found, _, _ = train(**options, go_on_from=tmp_path / "last.safetensors")
    assert not moved(whole.state_dict(), found.state_dict())


def test_without_a_moving_average_the_net_itself_is_kept(train: Train) -> None:
    model, _, _ = train(ema=0.0)
    assert model.kept is model.net


# The start


def test_a_net_starts_from_a_head_on_its_last_features() -> None:
    model = PageClassifier("test_resnet", num_classes=3, image_size=32, optimizer=SGD, scheduler=constant).eval()
    d = model.net.num_features
    random = np.random.default_rng(0)
    head = Head(random.normal(size=(3, d)).astype(np.float32), np.array([0.5, -1e4, 0], np.float32))
    model.start(head)
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        features = model.net.forward_head(
            model.net.forward_features((images - model.mean) / model.std), pre_logits=True
        )
        expected = features.numpy() @ head.weight.T + [0.5, -10, 0]
        np.testing.assert_allclose(model(images).numpy(), expected, atol=1e-4)


def test_a_head_of_another_shape_is_left_aside() -> None:
    model = PageClassifier("test_resnet", num_classes=3, image_size=32, optimizer=SGD, scheduler=constant)
    before = model.net.fc.weight.clone()
    model.start(Head(np.ones((3, 7), np.float32), np.ones(3, np.float32)))
    assert torch.equal(model.net.fc.weight, before)


def test_depthwise_convolutions_train_in_32_bit_and_predict_in_bfloat16() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4), torch.nn.Conv2d(4, 2, 1))
    keep_depthwise_in_32_bit(net)
    images = torch.rand(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        trained, predicted = net[0](images.clone().requires_grad_()), net[0](images)
        rest = net[1](images.clone().requires_grad_())
    assert [found.dtype for found in (trained, predicted, rest)] == [torch.float32, torch.bfloat16, torch.bfloat16]
    assert torch.allclose(trained, predicted.float(), atol=0.02) and trained.requires_grad
