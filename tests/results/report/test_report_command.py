"""`python -m docclf.report`, on folders and on studies of other programs."""

import html
import re
import shlex
from pathlib import Path

import optuna
import pytest
import yaml
from results.report.studies import NAME, new_study, trial

from docclf.report import main
from docclf.results.report.thumbnails import read_thumbnail
from docclf.sweeper.space.grammar import encode, read_override, to_text


def test_it_reports_a_search_from_its_folder(
    search: tuple[optuna.Study, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = search
    assert main([str(folder)]) == 0
    assert Path(capsys.readouterr().out.strip()) == folder / "report.html"
    assert "beats the baseline" in (folder / "report.html").read_text(encoding="utf-8")


def test_it_reports_a_study_of_another_program_and_changes_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'x.db'}"
    for name in ("a/b", "c"):
        new_study([trial(i) for i in range(3)], storage=url, study_name=name)
    before = (tmp_path / "x.db").read_bytes()
    assert main([f"{url}#a/b"]) == 0
    assert "<title>a/b: " in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "x.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"x.db", "report.html"}


def write_sweep(
    folder: Path, cwd: Path, *overrides: str, total: int = 1000, hydra: tuple[str, ...] = (), **runtime: object
) -> None:
    sweeper = {
        "study_name": NAME,
        "storage": None,
        "n_trials": total,
        "metric": "macro_f1",
        "direction": {"macro_f1": "maximize"},
        "labels": {"macro_f1": "macro-F1"},
        "preflight": "docclf.cli.preflight.preflight",
    }
    task = ["hparams_search=optuna", f"search.n_trials={total}", *overrides]
    given = {"task": task, "hydra": ["hydra.mode=MULTIRUN", *hydra]}
    known = {"sweep": {"dir": "multirun/x"}, "runtime": {"cwd": str(cwd), **runtime}, "overrides": given}
    sweep = yaml.safe_dump({"hydra": {**known, "sweeper": sweeper}}, allow_unicode=True)
    (folder / "multirun.yaml").write_text(sweep, encoding="utf-8")
    (folder / "best").mkdir(exist_ok=True)


def typed_value(key: str, value: object) -> str:
    """An override as Hydra reads it."""
    return f"{key}={to_text(encode(str(value)))}"


def commands_of(report: Path) -> list[list[str]]:
    """The commands that a report says, each as a shell reads it."""
    text = report.read_text(encoding="utf-8")
    shown = [html.unescape(re.sub(r"<[^>]+>", "", line)) for line in text.splitlines()]
    return [shlex.split(line.strip()) for line in shown if "python -m docclf.train -m" in line]


@pytest.mark.parametrize(("total", "said"), [(1, "search.n_trials=2"), (1000, "search.n_trials=1000")])
def test_the_command_of_the_sweep_goes_on_with_its_search(
    total: int, said: str, search: tuple[optuna.Study, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To twice its total, where that was reached."""
    _, folder = search
    (tmp_path / "my project").mkdir()
    monkeypatch.chdir(tmp_path / "my project")
    write_sweep(folder, Path.cwd(), "data.root=my pages", total=total)
    assert main([str(folder), "--output", "elsewhere.html"]) == 0
    given, where = ["data.root=my pages", said], typed_value("hydra.sweep.dir", folder)
    start = ["cd", str(Path.cwd()), "&&", "python", "-m", "docclf.train", "-m", "hparams_search=optuna"]
    goes_on = [*start, given[0], where, said] if total == 1 else [*start, said, given[0], where]
    assert goes_on in commands_of(Path("elsewhere.html"))
    assert "macro-F1, trial by trial" in Path("elsewhere.html").read_text(encoding="utf-8")


def test_a_command_never_starts_python_in_a_folder_that_the_search_names(
    search: tuple[optuna.Study, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, `python -m docclf.train` would be whatever lies in it."""
    _, folder = search
    theirs = tmp_path / "share" / "ann"
    (theirs / "pages").mkdir(parents=True)
    write_sweep(folder, theirs, "data.root=pages")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main([str(folder)]) == 0
    (command,) = commands_of(folder / "report.html")
    assert command[:7] == ["cd", str(tmp_path / "here"), "&&", "python", "-m", "docclf.train", "-m"]
    (where,) = (text for text in command if text.startswith("hydra.sweep.dir="))
    override = read_override(where)
    assert override is not None and override.value() == str(folder), "or it would begin another search"
    assert f"data.root={theirs / 'pages'}" in command


def test_the_command_has_what_was_typed_for_hydra_and_the_folder_unless_it_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sampler = ("hydra/sweeper/sampler=grid", "hydra.sweeper.climb=null")
    for folder in (tmp_path / "multirun" / "x", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        new_study([trial(i) for i in range(3)], storage=f"sqlite:///{folder / 'study.db'}", study_name="x")
        write_sweep(folder, tmp_path, hydra=(*sampler, f"hydra.sweep.dir={folder}"))
        sweep = (folder / "multirun.yaml").read_text(encoding="utf-8").replace(NAME.replace("'", "''"), "x")
        (folder / "multirun.yaml").write_text(sweep, encoding="utf-8")
        assert main([str(folder)]) == 0
        (command,) = commands_of(folder / "report.html")
        where = [] if folder.parent.name == "multirun" else [f"hydra.sweep.dir={folder}"]
        assert command[7:] == ["hparams_search=optuna", "search.n_trials=1000", *sampler, *where]


@pytest.mark.parametrize(
    ("overrides", "runtime"),
    [
        (["search.storage=sqlite:///x.db"], {}),
        (["data.draw=${hydra:runtime.cwd}"], {}),
        (["+augment._target_=mine.F"], {}),
        ([], {"config_sources": [{"path": "search", "schema": "file", "provider": "command-line"}]}),
    ],
)
def test_there_is_no_command_where_it_would_lack_what_was_typed(
    overrides: list[str], runtime: dict[str, object], search: tuple[optuna.Study, Path], tmp_path: Path
) -> None:
    write_sweep(search[1], tmp_path, *overrides, **runtime)
    assert main([str(search[1])]) == 0
    assert commands_of(search[1] / "report.html") == []


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("nowhere", "Expected a search's folder or a storage URL such as sqlite:///study.db#NAME, got nowhere"),
        ("sqlite:///nowhere.db", "Expected an Optuna study in nowhere.db, got no such file"),
        (".", "study.db, got no such file"),
        ("sqlite:///text.db", "Expected an Optuna study in text.db, got something else: file is not a database"),
        ("sqlite:///x.db#c", "Expected a study `c` in sqlite:///x.db#c, got a, b"),
        ("sqlite:///x.db", "Expected one study in sqlite:///x.db, got a, b. Name one by its storage URL"),
    ],
)
def test_it_says_what_is_missing(
    study: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.db").write_text("no database, but text of some length")
    for name in ("a", "b"):
        new_study([], storage="sqlite:///x.db", study_name=name)
    assert main([study]) == 2
    assert message in capsys.readouterr().err
    assert not Path("report.html").exists() and not Path("nowhere.db").exists()


def test_it_goes_over_nothing_but_a_report(
    search: tuple[optuna.Study, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(search[1])
    Path("train.csv").write_text("ID,target\n", encoding="utf-8")
    for given, other in (("train.csv", "train_1.html"), ("", "report.html"), (".", "report.html")):
        assert main([folder, "--output", given]) == 2
        assert capsys.readouterr().err.endswith(f" Say --output {other}\n")
    assert Path("train.csv").read_text(encoding="utf-8") == "ID,target\n"
    for _ in range(2):
        assert main([folder, "--output", "train_1.html"]) == 0
    (search[1] / "report.html").write_text("mine", encoding="utf-8")
    assert main([folder]) == 2
    assert "report.html, which is another file" in capsys.readouterr().err


def test_pages_that_are_not_there_are_missed(
    search: tuple[optuna.Study, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(search[1]), "--pages", "nope"]) == 2
    assert "Expected the folder of the pages in --pages, got nope: no such folder." in capsys.readouterr().err


def test_a_page_is_found_below_the_root_or_below_train_and_as_one_of_a_file(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "train").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "train" / "a.png")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "b#2.png")
    sheets = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    sheets[0].save(tmp_path / "many.tif", save_all=True, append_images=sheets[1:])
    colours = {"a.png": (255, 0, 0), "b#2.png": (0, 0, 255), "many.tif#2": (0, 255, 0), "many.tif": (255, 0, 0)}
    for page, colour in colours.items():
        assert tuple(read_thumbnail(tmp_path, page, 4)[0, 0]) == colour
    with pytest.raises(FileNotFoundError, match=r"Expected the page c\.png below"):
        read_thumbnail(tmp_path, "c.png", 4)
