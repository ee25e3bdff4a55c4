"""The score against scikit-learn, the schedules, and what a model is made of."""

import logging
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from sklearn.metrics import f1_score
from torch.optim import SGD, AdamW

from docclf.errors import ConfigError
from docclf.models import weights as found_weights
from docclf.models.classifier import PageClassifier, constant, cosine, macro_f1
from docclf.models.tuning import parameter_groups


def build(name: str = "test_resnet", **options: Any) -> PageClassifier:
    settings: dict[str, Any] = {"num_classes": 3, "image_size": 32, "optimizer": AdamW, "scheduler": cosine, **options}
    return PageClassifier(name, **settings)


# The score


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("labelled", "predicted"),
    [(range(5), range(5)), (range(3), range(5)), (range(5), range(2)), ([0, 2], [0, 2]), ([1], [3]), ([2], [2])],
)
def test_macro_f1_is_that_of_scikit_learn(seed: int, labelled: list[int], predicted: list[int]) -> None:
    torch.manual_seed(seed)
    labels = torch.tensor(labelled)[torch.randint(len(labelled), (40,))]
    logits = torch.full((40, 5), -9.0)
    logits[:, list(predicted)] = torch.randn(40, len(predicted))
    expected = f1_score(labels, logits.argmax(1), average="macro")
    assert float(macro_f1(logits, labels, 5)) == pytest.approx(expected, abs=1e-6)


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


# Weights from a file


def saved(path: Path, num_classes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    state = timm.create_model("test_resnet", num_classes=num_classes).state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return dict(state)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("num_classes", [5, 1000])
def test_a_checkpoint_of_other_classes_gives_the_backbone_and_a_fresh_classifier(
    tmp_path: Path, suffix: str, num_classes: int
) -> None:
    path = tmp_path / f"weights{suffix}"
    state = saved(path, num_classes)
    loaded = build(checkpoint_path=str(path)).net.state_dict()
    classifier = {key for key in state if key.startswith("fc.")}
    assert classifier == {"fc.weight", "fc.bias"}
    assert all(torch.equal(loaded[key], state[key]) for key in state.keys() - classifier)
    assert loaded["fc.weight"].shape == (3, state["fc.weight"].shape[1])
    torch.manual_seed(1)
    first = build(checkpoint_path=str(path)).net.state_dict()["fc.weight"]
    assert not torch.equal(first, build(checkpoint_path=str(path)).net.state_dict()["fc.weight"])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_checkpoint_of_as_many_classes_gives_the_classifier_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = saved(path, 3)
    loaded = build(checkpoint_path=str(path)).net.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pth", b"no weights"),
        ("a.pth", b""),
        ("a.pth", None),
        ("a.safetensors", b"\0" * 9),
        ("a.safetensors", None),
    ],
)
def test_a_checkpoint_that_is_none_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:  # a copy that was cut off
        saved(path, 5)
        content = path.read_bytes()[:-900]
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        build(checkpoint_path=str(path))
    expected = (
        f"Expected weights of `test_resnet`, the `model.name`, in `model.checkpoint_path`, got {path}, which cannot"
    )
    assert str(refused.value).startswith(expected) and "Give the whole file" in str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < len(str(path)) + 500


def test_a_pickle_that_holds_no_weights_is_not_opened(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(timm.create_model("test_resnet"), tmp_path / "whole.pth")
    for name in ("list.pth", "whole.pth"):
        with pytest.raises(ConfigError, match=rf"{name}, which cannot be read \((Attribute|Runtime)Error: "):
            build(checkpoint_path=str(tmp_path / name))


PREFIXES = ["net.", "model.", "model.net.", "backbone.", "module.model.", "_forward_module.net.", "a.b.c."]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_checkpoint_of_lightning_gives_the_weights_whatever_their_module_is_called(
    tmp_path: Path, prefix: str, suffix: str
) -> None:
    path = tmp_path / f"epoch=3{suffix}"
    state = saved(tmp_path / "plain.pth", 5)
    prefixed = {f"{prefix}{key}": value for key, value in state.items()}
    prefixed |= {"loss.weight": torch.rand(5), f"ema_{prefix}{next(iter(state))}": torch.zeros(2, 2)}
    if suffix == ".ckpt":
        torch.save({"state_dict": prefixed, "epoch": 3, "hyper_parameters": {"lr": 1e-3}}, path)
    else:
        save_file(prefixed, path)
    loaded = build(checkpoint_path=str(path)).net.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state if not key.startswith("fc."))


