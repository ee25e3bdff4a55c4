"""Labels are reviewed through the command's page, and trained on as they were decided."""

import csv
import shlex
import socket
import struct
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import yaml
from forked import python
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from review_command import WRONG, Review

from docclf.labels import main, next_steps
from docclf.results.quality.comparison import compare_runs
from docclf.results.quality.labels import Suspect
from docclf.results.reading import read_run
from docclf.review.decisions import Decisions
from docclf.review.server import ReviewServer
from docclf.sweeper.space.grammar import parse_override

Start = Callable[..., Review]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_wrong_labels_are_on_the_page_with_what_they_may_be(review: Start) -> None:
    facts = review("run").facts()
    found = {one["page"]: (one["given"], one["suggested"]) for one in facts["pages"]}
    assert WRONG.items() <= found.items()
    assert [target for target, _ in facts["classes"]] == ["0", "7", "10"]


@pytest.mark.slow
def test_each_decision_is_on_disk_at_once_and_the_command_goes_on_after_a_kill(review: Start, place: Path) -> None:
    one = review("run")
    first, second = WRONG
    one.decide(first, "0")
    one.kill()
    (row,) = rows(place / "run" / "corrections.csv")
    assert [row[key] for key in ("ID", "old", "new", "who")] == [first, "7", "0", "ann"]
    assert row["when"].endswith("+00:00")
    again = review("run")
    assert again.facts()["pages"][again.number(first)]["new"] == "0"
    again.decide(second, "")
    again.decide(first, None)
    again.decide(first, "10")
    output = again.end()
    assert "2 decisions in" in output
    assert [(row["ID"], row["old"], row["new"]) for row in rows(place / "run" / "corrections.csv")] == [
        (second, "0", ""),
        (first, "7", "10"),
    ]


@pytest.mark.slow
def test_the_printed_commands_train_on_corrected_labels_and_show_the_effect(review: Start, place: Path) -> None:
    one = review("run")
    for page, (_, own) in WRONG.items():
        one.decide(page, own)
    train, compare = (shlex.split(line) for line in one.end().splitlines()[-2:])
    for command in (train, compare):
        assert command[:2] == ["python", "-m"]
        status, output = python(*command[2:], cwd=place, warn=False)
        assert status == 0, output
    assert "Corrected labels: 2 relabelled, 0 dropped in B. Pages whose label stands in both are compared." in output
    assert "22 out-of-fold pages that both have (A has 2 more, B 2)" in output
    text = compare_runs(place / "outputs" / "corrected", place / "run")
    assert "2 relabelled, 0 dropped in A" in text

    # The corrected run is reviewed with the same file, which grows.
    after = place / "outputs" / "corrected"
    (after / "label_issues.csv").write_text("ID,given,suggested,score\n0 쪽 2.png,0,7,0.1\n", encoding="utf-8")
    assert main([str(after)]) == 2
    again = review(str(after), "--file", "run/corrections.csv")
    again.decide("0 쪽 2.png", "10")
    again.kill()
    decided = {row["ID"]: (row["old"], row["new"]) for row in rows(place / "run" / "corrections.csv")}
    assert decided == {"0 쪽 2.png": ("7", "10"), "10 쪽 3.jpg": ("0", "10")}


def test_the_printed_command_has_any_path_as_it_is(tmp_path: Path) -> None:
    root, file = "/it's (a) page", "/쪽/a=b, c.csv"
    command, _ = next_steps(Mock(folder=tmp_path, n_folds=3, resolved={}), Path(root), Path(file))
    overrides = OverridesParser.create().parse_overrides(shlex.split(command)[7:])
    assert [override.value() for override in overrides[:2]] == [root, file]


