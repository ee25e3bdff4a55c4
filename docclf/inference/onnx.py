"""A model as an ONNX file, which ONNX Runtime runs without PyTorch, and how far the two agree."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from docclf.errors import ConfigError
from docclf.inference.description import Description, InputFormat
from docclf.inference.ensemble import FoldEnsemble, TrialEnsemble

INPUT, ASPECTS, OUTPUT = "images", "aspects", "probabilities"
# Bytes of weights beyond which they get a file of their own: an ONNX file holds 2 GiB.
_IN_ONE_FILE = 1_900_000_000
_BATCH_SIZES = (1, 5, 16)
_README = Path(__file__).with_name("exported_readme.md")


def write_onnx(ensemble: FoldEnsemble | TrialEnsemble, path: Path) -> None:
    """Write an ONNX file: `images`, float32 of shape (n, channels, size, size) in [0, 1], to `probabilities`.

    Where a head takes them, `aspects` is the last input, width over height, float32 of shape (n,). An ensemble whose
    models see pages in several ways takes the same pages in each of them, as `images`, `images_1` and so on; what these
    are is in the metadata `views`, as JSON.

    Averaging and calibration are in the graph. Its metadata are what a caller needs of `Description`: `targets` and
    `class_names` as JSON, `image_size`, `decoded_size`, `channels` and `backbone`. Weights of more than 1.9 GB get a
    file of their own beside it.

    Args:
        ensemble: The model, on the CPU.

    Raises:
        ConfigError: torch can't export the backbone.
    """
    described = ensemble.description
    # Of 1 page, the number would become fixed.
    names, n = input_names(described), torch.export.Dim("n")
    sides = [view.image_size for view in described.views]
    images = [torch.zeros(2, described.channels, side, side) for side in sides]
    examples = (*images, *([torch.ones(2)] if described.takes_aspects else []))
    with torch.inference_mode():
        ensemble(*examples)  # what the first pass notes in the model is no part of the graph
    try:
        # Traced with a faster kernel, whose results lie otherwise in memory, attention with a bias, as of BEiT, is not
        # decomposed (torch 2.14: "Cannot view a tensor"). To be removed when test_export_model.py passes without it.
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*The axis name: n will not be used")  # the second one, which is n too
            program = torch.onnx.export(
                _Calibrated(ensemble).eval(),
                examples,
                input_names=names,
                output_names=[OUTPUT],
                dynamic_shapes=(tuple({0: n} for _ in names),),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ConfigError(
            f"Expected a backbone that torch {torch.__version__} can export to ONNX, got {described.backbone}: {reason}"
        ) from error
    assert program is not None
    _leave_out_traces(program.model)
    program.model.metadata_props.update(_metadata(described))
    n_bytes = sum(weight.numel() * weight.element_size() for weight in ensemble.state_dict().values())
    program.save(path, external_data=n_bytes > _IN_ONE_FILE)


def _metadata(described: Description) -> dict[str, str]:
    return {
        "targets": json.dumps(described.targets, ensure_ascii=False),
        "class_names": json.dumps(described.class_names, ensure_ascii=False),
        **{key: str(getattr(described, key)) for key in ("image_size", "decoded_size", "channels", "fit", "backbone")},
        "views": json.dumps([dict(zip(InputFormat.__annotations__, view, strict=True)) for view in described.views]),
    }


@torch.inference_mode()
def difference(ensemble: FoldEnsemble | TrialEnsemble, path: Path, images: Sequence[Tensor], aspects: Tensor) -> float:
    """Largest difference between a probability of PyTorch and of ONNX Runtime, in batches of 1, 5 and up to 16 pages.

    Args:
        ensemble: What the file was made from, on the CPU.
        images: For each view of the model, of shape (n, channels, image_size, image_size) in [0, 1], n at least 1.
        aspects: Width of each page over its height, shape (n,).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    expected = ensemble(*images, aspects, calibrated=True).numpy()
    names = input_names(ensemble.description)
    given = {name: part.float().numpy() for name, part in zip(names, [*images, aspects], strict=False)}
    largest = 0.0
    for size in _BATCH_SIZES:
        found: NDArray[np.float32] = session.run([OUTPUT], {key: part[:size] for key, part in given.items()})[0]
        gaps = np.abs(found - expected[:size])
        largest = max(largest, float(np.nan_to_num(gaps, nan=np.inf).max()))
    return largest


def input_names(description: Description) -> list[str]:
    """Of the inputs of the graph, in order."""
    images = [f"{INPUT}_{i}" if i else INPUT for i in range(len(description.views))]
    return [*images, *([ASPECTS] if description.takes_aspects else [])]


class _Calibrated(torch.nn.Module):
    def __init__(self, ensemble: FoldEnsemble | TrialEnsemble) -> None:
        super().__init__()
        self.ensemble = ensemble

    def forward(self, *inputs: Tensor) -> Any:
        return self.ensemble(*inputs, calibrated=True)


def _leave_out_traces(model: Any) -> None:
    """Of each operation torch notes the lines of source, with the paths of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
    for function in model.functions.values():
        for node in function.all_nodes():
            node.metadata_props.clear()


def write_readme(path: Path, description: Description, agreement: str) -> None:
    """Write what is beside an ONNX file: how to predict with it.

    Args:
        agreement: How it was found to be that of PyTorch.
    """
    mode, axes = ("RGB", ".transpose(2, 0, 1)[None]") if description.channels == 3 else ("L", "[None, None]")
    takes_aspects, several = description.takes_aspects, len(description.views) > 1
    path.write_text(
        _README.read_text(encoding="utf-8").format(
            model=description,
            inputs='\ninputs["aspects"] = np.float32([page.width / page.height])' if takes_aspects else "",
            aspects="\n`aspects`, float32 of shape (n,), are their widths over their heights." if takes_aspects else "",
            several=" `images_1` and so on are the same pages in other sizes or proportions." if several else "",
            classes="\n".join(
                f"- {json.dumps(target, ensure_ascii=False)}: {name}"
                for target, name in zip(description.targets, description.class_names, strict=True)
            ),
            size=description.image_size,
            mode=mode,
            axes=axes,
            channels=description.channels,
            agreement=agreement,
        ),
        encoding="utf-8",
    )