def test_a_checkpoint_behind_a_prefix_may_be_of_another_model_too(tmp_path: Path) -> None:
    state = {f"net.{key}": value for key, value in saved(tmp_path / "plain.pth", 5).items()}
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    with pytest.raises(ConfigError, match=r"of `test_vit`, the `model\.name`, .* another model"):
        build(name="test_vit", image_size=160, checkpoint_path=str(tmp_path / "a.ckpt"))


def test_a_checkpoint_that_holds_objects_is_refused_with_the_way_out(tmp_path: Path) -> None:
    state = {f"net.{key}": value for key, value in saved(tmp_path / "plain.pth", 5).items()}
    torch.save({"state_dict": state, "hyper_parameters": {"root": tmp_path}}, tmp_path / "a.ckpt")
    with pytest.raises(
        ConfigError, match=r"a\.ckpt, which cannot be read .*could run code.*\['state_dict'\], 'weights"
    ):
        build(checkpoint_path=str(tmp_path / "a.ckpt"))


# Weights of other names, which timm skips in silence, and of other shapes, which it does not
@pytest.mark.parametrize(
    ("name", "cause"), [("test_vit", ""), ("test_efficientnet", r" \(RuntimeError: .*size mismatch")]
)
def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path: Path, name: str, cause: str) -> None:
    saved(tmp_path / "a.pth", 5)
    with pytest.raises(
        ConfigError, match=rf"of `{name}`, the `model\.name`, .* another model, .*a\.pth{cause}"
    ) as refused:
        build(name=name, image_size=160, checkpoint_path=str(tmp_path / "a.pth"))
    assert "Say the `model.name` that they are of" in str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < len(str(tmp_path)) + 500


class _Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:  # as http.server calls it
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def broken_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that answers, and from which nothing can be downloaded."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route\nto the host")

    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fail)
        found_weights._hub_weights.cache_clear()
        yield
        found_weights._hub_weights.cache_clear()
        server.shutdown()


@pytest.mark.parametrize("pretrained", [True, "auto"])
def test_where_the_download_breaks_the_weights_are_asked_for_otherwise(broken_hub: None, pretrained: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        build(pretrained=pretrained)
    assert str(refused.value) == (
        "Expected weights of `test_resnet` from timm's hub, got none: they could not be downloaded (OSError: no "
        "route to the host). Say model.checkpoint_path=FILE for weights that are here, or model.pretrained=false."
    )


def test_weights_that_timm_has_not_are_asked_for_otherwise() -> None:
    name = next(name for name in timm.list_models("*resnet*") if not timm.is_model_pretrained(name))
    with pytest.raises(ConfigError, match=r"asks for, got none: timm's hub has none\. Say model\.checkpoint_path=FILE"):
        build(name=name, pretrained=True)


@pytest.mark.parametrize("from_file", [False, True])
def test_what_is_wrong_with_the_model_itself_is_no_fault_of_the_weights(
    tmp_path: Path, from_file: bool, broken_hub: None
) -> None:
    path = tmp_path / "a.pth"
    saved(path, 3)
    with pytest.raises(ValueError, match="dropout probability"):
        build("test_vit", drop_rate=2.0, pretrained=True, checkpoint_path=str(path) if from_file else None)


def test_building_a_model_asks_no_network_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        partial(build, pretrained=False)()
    assert caplog.records == []
