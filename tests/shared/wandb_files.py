"""Reads back what W&B has written, with W&B's own reader, `wandb leet inspect`."""

import json
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from wandb.util import get_core_path


class WandbFile:
    """A run as it is on the disk.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Everything that was written, in order."""
        (file,) = self.path.glob("run-*.wandb")
        # What `wandb leet inspect` starts, which itself takes a second to begin.
        command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(file)]
        done = subprocess.run([*command, str(self.path.parent)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def every(self, kind: str) -> list[dict[str, Any]]:
        """The records of one type."""
        return [record[kind] for record in self.records if record["type"] == kind]

    @property
    def run(self) -> dict[str, Any]:
        """The run as it was last described."""
        return self.every("run")[-1]

    @property
    def name(self) -> str:
        return str(self.run["display_name"])

    @property
    def tags(self) -> list[str]:
        return list(self.run.get("tags", []))

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.run["config"]["update"])

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows, without W&B's own keys."""
        rows = [record["item"] for record in self.every("history")]
        return [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]

    @property
    def summary(self) -> dict[str, Any]:
        return {key: value for record in self.every("summary") for key, value in record.get("update", {}).items()}

    @property
    def exit_code(self) -> int | None:
        """None of a run that was never finished."""
        codes = [int(record.get("exit_code", 0)) for record in self.every("exit")]
        return codes[0] if codes else None

    @property
    def artifacts(self) -> dict[str, dict[str, Path]]:
        """Type of artifacts to their files: name in the artifact to where it is kept until the run is uploaded."""
        found: dict[str, dict[str, Path]] = {}
        for record in self.every("artifact"):
            files = {file["path"]: Path(file["local_path"]) for file in record["manifest"]["contents"]}
            found.setdefault(record["type"], {}).update(files)
        return found


def wandb_runs(folder: Path) -> list[WandbFile]:
    """The offline runs in a folder, in the order of their begin."""
    return [WandbFile(path) for path in sorted((folder / "wandb").glob("offline-run-*"))]


def only_wandb_run(folder: Path) -> WandbFile:
    (run,) = wandb_runs(folder)
    return run
