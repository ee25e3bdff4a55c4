"""A trained classifier as a folder: what is saved is what is loaded, anywhere, or the reason why not."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file

from docclf.errors import DataError
from docclf.inference.description import FOLDER, Description
from docclf.inference.folder import find_model, load_ensemble, save_ensemble, save_weights
from docclf.models.backbone import make_net, normalisation

TARGETS = ["0", "007", "1e3", "yes", "계약서: 甲"]  # which YAML without quotes would take for something else


def images(n: int = 3, *, channels: int = 3, size: int = 32) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(1))


class Saved:
    """A model's folder, and the networks that were saved in it."""

    def __init__(self, folder: Path, backbone: str = "test_resnet", members: int = 3, **facts: Any) -> None:
        torch.manual_seed(7)
        size, channels = facts.get("image_size", 32), facts.get("channels", 3)
        self.nets = [make_net(backbone, len(TARGETS), size, channels) for _ in range(members)]
        for net in self.nets:
            with torch.no_grad():  # as they are made, all images are the same to them
                net.get_classifier().weight.normal_(std=2)
            net(images(channels=channels, size=size))  # so that running averages are not those of a new one either
            net.eval()
        mean, std = normalisation(self.nets[0], channels)
        given = {"image_size": size, "channels": channels, "decoded_size": 40, "mean": mean, "std": std, **facts}
        self.description = Description(backbone, TARGETS, [f"class {t}" for t in TARGETS], **given)
        self.folder = folder
        save_ensemble(folder, self.description, {f"fold_{i}": net.state_dict() for i, net in enumerate(self.nets)})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return Saved(tmp_path_factory.mktemp("a run") / FOLDER, temperature=1.7, source={"macro_f1": 0.9, "folds": [0.8]})


# What comes back


def test_what_is_loaded_is_what_was_saved(saved: Saved) -> None:
    ensemble = load_ensemble(saved.folder)
    members = ["fold_0.safetensors", "fold_1.safetensors", "fold_2.safetensors"]
    assert ensemble.description == replace(saved.description, members=members)
    assert sorted(path.name for path in saved.folder.iterdir()) == [*members, "model.yaml"]
    pages = images()
    for name, net, loaded in zip(members, saved.nets, ensemble.nets, strict=True):
        state, expected = load_file(saved.folder / name), net.state_dict()
        assert state.keys() == expected.keys() and all(torch.equal(state[key], expected[key]) for key in state)
        with torch.no_grad():
            assert torch.allclose(loaded(pages), net(pages), atol=1e-4)
    assert not any(module.training for module in ensemble.modules())


