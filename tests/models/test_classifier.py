"""The score against scikit-learn, the schedules, and what a model is made of."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import timm
import torch
from sklearn.metrics import f1_score
from small_models import build
from torch.optim import LBFGS, SGD
from torchmetrics.functional.classification import multiclass_f1_score

from docclf.data.module import class_weights
from docclf.errors import ConfigError
from docclf.models.frozen.head import Head
from docclf.models.schedules import constant, cosine
from docclf.models.tuning import parameter_groups, weighted_cross_entropy

# The score


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("labelled", "predicted"),
    [(range(5), range(5)), (range(3), range(5)), (range(5), range(2)), ([0, 2], [0, 2]), ([1], [3]), ([2], [2])],
)
def test_the_f1_of_torchmetrics_is_that_of_scikit_learn(seed: int, labelled: list[int], predicted: list[int]) -> None:
    torch.manual_seed(seed)
    labels = torch.tensor(labelled)[torch.randint(len(labelled), (40,))]
    logits = torch.full((40, 5), -9.0)
    logits[:, list(predicted)] = torch.randn(40, len(predicted))
    expected = f1_score(labels, logits.argmax(1), average="macro")
    assert float(multiclass_f1_score(logits, labels, 5, average="macro")) == pytest.approx(expected, abs=1e-6)


# The learning rate


def rates(schedule: Any, total_steps: int, **options: float) -> list[float]:
    """Learning rate of every step, as a share of the one asked for."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(optimizer, total_steps=total_steps, **options)
    values = []
    for _ in range(total_steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def test_cosine_warms_up_linearly_and_then_falls_to_about_zero() -> None:
    values = rates(cosine, 100, warmup=0.1)
    assert values[:11] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert values[55] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(values[10:]))
    assert 0 < values[-1] < 1e-3


@pytest.mark.parametrize("schedule", [cosine, constant])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 9])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_no_step_of_a_short_training_is_wasted(schedule: Any, total_steps: int, warmup: float) -> None:
    values = rates(schedule, total_steps, warmup=warmup)
    assert max(values) == pytest.approx(1) and min(values) > 0


def test_constant_stays_where_the_warm_up_ended() -> None:
    assert rates(constant, 10, warmup=0.2) == [0.5, *[1.0] * 9]
    assert rates(constant, 3) == [1.0] * 3


# The loss


def test_a_rare_class_of_great_weight_attracts_no_pages_of_the_frequent_one() -> None:
    """60 pages and 3, which nothing but the loss keeps apart: its least value gives each page its own class."""
    labels = torch.tensor([0] * 60 + [1] * 3)
    weights = torch.from_numpy(class_weights(labels.numpy(), 2)).float()
    logits = torch.zeros(2, 2, requires_grad=True)  # of each class's pages
    optimizer = LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weighted_cross_entropy(logits[labels], labels, weights, label_smoothing=0.1)
        loss.backward()
        return loss

    optimizer.step(step)
    assert logits.softmax(1).diagonal().tolist() == pytest.approx([0.95, 0.95], abs=0.01)


@pytest.mark.parametrize("are_soft", [False, True])
def test_a_batch_in_parts_has_the_loss_of_the_whole_and_soft_labels_that_of_their_classes(are_soft: bool) -> None:
    labels = torch.tensor([0, 1, 1, 2, 2, 2])
    given = torch.nn.functional.one_hot(labels, 3).float() if are_soft else labels
    logits, weights = torch.randn(6, 3), torch.tensor([2.0, 1.0, 0.5])
    whole = weighted_cross_entropy(logits, given, weights, 0.1)
    parts = [weighted_cross_entropy(logits[[i]], given[[i]], weights, 0.1) for i in range(6)]
    assert float(torch.stack(parts).mean()) == pytest.approx(float(whole), rel=1e-5)
    assert float(whole) == pytest.approx(float(weighted_cross_entropy(logits, labels, weights, 0.1)), rel=1e-5)
    assert float(whole) != pytest.approx(float(weighted_cross_entropy(logits, given, None, 0.1)), rel=1e-3)


# The model


def test_weight_decay_applies_to_matrices_alone() -> None:
    net = build("test_convnext").net
    decayed, spared = parameter_groups(net, 1.0)
    assert "weight_decay" not in decayed and spared["weight_decay"] == 0
    assert {p.ndim for p in decayed["params"]} <= {2, 3, 4} and {p.ndim for p in spared["params"]} == {1}
    together = {id(p) for group in (decayed, spared) for p in group["params"]}
    assert together == {id(p) for p in net.parameters()}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv3_small_050"])
def test_pages_are_normalised_as_the_backbone_was_trained(name: str) -> None:
    model = build(name)
    cfg = timm.get_pretrained_cfg(name)
    assert cfg is not None
    assert model.mean.flatten().tolist() == pytest.approx(cfg.mean) and model.std.flatten().tolist() == pytest.approx(
        cfg.std
    )
    model.eval()
    images = torch.rand(2, 3, 32, 32)
    normalised = torch.stack([(images[:, c] - cfg.mean[c]) / cfg.std[c] for c in range(3)], dim=1)
    with torch.no_grad():
        assert torch.allclose(model(images), model.net(normalised), atol=1e-6)


@pytest.mark.parametrize(("name", "image_size"), [("test_vit", 32), ("test_vit3", 32), ("test_vit_relpos", 64)])
def test_a_backbone_for_one_size_is_built_for_the_size_of_the_pages(name: str, image_size: int) -> None:
    if name not in timm.list_models():
        pytest.skip(f"this release of timm has no {name}")
    with torch.no_grad():
        assert build(name, image_size=image_size)(torch.rand(2, 3, image_size, image_size)).shape == (2, 3)


def test_the_drop_rate_reaches_the_backbone() -> None:
    assert build(drop_rate=0.25).net.drop_rate == 0.25


def test_an_unknown_name_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        build("efficientnet_b33")
    assert "Expected the name of a timm model in `model.name`, got `efficientnet_b33`." in str(refused.value)
    assert "Nearest: efficientnet_b3, " in str(refused.value)


def test_a_name_like_no_other_is_refused_without_guesses() -> None:
    with pytest.raises(ConfigError) as refused:
        build("???")
    assert "Nearest" not in str(refused.value) and "timm.list_models()" in str(refused.value)


def test_an_unknown_tag_of_weights_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"got `resnet18\.imagenet_best`.*resnet18\.a1_in1k"):
        build("resnet18.imagenet_best")


def test_parameters_of_a_loss_of_ones_own_are_trained() -> None:
    loss = torch.nn.PReLU()
    groups = build(loss=loss).trained_groups()
    assert any(parameter is loss.weight for group in groups for parameter in group["params"])


def test_a_head_on_features_of_a_backbone_is_no_start_for_a_net_of_ones_own() -> None:
    def make(num_classes: int) -> torch.nn.Module:
        return timm.create_model("test_resnet", num_classes=num_classes)

    timms, own = build(), build(net=make)
    weight = own.net.get_classifier().weight
    head, before = Head(np.ones(weight.shape, np.float32), np.zeros(3, np.float32)), weight.detach().clone()
    for model in (timms, own):
        model.start(head)
    assert torch.equal(timms.net.get_classifier().weight, torch.ones_like(weight))
    assert torch.equal(weight, before)


def test_a_net_with_another_number_of_outputs_is_told_of() -> None:
    def make(**_: Any) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(7))

    model = build(num_classes=5, net=make)
    with pytest.raises(ConfigError, match=r"logits of shape \(n, 5\), a number for each class, got \(2, 7\)"):
        model(torch.zeros(2, 3, 32, 32))
