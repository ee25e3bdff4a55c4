"""Which parameters are tuned, stage by stage, and at which learning rates."""

from typing import Any

import pytest
from torch.optim import AdamW

from docclf.models.backbone import make_net
from docclf.models.tuning import (
    freeze_first,
    parameter_groups,
    scale_rates,
    stages,
)

# Backbone and size of its images; names that begin the parameters of its stem, of its last stage and of its classifier
KINDS = [
    ("test_resnet", 64, "conv1", "layer4", "fc"),
    ("test_efficientnet", 64, "conv_stem", "blocks.", "classifier"),
    ("test_vit", 64, "patch_embed", "blocks.", "head"),
    ("test_convnext", 64, "stem", "stages.3", "head.fc"),
    ("swin_tiny_patch4_window7_224", 64, "patch_embed", "layers.3", "head.fc"),
]


@pytest.fixture(params=KINDS, ids=[kind[0] for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> tuple[Any, str, str, str]:
    name, size, *names = request.param
    return make_net(name, 3, size, 3), *names


# Stages


def test_every_parameter_is_of_one_stage_from_stem_to_classifier(kind: Any) -> None:
    net, stem, last, classifier = kind
    found = stages(net)
    assert sorted(name for stage in found for name in stage) == sorted(name for name, _ in net.named_parameters())
    assert len(found) >= 4 and any(name.startswith(stem) for name in found[0])
    assert any(name.startswith(classifier) for name in found[-1])
    assert [name for stage in found[-2:] for name in stage if name.startswith(last)]


def test_the_last_stages_and_the_classifier_are_trained_and_the_others_are_left(kind: Any) -> None:
    net, stem, last, classifier = kind
    found = stages(net)
    freeze_first(net)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    flags = [all(name in trained for name in stage) for stage in found]
    assert [any(name in trained for name in stage) for stage in found] == flags, "a stage as a whole or not at all"
    assert flags == sorted(flags) and not flags[0] and flags[-1] and flags[-2]
    assert sum(flags) == max(1, round(0.4 * (len(found) - 2))) + 1
    assert not [name for name in trained if name.startswith(stem)]
    assert [name for name in trained if name.startswith(last)] and [n for n in trained if n.startswith(classifier)]


# Rates


def rates(net: Any, layer_decay: float) -> dict[str, float]:
    """Learning rate of each trained parameter, of 1."""
    optimizer = AdamW(list(parameter_groups(net, layer_decay)), lr=1.0)
    scale_rates(optimizer)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    found = [(names[id(p)], float(group["lr"])) for group in optimizer.param_groups for p in group["params"]]
    assert len(found) == len(dict(found)), "none twice"
    return dict(found)


def test_each_stage_learns_so_much_slower_than_the_one_after_it(kind: Any) -> None:
    net = kind[0]
    found = rates(net, 0.5)
    expected = {name: 0.5**distance for distance, stage in enumerate(reversed(stages(net))) for name in stage}
    assert found == pytest.approx(expected) and len(set(found.values())) == len(stages(net))


def test_without_decay_all_learn_alike_and_matrices_alone_are_decayed(kind: Any) -> None:
    net = kind[0]
    assert set(rates(net, 1.0).values()) == {1.0} and len(rates(net, 1.0)) == len(list(net.parameters()))
    for layer_decay in (1.0, 0.7):
        for group in parameter_groups(net, layer_decay):
            assert {p.ndim > 1 for p in group["params"]} == {"weight_decay" not in group}
            assert group.get("weight_decay", 0.0) == 0


def test_what_is_left_as_it_is_has_no_rate(kind: Any) -> None:
    net = kind[0]
    freeze_first(net)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert set(rates(net, 0.7)) == trained and trained < {name for name, _ in net.named_parameters()}