def test_commands_name_files_where_the_run_was_started_and_allow_what_it_needs(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, here = place / "its home", place / "here"
    home.mkdir()
    here.mkdir()
    for name in ("fixes.csv", "none.csv"):
        (home / name).write_text("ID\n", encoding="utf-8")
    config = OmegaConf.load(place / "run" / ".hydra" / "config.yaml")
    config.data.corrections, config.data.exclude = "fixes.csv", "none.csv"
    OmegaConf.save(config, place / "run" / ".hydra" / "config.yaml")
    (place / "run" / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"cwd": str(home)}}}))
    result = yaml.safe_load((place / "run" / "result.yaml").read_text(encoding="utf-8"))
    result["data"]["corrections"] = {"relabelled": 1}
    (place / "run" / "result.yaml").write_text(yaml.safe_dump(result, allow_unicode=True), encoding="utf-8")
    monkeypatch.setenv("DOCCLF_ALLOW", "mine.*")
    monkeypatch.chdir(here)
    assert main(["../run", "--no-browser"]) == 2
    assert f"--file '{home / 'fixes.csv'}'" in capsys.readouterr().err
    found = read_run(place / "run")
    for where, there in ((here, True), (home, False)):
        monkeypatch.chdir(where)
        command = shlex.split(next_steps(found, place, home / "fixes.csv")[0])
        assert command[command.index("--allow") + 1] == "mine.*"
        given = [parse_override(text) for text in command if text.startswith("data.exclude=")]
        assert [o.value() for o in given] == ([str(home / "none.csv")] if there else [])


# Who may ask


