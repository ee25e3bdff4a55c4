"""The page in which labels are reviewed: served to this machine alone, and to who knows its address."""

from __future__ import annotations

import io
import json
import logging
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from docclf.data.formats import read_with_aspect
from docclf.data.reading.listing import find_page
from docclf.errors import DocclfError, error_text
from docclf.results.quality.labels import Suspect
from docclf.review.decisions import Decisions

log = logging.getLogger(__name__)

_SIDES = {"small": 360, "large": 1100}  # pixels of a page's longer side
_MOST_BYTES = 10_000  # of a decision
_POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'nonce-{nonce}'; "
    "script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class ReviewServer(ThreadingHTTPServer):
    """Serves the page on 127.0.0.1.

    Args:
        groups: Suspected labels, see `docclf.review.decisions.beside`.
        classes: Target to class name, in the order of the class indices.
        root: Folder of the pages.
        next_steps: Commands to run after the review.
        port: To listen on; 0 for any.

    Raises:
        OSError: The port is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        groups: Sequence[Sequence[Suspect]],
        classes: Mapping[str, str],
        decisions: Decisions,
        root: Path,
        *,
        next_steps: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.token, self.nonce = secrets.token_urlsafe(24), secrets.token_urlsafe(12)
        self.suspects = [one for group in groups for one in group]
        self.classes, self.decisions, self.root, self.next_steps = classes, decisions, root, next_steps
        self._groups = [number for number, group in enumerate(groups) for _ in group]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line what went wrong with a request; a browser that has gone is no news."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, ConnectionError | TimeoutError) else logging.WARNING
        log.log(level, "A request for the page failed: %s", error_text(error or Exception()))

    @property
    def address(self) -> str:
        """Of the page, with what nobody else knows."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def facts(self) -> dict[str, Any]:
        """What the page shows."""
        decided = self.decisions.read()
        pages = [
            {
                "page": one.page,
                "given": one.given,
                "suggested": one.suggested,
                "score": one.score,
                "group": group,
                "new": None if (found := decided.get(one.page.strip())) is None else found.new,
            }
            for one, group in zip(self.suspects, self._groups, strict=True)
        ]
        file = str(self.decisions.path)
        return {"pages": pages, "classes": list(self.classes.items()), "file": file, "next": list(self.next_steps)}

    def picture(self, number: int, side: int) -> bytes:
        """A page as JPEG, in its proportions."""
        path, page = find_page(self.root, self.suspects[number].page)
        pixels, aspect = read_with_aspect(path, side, page=page)
        shape = (max(1, round(side * min(1, aspect))), max(1, round(side * min(1, 1 / aspect))))
        content = io.BytesIO()
        Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR).save(content, "JPEG", quality=85)
        return content.getvalue()


_ELSEWHERE = "This page is for the machine that it runs on; through a tunnel, use the same port on both sides."


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    timeout = 30  # seconds that a browser may be silent in a request

    def do_GET(self) -> None:
        self._answer({"": self._page, "facts": self._facts, "small": self._picture, "large": self._picture})

    def do_POST(self) -> None:
        self._answer({"decide": self._decide})

    def _answer(self, routes: Mapping[str, Callable[[], None]]) -> None:
        """Do what the path asks for, for a browser of this machine that was given the address."""
        hosts = [f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")]
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or origin not in (None, *(f"http://{host}" for host in hosts)):
            self._refuse(HTTPStatus.FORBIDDEN, _ELSEWHERE)
            return
        token, *self.parts = self.path.partition("?")[0].removeprefix("/").split("/")
        act = routes.get(self.parts[0] if self.parts else "?")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()) or act is None:
            self._refuse(HTTPStatus.NOT_FOUND, "Nothing is here. Open the address that the command has printed.")
            return
        try:
            act()
        except ConnectionError:
            log.debug("The browser has gone")
        except (DocclfError, OSError) as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"Expected what the page sends, got {type(error).__name__}: {error}")

    def _page(self) -> None:
        base = resources.files("docclf.results.report").joinpath("templates", "base.css").read_text(encoding="utf-8")
        text = resources.files("docclf.review").joinpath("page.html").read_text(encoding="utf-8")
        text = text.replace("@nonce@", self.server.nonce).replace("/* @base@ */", base)
        self._send(text.encode(), "text/html; charset=utf-8")

    def _facts(self) -> None:
        self._send_json(self.server.facts())

    def _picture(self) -> None:
        side = _SIDES[self.parts[0]]
        number = int(self.parts[1])
        if not 0 <= number < len(self.server.suspects):
            raise IndexError(number)
        try:
            content = self.server.picture(number, side)
        except Exception as error:  # moved or changed since; the decoders have many kinds
            self._refuse(HTTPStatus.NOT_FOUND, f"{type(error).__name__}: {error}")
            return
        self._send(content, "image/jpeg", cache="private, max-age=3600")

    def _decide(self) -> None:
        n_bytes = int(self.headers.get("Content-Length", ""))
        if self.headers.get_content_type() != "application/json" or not 0 < n_bytes <= _MOST_BYTES:
            raise ValueError("no JSON, or too much of it")
        asked = json.loads(self.rfile.read(n_bytes))
        number, new = asked["number"], asked["new"]
        if not isinstance(number, int) or not 0 <= number < len(self.server.suspects):
            raise IndexError(number)
        if new not in (None, "", *self.server.classes):
            raise ValueError("a class that the run does not know")
        one = self.server.suspects[number]
        decision = self.server.decisions.decide(one.page, one.given, new)
        self._send_json({"new": None if decision is None else decision.new})

    def _send_json(self, value: Any) -> None:
        self._send(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), "application/json")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._send(text.encode("utf-8", "replace"), "text/plain; charset=utf-8", status=status)

    def _send(self, content: bytes, kind: str, *, status: int = HTTPStatus.OK, cache: str = "no-store") -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": cache,
            "Content-Security-Policy": _POLICY.format(nonce=self.server.nonce),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
