"""docs/search.ipynb runs from its first cell to its last."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "search.ipynb"


def test_no_output_of_the_notebook_is_kept_in_git() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert len(cells) > 10
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook as it is after a run in a folder of its own."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'docclf[dev]'")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install 'docclf[dev]'")
    folder = tmp_path_factory.mktemp("노트")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def outputs(notebook: Any, source: str) -> list[Any]:
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    return list(cell.outputs)


@pytest.mark.slow
def test_the_notebook_searches_looks_and_trains_the_winner(done: Any) -> None:
    printed = "".join(output.text for output in outputs(done, "docclf.search("))
    assert "Drew 14 classes" in printed and re.search(r"^trial 4/5  \w+  macro-F1 0\.\d+", printed, re.M)
    assert "'beats_baseline':" in outputs(done, "result.verdict")[0].data["text/plain"]
    for figure in ("plot_optimization_history", "plot_param_importances", "plot_parallel_coordinate"):
        (shown,) = outputs(done, figure)
        assert shown.data["application/vnd.plotly.v1+json"]["data"]
    assert "'COMPLETE'" in outputs(done, "run.result")[0].data["text/plain"]
    assert outputs(done, "Image(run")[0].data["image/png"]
    assert "predicted" in outputs(done, "idxmax")[0].data["text/html"]
