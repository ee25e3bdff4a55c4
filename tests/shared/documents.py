"""What the documents tell their readers to type."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# All of these signs mean something to a shell, to Hydra, or to a database.
FOLDER = "실험 lr=0.1 (b)"
# Those that are written by hand. reference/config.md has commands of conf/, which tests/test_conf.py composes.
PAGES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES.remove(ROOT / "docs" / "reference" / "config.md")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_OVERRIDE = re.compile(r"~?\+{0,2}[a-z][a-z\d_./]*=.+|~[a-z.]+")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: `bash`, `python`, `yaml`, `text`.
        text: Its lines.
    """

    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that the block is to be saved as, which its first comment names; empty for none."""
        match = re.match(r"(?:# @package _global_\n)?# ([\w./]+\.(?:py|yaml))\n", self.text)
        return match[1] if match else ""

    @property
    def lines(self) -> list[str]:
        """Commands of a shell, each on one line and without a comment behind it."""
        joined = self.text.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"\s+# .*$", "", line) for line in joined) if line and line[0] != "#"]


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in _FENCED.findall(page.read_text(encoding="utf-8"))]


def inline(page: Path) -> list[str]:
    """What stands between single backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", _FENCED.sub("", page.read_text(encoding="utf-8")))


def commands(page: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Environment and words, from `docclf.NAME` on, of each command of docclf, in blocks and in the text."""
    lines = [line for block in blocks(page) if block.language == "bash" for line in block.lines]
    for text in [*lines, *(text for text in inline(page) if text.startswith("python -m docclf."))]:
        words = shlex.split(text)
        start = next((i for i, word in enumerate(words) if word.startswith("docclf.")), None)
        if start is not None:
            before = [word.split("=", 1) for word in words[:start] if re.match(r"[A-Z_]+=", word)]
            words, allowed = _without_allow(words[start:])
            yield {**dict(before), **({"DOCCLF_ALLOW": allowed} if allowed else {})}, words


def _without_allow(words: list[str]) -> tuple[list[str], str]:
    """Words of a command without `--allow NAME`, and the names."""
    at = [i for i, word in enumerate(words) if word == "--allow"]
    kept = [word for i, word in enumerate(words) if i not in at and i - 1 not in at]
    return kept, ",".join(words[i + 1] for i in at)


def overrides(page: Path) -> Iterator[tuple[str, ...]]:
    """Overrides in the text, one or several at once."""
    for text in dict.fromkeys(inline(page)):
        try:
            words = shlex.split(text)
        except ValueError:  # half of a quotation
            continue
        if words and all(_OVERRIDE.fullmatch(word) for word in words):
            yield tuple(words)
