"""report.html: a whole search on one page that needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import logging
import math
import shlex
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from plotly.offline import get_plotlyjs

from docclf.data.formats import read_page
from docclf.data.reading.listing import find_page
from docclf.files import replacing
from docclf.results.quality.shift import picture_address, read_shift, shift_lines
from docclf.results.report.figures.course import fronts, history, pruning
from docclf.results.report.figures.figure import Figure, brief, cut, score
from docclf.results.report.figures.importance import importance_figure, importances
from docclf.results.report.figures.parameters import ordered, parallel, slices
from docclf.results.report.figures.quality import calibration, class_scores, confusion, coverage
from docclf.results.report.predictions import most_confused, pages_root, read_predicted, suspected
from docclf.results.report.rows import table_of_trials
from docclf.results.report.story import facts_of, headline, next_steps
from docclf.results.report.subject import Subject, read_subject
from docclf.results.report.trial_page import address, write_trial_pages
from docclf.safety.untrusted import change_each, is_inside, plain

log = logging.getLogger(__name__)

NAME = "report.html"
_SUSPECTS = 12
_SIDE, _QUALITY = 168, 60  # of small pictures of pages
_BUDGET = 1_000_000  # bytes of all of them
_SPECIFIED = ("key", "data", "layout", "height")  # of a figure, for the browser


def write_report(
    study: optuna.Study,
    folder: Path | None,
    *,
    objectives: Sequence[str] | None = None,
    command: str | None = None,
    pages: Path | None = None,
    output: Path | None = None,
) -> Path:
    """Write the report of a study, and a page into every trial's folder.

    Args:
        study: Finished, running, or of another program.
        folder: Of the search; None without one.
        objectives: What each objective is called; None for what the study says.
        command: That searches on; None where it is not known.
        pages: Folder of the pages, for small pictures; None for none. What the search's folder says of them is not
            followed: it may be somebody else's, and name a folder of pictures that are not to be shown.
        output: File to write; None for `report.html` in the folder.
    """
    subject = read_subject(study, folder, objectives)
    target = (output or (folder if folder is not None else Path()) / NAME).absolute()
    environment = _environment()
    written = write_trial_pages(subject, environment, target)
    links, finals = ({number: address(path, target.parent) for number, path in each.items()} for each in written)
    figures, sections = _sections(subject, pages)
    table = subject.folder / "trials.csv" if subject.folder else None
    board = subject.folder / "leaderboard.csv" if subject.folder else None
    text = environment.get_template("report.html.j2").render(
        subject=subject,
        head=headline(subject),
        facts=facts_of(subject, links, finals),
        steps=next_steps(subject, command),
        sections=sections,
        figures=figures,
        specifications=_script([{key: getattr(figure, key) for key in _SPECIFIED} for figure in figures.values()]),
        trials=_script(table_of_trials(subject, links)),
        plotly=Markup(get_plotlyjs() if figures else ""),
        csv=address(table, target.parent) if table is not None and table.is_file() else "",
        leaderboard=address(board, target.parent) if board is not None and board.is_file() else "",
    )
    with replacing(target) as partial:
        partial.write_bytes(text.encode("utf-8", "replace"))
    return target


def _sections(subject: Subject, pages: Path | None) -> tuple[dict[str, Figure], dict[str, Any]]:
    """All pictures by key, and for each section which of them, and what else it needs."""
    several = range(len(subject.directions))
    found = [importances(subject, i) for i in several]
    names = ordered(subject, list(found[0].fractions))
    groups: dict[str, Sequence[Figure | None]] = {
        "course": [*fronts(subject), *(history(subject, i) for i in several), pruning(subject)],
        "importances": [importance_figure(subject, i, its) for i, its in zip(several, found, strict=True)],
        "wide": [parallel(subject, names)],
        "slices": slices(subject, names),
        "quality": [],
    }
    winner, baseline = read_predicted(subject)
    sections: dict[str, Any] = {"remarks": [its.remark for its in found if not its.fractions], "winner": winner}
    if winner is not None:
        if pages is None and (root := pages_root(winner.run)) is not None:
            log.info(f"Without pictures of pages. To have them, add --pages {shlex.quote(plain(str(root)))}")
        thumbnails = Thumbnails(pages)
        matrices = [confusion(winner, "confusion-winner")]
        matrices += [confusion(baseline, "confusion-baseline")] if baseline is not None else []
        of_classes, of_pages = class_scores(winner, baseline), coverage(winner, baseline)
        groups["quality"] = [of_classes, *matrices, calibration(winner), of_pages]
        pairs, labels = most_confused(winner, baseline), suspected(winner)
        sections |= {
            "pairs": [(pair, [(page, thumbnails(page)) for page in pair["pages"]]) for pair in pairs],
            "labels": [(label, thumbnails(label.page)) for label in labels[:_SUSPECTS]],
            "n_labels": len(labels),
        }
    shift = read_shift(subject.folder)
    sections["test_pages"] = shift_lines(shift) if shift else []
    sections["unlike"] = picture_address(subject.folder) if shift else ""
    sections |= {key: [figure.key for figure in group if figure is not None] for key, group in groups.items()}
    return {figure.key: figure for group in groups.values() for figure in group if figure is not None}, sections


def _script(value: Any) -> Markup:
    """JSON inside a script element, which a `</script>` or `<!--` in a name would end.

    >>> _script({"class": "</script>", "y": float("nan")})
    Markup('{"class":"\\\\u003c/script>","y":null}')
    """
    # NaN and infinity, which JSON has not, become null.
    known = change_each(value, lambda v: None if isinstance(v, float) and not math.isfinite(v) else _shown(v))
    text = json.dumps(known, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _shown(value: Any) -> Any:
    """A value without letters that turn or hide what stands beside them; markup of our own as it is.

    >>> _shown("a\\u202eb"), _shown(3)
    ('a\\\\u202eb', 3)
    """
    is_foreign = isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable()
    return plain(value) if is_foreign else value


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("docclf.results.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    environment.globals["source"] = _source
    environment.filters |= {"score": score, "brief": brief, "cut": cut}
    return environment


def _source(name: str) -> Markup:
    """Text of a file beside the templates, as it is."""
    return Markup(resources.files("docclf.results.report").joinpath("templates", name).read_text(encoding="utf-8"))


class Thumbnails:
    """JPEG pictures as data URIs, up to about a megabyte in all.

    Args:
        root: Folder of the pages; None for no pictures.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._known: dict[str, str] = {}
        self._left = _BUDGET

    def __call__(self, page: str) -> str:
        """The picture of a page; empty where there is none."""
        if page not in self._known:
            self._known[page] = self._draw(page)
            self._left -= len(self._known[page])
        return self._known[page]

    def _draw(self, page: str) -> str:
        if self._root is None or self._left <= 0:
            return ""
        try:
            pixels = read_thumbnail(self._root, page, _SIDE)
        except Exception as error:  # moved or changed since; the decoders have many kinds
            log.debug(f"No picture of {page}: {type(error).__name__}: {error}")
            return ""
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=_QUALITY, optimize=True)
        return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def read_thumbnail(root: Path, page: str, side: int) -> NDArray[np.uint8]:
    """A page of a data set in small.

    Args:
        root: `data.root`.
        page: ID of the page.
        side: Height and width in pixels.

    Returns:
        uint8 of shape (side, side, 3).

    Raises:
        Exception: It is not there, or cannot be read.
    """
    path, number = find_page(root, page)
    if not (path.is_file() and is_inside(path, root)):  # an ID may come from somebody else's file
        raise FileNotFoundError(f"Expected the page {page} below {root}, got no such file.")
    return read_page(path, side, page=number)