def ask(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    port = urlsplit(address).port
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    given = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", **headers}
    connection.request(method, path, b'{"number": 0, "new": ""}' if method == "POST" else None, given)
    answer = connection.getresponse()
    answer.read()
    return answer.status, {key.lower(): value for key, value in answer.getheaders()}


def test_the_page_answers_who_knows_its_address_alone(review: Start, place: Path) -> None:
    address = review("run").address
    path = urlsplit(address).path
    assert urlsplit(address).hostname == "127.0.0.1" and len(path) > 24
    status, headers = ask(address, path)
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    for other in ("/", "/facts", f"/x{path[1:]}facts", f"{path}../facts", f"{path}nothing"):
        assert ask(address, other)[0] == 404
    for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Origin": "http://evil.example"}):
        assert ask(address, path, **headers)[0] == 403
        assert ask(address, f"{path}decide", "POST", **headers)[0] == 403
    connection = HTTPConnection("127.0.0.1", urlsplit(address).port or 0)
    connection.request("GET", path, headers={"Host": "localhost:1"})
    assert b"through a tunnel, use the same port on both sides" in connection.getresponse().read()
    assert ask(address, "/decide", "POST")[0] == 404
    assert ask(address, f"{path}decide", "POST", **{"Content-Type": "text/plain"})[0] == 400
    assert not (place / "run" / "corrections.csv").exists()


BODIES = (
    b"",
    b"{}",
    b"[]",
    b'{"number": 99, "new": ""}',
    b'{"number": -1, "new": ""}',
    b'{"number": 0, "new": "x"}',
    b'{"number": 0, "new": ["0"]}',
    b'{"number": 0, "new": "' + b"0" * 20_000 + b'"}',
    9_000 * b"[",
)


def test_what_the_page_would_not_send_is_refused(review: Start, place: Path) -> None:
    address = f"{review('run').address}decide"
    for body in BODIES:
        with pytest.raises(HTTPError, match="400"):
            urlopen(Request(address, body, {"Content-Type": "application/json"}))
    assert not (place / "run" / "corrections.csv").exists()


def test_a_browser_that_goes_leaves_no_word_in_the_terminal(review: Start, capfd: pytest.CaptureFixture[str]) -> None:
    one = review("run")
    place = urlsplit(one.address)
    assert place.port is not None
    for sent in (b"", b"GET ", b"POST %sdecide HTTP/1.1\r\nContent-Length: 9\r\n\r\n" % place.path.encode()):
        with socket.create_connection(("127.0.0.1", place.port)) as browser:
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets it
            browser.sendall(sent)
    with socket.create_connection(("127.0.0.1", place.port)) as browser:
        browser.sendall(b"GET nothing HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % place.port)
        assert browser.makefile("rb").readline().split()[1] == b"404"
    one.end()
    assert capfd.readouterr().err == ""


def test_what_goes_wrong_with_a_request_is_one_line(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ReviewServer([], {}, Decisions(place / "c.csv", ""), place) as server:
        for error, level in (
            (ConnectionResetError("gone"), "DEBUG"),
            (TimeoutError("silent"), "DEBUG"),
            (MemoryError("full"), "WARNING"),
        ):
            caplog.clear()
            caplog.set_level("DEBUG")
            try:
                raise error
            except Exception:
                server.handle_error(None, None)
            (record,) = caplog.records
            assert record.levelname == level and record.exc_info is None
            assert record.getMessage() == f"A request for the page failed: {type(error).__name__}: {error}"


def test_pages_are_shown_in_their_proportions_and_none_from_elsewhere(review: Start, place: Path) -> None:
    from io import BytesIO

    from PIL import Image

    picture = place / "secret.png"
    Image.new("L", (9, 9)).save(picture)
    issues = place / "run" / "label_issues.csv"
    lines = [issues.read_text(encoding="utf-8"), f"{picture},0,7,0.9,\n", f"../../{picture.name},0,7,0.9,\n"]
    issues.write_text("".join(lines), encoding="utf-8")
    one = review("run")
    for size, side in (("small", 360), ("large", 1100)):
        with urlopen(f"{one.address}{size}/{one.number('0 쪽 2.png')}") as answer:
            image = Image.open(BytesIO(answer.read()))
        assert image.size == (side * 3 // 4, side)
    n = len(one.facts()["pages"])
    for number in (n - 1, n - 2):
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{one.address}small/{number}")


# What is said instead of a page


def test_what_cannot_be_reviewed_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = place / "run"
    assert main([str(run), "--no-browser", "--port", "99999"]) == 2
    assert "got 99999: bind(): port must be 0-65535. Leave --port out" in capsys.readouterr().err
    assert main([str(run), "--file", str(place)]) == 2
    assert f"got the folder {place}. Say --file {place}/corrections.csv\n" in capsys.readouterr().err
    assert main([str(run), "--root", str(place / "away")]) == 2
    assert "Expected the pages of" in capsys.readouterr().err
    (run / "corrections.csv").symlink_to(place / "mine.csv")
    assert main([str(run)]) == 2
    assert "'corrections.csv', which leads elsewhere" in capsys.readouterr().err
    (run / "corrections.csv").unlink()
    (run / "corrections.csv").write_text("ID,new\na,b\n")
    assert main([str(run)]) == 2
    assert "the columns ID,old,new" in capsys.readouterr().err
    (run / "corrections.csv").write_text("ID,old,new,why\na,b,c,d\n")
    assert main([str(run)]) == 2
    assert "got why too. Say --file corrections_reviewed.csv\n" in capsys.readouterr().err
    (run / "label_issues.csv").write_text("ID,given,suggested,score\n0 쪽 2.png,0\n", encoding="utf-8")
    assert main([str(run)]) == 2
    assert "label_issues.csv as docclf writes it" in capsys.readouterr().err
    (run / "label_issues.csv").write_text("ID,given,suggested,score\n", encoding="utf-8")
    assert main([str(run)]) == 0
    assert "No label of" in capsys.readouterr().out


def test_a_page_of_a_folder_that_begins_with_a_blank_is_decided_once(tmp_path: Path) -> None:
    page, decisions = " invoice/1.png", Decisions(tmp_path / "corrections.csv", "ann")
    for new in ("1", "", "2"):
        decisions.decide(page, "0", new)
    server = ReviewServer([[Suspect(page, "0", "1", 0.1, "")]], {"0": "a", "1": "b", "2": "c"}, decisions, tmp_path)
    server.server_close()
    assert [one["new"] for one in server.facts()["pages"]] == ["2"]
    decisions.decide(page, "0", None)
    assert rows(decisions.path) == []


def test_two_who_write_at_once_lose_nothing(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def decide(i: int) -> Any:
        return Decisions(tmp_path / "new" / "corrections.csv", "ann").decide(f"={i}.png", "0", "@1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, range(40)))
    found = rows(tmp_path / "new" / "corrections.csv")
    assert sorted(row["ID"] for row in found) == sorted(f"'={i}.png" for i in range(40))
    assert {row["new"] for row in found} == {"'@1"}
    assert set(Decisions(tmp_path / "new" / "corrections.csv", "").read()) == {f"={i}.png" for i in range(40)}
