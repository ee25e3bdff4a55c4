"""Weights that a classifier takes from a file."""

import logging
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from small_models import build

from docclf.errors import ConfigError
from docclf.models import weights as found_weights


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
        with pytest.raises(ConfigError, match=rf"{name}, which cannot be read \((Attribute|Runtime|Unpickling)Error: "):
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
    torch.save({"state_dict": state, "hyper_parameters": {"half": Fraction(1, 2)}}, tmp_path / "a.ckpt")
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