def test_a_model_that_is_loaded_has_its_convolutions_in_32_bit(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as torch begins
    load_ensemble(saved.folder)
    assert not torch.backends.cudnn.allow_tf32


def test_targets_stay_the_text_that_they_were(saved: Saved) -> None:
    described = yaml.safe_load((saved.folder / "model.yaml").read_text(encoding="utf-8"))
    assert described["targets"] == TARGETS and "계약서: 甲" in (saved.folder / "model.yaml").read_text(encoding="utf-8")
    found = asdict(load_ensemble(saved.folder).description)
    assert (found.pop("parts"), found.pop("weight"), found.pop("own")) == ([], 1.0, None) and described == found


def test_an_ensemble_predicts_the_mean_of_its_members_probabilities(saved: Saved) -> None:
    mean, std = (torch.tensor(saved.nets[0].pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        found = load_ensemble(saved.folder)(images())
        each = [net((images() - mean) / std).softmax(dim=1) for net in saved.nets]
    assert max(float((each[0] - other).abs().max()) for other in each[1:]) > 0.05, "or any one would do"
    torch.testing.assert_close(found, (each[0] + each[1] + each[2]) / 3, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))


def test_calibration_divides_the_logits_of_each_member_by_the_temperature(saved: Saved) -> None:
    mean, std = (torch.tensor(saved.nets[0].pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    ensemble = load_ensemble(saved.folder)
    with torch.no_grad():
        found = ensemble(images(), calibrated=True)
        each = [(net((images() - mean) / std) / 1.7).softmax(dim=1) for net in saved.nets]
        plain = ensemble(images())
    torch.testing.assert_close(found, (each[0] + each[1] + each[2]) / 3, atol=1e-6, rtol=0)
    assert float((found - plain).abs().max()) > 0.01, "or the temperature is not used"


def test_a_temperature_of_one_changes_nothing(tmp_path: Path) -> None:
    ensemble = load_ensemble(Saved(tmp_path, members=1).folder)
    with torch.no_grad():
        torch.testing.assert_close(ensemble(images(), calibrated=True), ensemble(images()), atol=1e-6, rtol=0)


def test_a_folder_that_was_moved_predicts_the_same(saved: Saved, tmp_path: Path) -> None:
    moved = tmp_path / "다른 곳" / "m"
    shutil.copytree(saved.folder, moved)
    with torch.no_grad():
        assert torch.equal(load_ensemble(moved)(images()), load_ensemble(saved.folder)(images()))
    assert str(saved.folder.parent) not in (moved / "model.yaml").read_text(encoding="utf-8")


def test_grey_pages_have_one_channel_with_the_mean_of_the_colours_statistics(tmp_path: Path) -> None:
    saved = Saved(tmp_path, channels=1, members=1)
    cfg = saved.nets[0].pretrained_cfg
    assert saved.description.mean == pytest.approx([np.mean(cfg["mean"])])
    assert saved.description.std == pytest.approx([np.mean(cfg["std"])])
    ensemble = load_ensemble(tmp_path)
    with torch.no_grad():
        found = ensemble(images(channels=1))
        expected = saved.nets[0]((images(channels=1) - np.mean(cfg["mean"])) / np.mean(cfg["std"])).softmax(dim=1)
    torch.testing.assert_close(found, expected.float(), atol=1e-6, rtol=0)


def test_colours_keep_their_own_statistics() -> None:
    net = timm.create_model("test_resnet")
    assert normalisation(net, 3) == (list(net.pretrained_cfg["mean"]), list(net.pretrained_cfg["std"]))


@pytest.mark.parametrize("size", [64, 96])
def test_a_transformer_of_one_size_is_made_and_loaded_for_that_of_the_pages(size: int, tmp_path: Path) -> None:
    cfg = timm.get_pretrained_cfg("test_vit")
    assert cfg is not None and cfg.fixed_input_size and cfg.input_size[1] not in (64, 96), "or nothing is tested"
    saved = Saved(tmp_path, "test_vit", members=1, image_size=size)
    ensemble = load_ensemble(tmp_path)
    with torch.no_grad():
        assert ensemble(images(size=size)).shape == (3, len(TARGETS))
    positions = load_file(tmp_path / "fold_0.safetensors")["pos_embed"].shape
    assert positions == saved.nets[0].pos_embed.shape != timm.create_model("test_vit").pos_embed.shape


# Saving


def test_weights_are_saved_as_they_are_wherever_they_lie(tmp_path: Path) -> None:
    wide = torch.arange(24.0).reshape(2, 3, 2, 2).to(memory_format=torch.channels_last)
    turned = torch.arange(6.0).reshape(2, 3).t()
    save_weights(tmp_path / "new" / "w.safetensors", {"wide": wide.requires_grad_(), "turned": turned})
    found = load_file(tmp_path / "new" / "w.safetensors")
    assert torch.equal(found["wide"], wide) and torch.equal(found["turned"], turned)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.safetensors"]


def test_a_file_of_weights_becomes_a_member_and_stays_where_it_was(saved: Saved, tmp_path: Path) -> None:
    path = tmp_path / "resume" / "fold_0.safetensors"
    save_weights(path, saved.nets[1].state_dict())
    for _ in range(2):  # again, as after a crash before the run had ended
        save_ensemble(tmp_path / FOLDER, saved.description, {"fold_0": path})
        assert path.is_file()
    shutil.rmtree(path.parent)
    (net,) = load_ensemble(tmp_path / FOLDER).nets
    with torch.no_grad():
        assert torch.allclose(net(images()), saved.nets[1](images()), atol=1e-4)


def test_a_model_takes_the_place_of_the_one_before_it(tmp_path: Path) -> None:
    saved = Saved(tmp_path)
    save_ensemble(tmp_path, saved.description, {"all": saved.nets[2].state_dict()})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.safetensors", "model.yaml"]
    assert load_ensemble(tmp_path).description.members == ["all.safetensors"]


def test_a_model_of_which_half_is_written_is_none(tmp_path: Path) -> None:
    run = tmp_path / "run"
    saved = Saved(run / FOLDER)
    with pytest.raises(FileNotFoundError):
        save_ensemble(run / FOLDER, saved.description, {"a": saved.nets[0].state_dict(), "b": tmp_path / "missing"})
    assert not (run / FOLDER / "model.yaml").exists()
    (run / "result.yaml").touch()
    with pytest.raises(DataError, match="its run kept no weights"):
        find_model(run)


# Finding


def test_a_model_is_found_from_its_run_its_search_and_itself(saved: Saved, tmp_path: Path) -> None:
    for place, given in (("exported", "exported"), ("run/model", "run"), ("search/best/model", "search")):
        shutil.copytree(saved.folder, tmp_path / place)
        assert find_model(tmp_path / given) == tmp_path / place
    assert find_model(tmp_path / "search" / "best") == tmp_path / "search" / "best" / "model"


def test_where_there_is_none_the_message_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"got {tmp_path / 'nowhere'}, which is no folder"):
        find_model(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"got {tmp_path}, where there is none"):
        find_model(tmp_path)
    (tmp_path / "result.yaml").touch()
    with pytest.raises(DataError, match=r"run's command again with refit=folds or refit=all\."):
        find_model(tmp_path)
    best = tmp_path / "my search" / "best"
    best.mkdir(parents=True)
    (best / "config.yaml").touch()
    with pytest.raises(DataError, match=f"\n  python -m docclf.train --config-dir '{best}' --config-name config$"):
        find_model(best.parent)


# Damage


def cut(folder: Path) -> None:
    path = folder / "fold_1.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def lose(folder: Path) -> None:
    (folder / "fold_2.safetensors").unlink()


def exchange(folder: Path) -> None:
    save_weights(folder / "fold_0.safetensors", timm.create_model("test_vit", num_classes=5).state_dict())


def fill(member: str, value: float, name: str = "weight") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = load_file(path := folder / f"{member}.safetensors")
        key = next(key for key in weights if key.endswith(name))
        save_weights(path, {**weights, key: weights[key].fill_(value)})

    return change


def as_bytes(folder: Path) -> None:
    weights = load_file(path := folder / "fold_0.safetensors")
    save_weights(path, {key: tensor.to(torch.int8) for key, tensor in weights.items()})


def rewrite(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        described = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
        (folder / "model.yaml").write_text(yaml.safe_dump({**described, **changes}), encoding="utf-8")

    return change


def add_members(folder: Path) -> None:
    """So many that YAML alone takes its time over them."""
    described = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    del described["members"]
    members = ", ".join(10**6 * ["fold_0.safetensors"])
    (folder / "model.yaml").write_text(f"{yaml.safe_dump(described)}members: [{members}]\n", encoding="utf-8")


def garble(folder: Path) -> None:
    (folder / "model.yaml").write_text("{backbone: [", encoding="utf-8")


def empty(folder: Path) -> None:
    (folder / "model.yaml").write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (cut, "SafetensorError: "),
        (lose, "FileNotFoundError: "),
        (exchange, "RuntimeError: Error"),
        (garble, "DataError: Expected YAML in "),
        (empty, "TypeError: "),
        (rewrite(backbone="resnet_of_tomorrow"), "ConfigError: Expected the name of a timm model"),
        (rewrite(members=[]), "ValueError: no members"),
        # refused before it is made, which takes gigabytes with some
        (rewrite(backbone="resnet152"), "ValueError: expected 58,15.,... weights of resnet152 in fold_0.safetensors"),
        (rewrite(targets=["a"]), "ValueError: expected a name for each class, got .5 for 1"),
        (rewrite(targets=["a"], class_names=["a"]), "RuntimeError: Error"),
        (rewrite(targets="abcde"), "ValueError: expected `targets` to be a list of texts, got 'abcde'"),
        (rewrite(decoded_size=10**9), "ValueError: expected `decoded_size` to be at least 8 and at most 4,096"),
        (rewrite(image_size="96"), "ValueError: expected `image_size` to be a whole number"),
        (rewrite(channels=10**9), "ValueError: expected `channels` to be 1 or 3"),
        (add_members, "ValueError: expected at most|DataError: Expected at most"),
        (rewrite(members=101 * ["fold_0.safetensors"]), "ValueError: expected at most 100 members"),
        (rewrite(targets=20_001 * ["a"], class_names=20_001 * ["a"]), "ValueError: expected 1 to 20000 classes"),
        *(
            (rewrite(temperature=t), "ValueError: expected `temperature` to be")
            for t in (float("nan"), 0, 1e-4, -1, True, "2")
        ),
        *((rewrite(std=[0.5, std, 0.5]), "ValueError: expected `std` to be") for std in (0, -0.5, float("inf"), None)),
        (rewrite(mean=[0.5, 1e300, 0.5]), "ValueError: expected `mean` to be finite numbers"),
        *((rewrite(weight=weight), "ValueError: expected `weight` to be") for weight in (float("nan"), 0, 1.1)),
        (rewrite(fit="foo"), "ValueError: expected `fit` to be squeeze or letterbox, got 'foo'"),
        (rewrite(targets=["0", "007", "1e3", "yes", "0"]), "ValueError: expected another target for each class"),
        (fill("fold_1", torch.nan), "ValueError: expected finite weights"),
        (fill("fold_1", -torch.inf), "ValueError: expected finite weights"),
        (fill("fold_2", torch.nan, "running_var"), "ValueError: expected numbers"),
        (as_bytes, "ValueError: expected torch.float32 for .* of fold_0.safetensors, got I8"),
        (rewrite(backbone="hf-hub:somebody/model"), "ConfigError: Expected the name of a timm model"),
        (rewrite(backbone="local-dir:/etc"), "ConfigError: Expected the name of a timm model"),
        (rewrite(from_a_later_version=1), "TypeError: .*from_a_later_version"),
    ],
)
def test_a_damaged_folder_is_told_with_its_cause_and_the_way_out(
    damage: Callable[[Path], None], cause: str, saved: Saved, tmp_path: Path
) -> None:
    shutil.copytree(saved.folder, tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(DataError, match=rf"Expected a whole model in {tmp_path / 'm'}, got {cause}") as caught:
        load_ensemble(tmp_path / "m")
    assert "Copy the folder again, or install the versions" in (said := str(caught.value)) and ".." not in said


def test_a_file_elsewhere_is_told_with_one_way_out(saved: Saved, tmp_path: Path) -> None:
    shutil.copytree(saved.folder, tmp_path / "m")
    rewrite(members=["../fold_0.safetensors"])(tmp_path / "m")
    with pytest.raises(DataError, match=r"^Expected a plain file name .*, without links\.$"):
        load_ensemble(tmp_path / "m")


def test_half_precision_and_a_mask_of_infinities_are_no_damage(saved: Saved, tmp_path: Path) -> None:
    shutil.copytree(saved.folder, tmp_path / "m")
    weights = load_file(path := tmp_path / "m" / "fold_0.safetensors")
    save_weights(path, {key: value.half() if value.is_floating_point() else value for key, value in weights.items()})
    fill("fold_1", -torch.inf, "running_mean")(tmp_path / "m")  # as in a mask; what it makes of pages is seen then
    load_ensemble(tmp_path / "m")
