"""A mistyped key or option is answered with the nearest one, after Hydra's own message."""

import shlex
import sys
from pathlib import Path

import pytest
from forked import python
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from slowly import slowly

from docclf import CONF_DIR
from docclf.cli.composing import parsed
from docclf.cli.hydra_settings import fill_in_home
from docclf.cli.typos import answer_typos, grammar_hint, suggestions
from docclf.sweeper.hydra_private import read_arguments

SEARCH = "hparams_search=optuna"


def meant_by(*arguments: str, config_name: str = "train") -> list[str]:
    return suggestions(config_name, read_arguments(arguments))


@pytest.mark.parametrize(
    ("overrides", "meant"),
    [
        (["optimzer.lr=1e-3"], ["optimizer.lr"]),
        (["optimizer.learning_rate=1e-3"], ["optimizer.lr"]),
        (["optimizer.wd=0.1"], ["optimizer.weight_decay"]),
        (["lr=1e-3"], ["optimizer.lr"]),
        (["model.lr=1e-3"], ["optimizer.lr"]),
        (["batch_size=64"], ["data.batch_size"]),
        (["n_trials=5"], ["search.n_trials"]),
        (["search.trials=5"], ["search.n_trials"]),
        (["trainer.max_epochs=3"], ["validation.epochs"]),
        (["model.backbone=resnet18"], ["model.name"]),
        (["model=resnet18"], ["model.name=resnet18, if that is a backbone of timm"]),
        *slowly(
            (["data.draw.page_per_class=5"], ["data.draw.pages_per_class"]),
            (["study-name=a"], ["study_name"]),
            (["modle=mobilenet"], ["model"]),
            (["model=mobilenett"], ["model=mobilenet"]),
            (
                ["model=mobilenet,swin_tinny"],
                ["model.name=swin_tinny, if that is a backbone of timm", "model=swin_tiny"],
            ),
            (["hparams_search=optnua"], [SEARCH]),
            (["logger=[csv,wandbb]"], ["logger=[csv,wandb]"]),
            ([SEARCH, "hydra/sweeper/pruner=medain"], ["hydra/sweeper/pruner=median"]),
            ([SEARCH, "hydra.sweeper.n_trails=5"], ["hydra.sweeper.n_trials"]),
            ([SEARCH, "hydra.sweeper.pruner.n_startup_trails=5"], ["hydra.sweeper.pruner.n_startup_trials"]),
            (["optimizer=sgd", "optimizer.momentun=0.8"], ["optimizer.momentum"]),
            (["~optimizer.fusd"], ["optimizer.fused"]),
            (["model=mobilenett", "optimzer.lr=1e-3", "seed=1"], ["model=mobilenet", "optimizer.lr"]),
        ),
    ],
)
def test_what_was_meant_is_found(overrides: list[str], meant: list[str]) -> None:
    assert meant_by(*overrides) == meant


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer.lr=1e-3", "model=swin_tiny", "logger=[csv,wandb]", "experiment=null"],
        ["logger=null", "optimizer.lr=text"],
        ["optimizer.gamma=1"],
        ["search.direction=maximize", "search.budget=1h", "search.database=x", "search.resume=true"],
        ["zzz=1"],
        ["+my.own.key=1", "++optimzer.lr=1"],
        ["model=zzz"],
        ["optimizer.lr="],
        ["model=choice(mobilenet"],
        ["hydra/sweeper/pruner=median"],
        [SEARCH, "optimizer.lr=interval(1e-4, 1e-3)"],
    ],
)
def test_nothing_is_suggested_where_nothing_is_near_or_mistyped(overrides: list[str]) -> None:
    assert meant_by(*overrides) == []


def test_configs_of_another_folder_count(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "our_backbone.yaml").write_text("defaults: [mobilenet, _self_]\nname: test_resnet\n")
    other = ["--config-dir", str(tmp_path)]
    assert meant_by(*other, "model=our_backbon") == ["model=our_backbone"]
    assert meant_by(*other, "model=our_backbone", "optimzer.lr=1") == ["optimizer.lr"]
    path = f"hydra.searchpath=['file://{tmp_path}']"
    assert meant_by(path, "model=our_backbon") == ["model=our_backbone"]
    assert meant_by("--config-dir", str(tmp_path / "model"), path, "model=our_backbon") == ["model=our_backbone"]
    (tmp_path / "config.yaml").write_text("defaults: [app, {model: our_backbone}]\nours: {lr: 1}\n")
    assert meant_by(*other, "--config-name", "config", "ours.lrr=1") == ["ours.lr"]
    assert meant_by(*other, "--config-name", "config", "model=our_backbon") == ["model=our_backbone"]


def test_another_command_has_its_own_keys() -> None:
    assert meant_by("rn=x", "data.rot=y", "outptu=z", config_name="predict") == ["run", "data.root", "output"]
    assert meant_by("optimzer.lr=1", config_name="nothing_of_the_kind") == []


def run(*arguments: str, cwd: Path) -> tuple[int, list[str]]:
    """Exit status and the lines that are printed."""
    status, output = python(*arguments, cwd=cwd)
    assert list(cwd.iterdir()) == []
    return status, output.splitlines()


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        (["docclf.train", "optimzer.lr=1e-3"], "Could not override 'optimzer.lr'.", "Did you mean optimizer.lr?"),
        (
            ["docclf.train", "-m", SEARCH, "hydra/sweeper/pruner=medain"],
            "In 'hydra/sweeper/docclf': Could not find 'hydra/sweeper/pruner/medain'",
            "Did you mean hydra/sweeper/pruner=median?",
        ),
        *slowly(
            (["docclf.data", "modle=mobilenet"], "Could not override 'modle'.", "Did you mean model?"),
            (["docclf.predict", "rn=x"], "Could not override 'rn'.", "Did you mean run?"),
            (["docclf.export_model", "otput=x"], "Could not override 'otput'.", "Did you mean output?"),
        ),
    ],
)
def test_the_answer_comes_after_hydra_s_message(tmp_path: Path, arguments: list[str], first: str, last: str) -> None:
    status, lines = run(*arguments, cwd=tmp_path)
    assert status == 1 and lines[0] == first and lines[-1] == last
    assert sum(line.startswith("Did you mean ") for line in lines) == 1


