"""A small data set that can be learnt, the composed config, and an environment that leaves the user's alone."""

import pickle
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browsing import CHROMIUM
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, open_dict
from parsed_once import load_config
from PIL import Image, ImageDraw
from tiny import TRAINING

import docclf
from docclf.safety.targets import whitelist

collect_ignore = ["sweeper/toy/heavy.py"]  # which tells of its import

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup` ignores

Compose = Callable[..., DictConfig]

CLASSES = {"0": "invoice", "7": "계약서", "10": "letter of intent"}
PAGES_PER_CLASS = 8
TEST_PAGES_PER_CLASS = 3


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is read or written, nothing leaves the machine, one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCCLF_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.delenv("WANDB_API_KEY", raising=False)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def conf_is_parsed_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileConfigSource, "load_config", load_config)
        yield


@pytest.fixture(autouse=True)
def allowed_targets() -> Iterator[None]:
    """What `hydra.main` does for the command."""
    with execution_whitelist(whitelist()):
        yield


@pytest.fixture(scope="session")
def pages_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV data set: 3 classes of 8 training and 3 test pages, one class named in Hangul, one with spaces."""
    root = tmp_path_factory.mktemp("pages")
    random = np.random.default_rng(0)
    for split, n in (("train", PAGES_PER_CLASS), ("test", TEST_PAGES_PER_CLASS)):
        (root / split).mkdir()
        rows = ["ID,target"]
        for layout, target in enumerate(CLASSES):
            for i in range(n):
                name = f"{target} 쪽 {i}.{'jpg' if i % 2 else 'png'}"
                draw_page(layout, random).save(root / split / name)
                rows.append(f"{name},{target}")
        (root / f"{split}.csv").write_text("\n".join(rows), encoding="utf-8")
    meta = ["target,class_name", *(f"{target},{name}" for target, name in CLASSES.items())]
    (root / "meta.csv").write_text("\n".join(meta), encoding="utf-8")
    return root


def draw_page(layout: int, random: np.random.Generator) -> Image.Image:
    """Lines across, a dark column at the left, or a frame; a little different each time."""
    page = Image.new("RGB", (60, 80), "white")
    pen = ImageDraw.Draw(page)
    x, y, grey = (int(value) for value in random.integers([3, 3, 0], [9, 9, 90]))
    if layout == 0:
        for line in range(y, 76, 8):
            pen.line((x, line, 56, line), (grey,) * 3, 3)
    elif layout == 1:
        pen.rectangle((0, y, 16 + x, 79), (grey,) * 3)
    else:
        pen.rectangle((x, y, 54, 74), outline=(grey,) * 3, width=4)
    return page


def compose_with(
    *overrides: str, config: str = "train", hydra: bool = False, folder: Path = docclf.CONF_DIR
) -> DictConfig:
    """Compose as the command line does; from conf/ alone each config once, of which every caller has a copy."""
    GlobalHydra.instance().clear()
    is_ours = folder == docclf.CONF_DIR and not any("searchpath" in text for text in overrides)
    act = _compose_once if is_ours else _compose_once.__wrapped__
    composed: DictConfig = pickle.loads(act(overrides, config, folder))
    if not hydra:  # as `compose` does
        with open_dict(composed):
            del composed["hydra"]
    return composed


@cache
def _compose_once(overrides: tuple[str, ...], config: str, folder: Path) -> bytes:
    with initialize_config_dir(str(folder)):
        return pickle.dumps(compose(config, overrides=list(overrides), return_hydra_config=True))


@pytest.fixture(scope="session")
def compose_config() -> Compose:
    """Composes with any overrides: `compose_config("augment=scan", config="train", hydra=False, folder=CONF_DIR)`."""
    return compose_with


@pytest.fixture(scope="session")
def tiny_config(pages_root: Path) -> DictConfig:
    return compose_with(*TRAINING, f"data.root='{pages_root}'")


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of `test_resnet`, which stand for trained ones."""
    import timm
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "test_resnet.safetensors"
    torch.manual_seed(7)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), path)
    return path


@pytest.fixture
def cfg(tiny_config: DictConfig) -> DictConfig:
    """The config of a tiny training, to be changed at will."""
    return tiny_config.copy()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