def test_what_hydra_s_grammar_does_not_take_is_shown_quoted(tmp_path: Path) -> None:
    status, lines = run("docclf.data", "data=folder", "data.root=한글", cwd=tmp_path)
    assert status == 1 and lines[-1].endswith("""for Hydra inside those for the shell: "data.root='한글'\"""")
    others = (
        "model=choice(a",
        "~seed",
        "seed=",
        "data.root='실험 (1)",
        "model=[a",
        "data={a",
        "lr=tag(log, interval(1,2)",
    )
    assert [grammar_hint(text) for text in others] == [""] * len(others)
    assert grammar_hint("data.fit=choice(a, null)") == "Did you mean 'data.fit=a, null'?\n"
    assert grammar_hint("optimizer.lr=log(1e-4,1e-3)").endswith("'optimizer.lr=tag(log, interval(1e-4,1e-3))'?\n")
    for path in ("/home/실험 데이터 (1)/pages", "C:[a]", "scans (2)"):
        assert grammar_hint(f"data.root={path}").rstrip().endswith(f"\"data.root='{path}'\"")
    for path in ("서식 $HOME", "서식 `pwd`", "서식 \\ 1!"):  # which the shell would fill in
        (word,) = shlex.split(grammar_hint(f"data.root={path}").partition("the shell: ")[2])
        assert parsed([word])[0].value() == path


def test_a_path_alone_and_a_path_from_home_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cwd = tmp_path / "here"
    cwd.mkdir()
    assert run("docclf.predict", "../here", cwd=cwd)[1][-1] == "Did you mean run=../here?"
    assert run("docclf.data", "../here", cwd=cwd)[1][-1] == "Did you mean data.root=../here?"
    for name in ("서식", "my scans"):
        (cwd / name).mkdir()
        monkeypatch.chdir(cwd)
        (word,) = shlex.split(grammar_hint(name).removeprefix("Did you mean ").rstrip("?\n"))
        assert parsed([word])[0].value() == name
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("data.root=~/a b", "data.root='~/a b'"):
        assert fill_in_home(given) == f"data.root='{tmp_path}/a b'"


def test_other_errors_are_left_alone(tmp_path: Path) -> None:
    status, lines = run("docclf.train", "optimizer.lr=abc,", cwd=tmp_path)
    assert status == 1 and lines and not any("Did you mean" in line for line in lines)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("search.n_startup_trials=3", "hydra.sweeper.sampler.n_startup_trials"),
        ("search.retries=3", "hydra.sweeper.retries"),
        ("search.trials=3", "search.n_trials"),
    ],
)
def test_a_setting_of_the_sweeper_is_named_by_where_it_is(typed: str, meant: str) -> None:
    assert meant_by("hparams_search=optuna", typed) == [meant]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--cfg", "hydra", "--resolve"], "Say --cfg all --resolve"),
        (["-m", "-sc", "install=bash"], "got both. Leave out --multirun"),
        (["--hydra-help", "data=folder"], "got data=folder besides. For help with that say --help"),
        (["-m", "hparams_search=optuna,head", "--cfg", "job"], "Say hparams_search=optuna"),
        (["-m", "hparams_search=glob(*)", "--info"], "Say hparams_search=NAME"),
        (["hparams_search=null"], "or say for example hparams_search=augmentation"),
        (["logger=null"], "or say for example logger=none"),
        (["model=[5]"], "got [5]. Leave it out for the default, or say for example model=convnext_tiny"),
        (["+search.n_trial=1"], "Did you mean search.n_trials?"),
        (["++results.x=1"], "Leave it out: there are results.pickle."),
    ],
)
def test_what_hydra_would_not_tell_is_told_in_a_sentence(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as stop:
        answer_typos("train")(lambda: None)()
    assert str(stop.value).startswith("ConfigError: Expected ") and str(stop.value).endswith(told)


@pytest.mark.parametrize(
    "arguments",
    [["+zzz=1"], ["+model.zzz=1"], ["--hydra-help", "hydra.verbose=true"], ["-sc", "query=bash"], ["--help"]],
)
def test_what_hydra_takes_is_left_to_it(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    assert answer_typos("train")(lambda: "called")() == "called"


def test_ranges_of_the_command_line_are_shown_with_those_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = ["optimizer.lr=interval(1e-4, 1e-3)", "+x=1,2", "model=choice(mobilenet,swin_tiny)"]
    monkeypatch.setattr(sys, "argv", ["train", "-m", SEARCH, *searched, "--cfg", "hydra"])
    answer_typos("train")(lambda: None)()
    given = read_arguments(sys.argv[1:])
    assert given.cfg == "hydra" and not given.multirun
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR)):
        params = compose("train", given.overrides, return_hydra_config=True).hydra.sweeper.params
    assert "data.image_size" in params and params["model"] == "choice(mobilenet,swin_tiny)"
    assert params["optimizer.lr"] == "interval(1e-4, 1e-3)" and params["+x"] == "1,2"
