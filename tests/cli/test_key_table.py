"""Every key of conf/ has a kind and a range, looked at before anything starts, also for what a search draws."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import python
from omegaconf import DictConfig
from slowly import slowly

from docclf import CONF_DIR
from docclf.cli.key_table import EXPORT, PREDICT, TABLES, TRAIN, check_leaves
from docclf.errors import ConfigError, SpaceError
from docclf.safety.rules import number, one_of
from docclf.sweeper.space.checks import check_values
from docclf.sweeper.space.keys import leaves
from docclf.sweeper.space.parsing import parse_space

Compose = Callable[..., DictConfig]

GROUPS = sorted(path.name for path in CONF_DIR.iterdir() if path.is_dir() and path.name != "hydra")
# What other checks than that of the table look at: names that are called, see docclf.safety.targets.
ELSEWHERE = ("_target_", "_partial_")


def options() -> Iterator[tuple[str, ...]]:
    yield ()
    yield ("hparams_search=optuna", "hydra/sweeper/pruner=wilcoxon")  # the option of Hydra's that adds a key
    for group in GROUPS:
        for path in sorted((CONF_DIR / group).glob("*.yaml")):
            yield (f"{group}={path.stem}",)


def unchecked(config: DictConfig, table: Any) -> list[str]:
    found = []
    for key in leaves(config):
        if key.rpartition(".")[2] not in ELSEWHERE and key not in table:
            found.append(key)
    return found


@pytest.mark.parametrize("option", list(options()), ids=" ".join)
def test_no_key_of_conf_lacks_a_check_and_its_own_values_pass(option: tuple[str, ...], compose_config: Compose) -> None:
    config = compose_config(*option)
    assert unchecked(config, TRAIN) == []
    check_leaves(config)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_so_it_is_with_the_other_commands(name: str, compose_config: Compose) -> None:
    config = compose_config(config=name)
    assert unchecked(config, TABLES[name]) == []
    check_leaves(config, TABLES[name])


def test_the_table_names_no_key_that_conf_has_not(compose_config: Compose) -> None:
    known: set[str] = set()
    for option in options():
        known |= set(leaves(compose_config(*option)))
    assert [key for key in TRAIN if key not in known and not any(k.startswith(f"{key}.") for k in known)] == []
    assert set(leaves(compose_config(config="predict"))) == PREDICT.keys()
    assert set(leaves(compose_config(config="export_model"))) == EXPORT.keys()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.n_trials=abc", "`search.n_trials` to be a whole number, got abc."),
        ("search.n_trials=0", "`search.n_trials` to be at least 1, got 0."),
        ("search.stop_when_stagnant=-1", "`search.stop_when_stagnant` to be at least 1, got -1."),
        ("search.timeout=soon", "`search.timeout` to be seconds, or a text such as 90s, 30m or 1h30m, above 0"),
        ("search.workers=0", "`search.workers` to be at least 1, got 0."),
        ("search.workers=many", "`search.workers` to be a whole number, got many."),
        ("search.seed=-1", "`search.seed` to be at least 0"),
        ("search.objective=f1", "`search.objective` to be out of macro_f1, macro_f1_pooled"),
        ("search.objective=[]", "`search.objective` to be out of macro_f1"),
        ("search.constraints=3", "`search.constraints` to be names with bounds"),
        ("search.constraints={seconds:fast}", "`search.constraints` to be names with bounds"),
        ("search.enqueue=x.yaml", "`search.enqueue` to be a list of files or of overrides"),
        *slowly(
            ("search.warm_start=some", "`search.warm_start` to be best or all, got some."),
            ("search.warm_start=???", "a value of `search.warm_start`, got none."),
            ("seed=-1", "`seed` to be at least 0"),
            ("seed=0.5", "`seed` to be a whole number, got 0.5."),
            ("finalists.top_k=null", "`finalists.top_k` to be a whole number, got null."),
            ("finalists.seed=99999999999", "`finalists.seed` to be at least 0 and at most 4,294,967,295"),
            ("scheduler.warmup=5", "`scheduler.warmup` to be at least 0 and at most 1, got 5."),
            ("data.cache_gb=abc", "`data.cache_gb` to be a number, got abc."),
            ("data.channels=2", "`data.channels` to be 1 or 3, got 2."),
            ("data.multi_page=last", "`data.multi_page` to be first or all, got last."),
            ("data.on_error=ignore", "`data.on_error` to be raise or drop, got ignore."),
            ("data.rare_classes=keep", "`data.rare_classes` to be one of raise, drop, train, got keep."),
            ("data.batch_size=0", "`data.batch_size` to be at least 1, got 0."),
            ("data.balance=rare", "`data.balance` to be none or sampler, got rare."),
            ("data.fit=crop", "`data.fit` to be squeeze or letterbox, got crop."),
            ("data.channels=true", "`data.channels` to be 1 or 3, got True."),
            ("data.near_duplicates=300", "`data.near_duplicates` to be at least 0 and at most 256, got 300."),
            ("data.corrections=nowhere.csv", "`data.corrections` to be a file, or null for none, got nowhere.csv."),
            ("data.draw=3", "`data.draw` to be null, or how pages are drawn, got 3."),
            ("model.head.scales=1", "`model.head.scales` to be fractions above 0 and up to 1"),
            ("model.head.scales=[2]", "`model.head.scales` to be fractions above 0 and up to 1"),
            ("model.class_weights=1", "`model.class_weights` to be true or false, got 1."),
            ("optimizer.lr=[1]", "`optimizer.lr` to be a number, got [1]."),
            ("optimizer._partial_=maybe", "`optimizer._partial_` to be true or false, got maybe."),
            ("trainer.precision=8", "`trainer.precision` to be one of auto, 64-true"),
            ("validation.augment=rain", "`validation.augment` to be one of null, augraphy"),
            ("model.tune=none", "`model.tune` to be one of head, last, all, got none."),
            ("model.batch_norm=batch", "`model.batch_norm` to be one of auto, frozen, running, epoch, got batch."),
            ("validation.folds=1", "`validation.folds` to be at least 2 and at most 1,000, got 1. Use validation"),
            ("validation.run_folds=0", "`validation.run_folds` to be at least 1, got 0."),
            ("validation.epochs=0", "`validation.epochs` to be at least 1 and at most 100,000, got 0."),
            ("validation.max_batch_size=0", "`validation.max_batch_size` to be at least 1, got 0."),
            ("validation.prune_after=0", "`validation.prune_after` to be at least 1, got 0."),
            ("validation.order=pages", "`validation.order` to be content or rows, got pages."),
            ("+search.report=day", "`search.report` to be epoch or fold, got day."),
            ("validation.report=day", "`validation.report` to be epoch or fold, got day."),
            ("augment.degrees=-5", "`augment.degrees` to be at least 0 and at most 180, got -5."),
            ("augment.strength=x", "`augment.strength` to be a number, got x."),
            ("study_name=..", "`study_name` to be the name of a folder"),
            ("study_name=null", "`study_name` to be the name of a folder"),
            ("study_name=a/b", "`study_name` to be the name of a folder"),
            ("refit=0", "`refit` to be one of all, folds, distill, false, got 0."),
            ("report=maybe", "`report` to be true or false, got maybe."),
        ),
    ],
)
def test_a_value_of_another_kind_or_out_of_range_is_refused(
    override: str, message: str, compose_config: Compose
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_leaves(compose_config(override))
    assert str(refused.value).startswith(f"Expected {message}")


@pytest.mark.parametrize("room", ["search", "data", "model", "validation"])
@pytest.mark.parametrize("value", [3, None, "text", [1]])
def test_what_holds_keys_is_nothing_else(room: str, value: object, compose_config: Compose) -> None:
    cfg = compose_config()
    cfg[room] = value
    with pytest.raises(ConfigError, match=rf"Expected keys below `{room}`, got "):
        check_leaves(cfg)


@pytest.mark.parametrize("study_name", ["search", "서류 1", "2026", "a.b-c", "-x", "..a"])
def test_names_of_folders_are_taken(study_name: str, compose_config: Compose) -> None:
    check_leaves(compose_config(f"study_name='{study_name}'"))


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("model.drop_rate=interval(0, 2)", "`model.drop_rate` to be at least 0 and below 1, got 2.0."),
        ("model.tune=choice(head, none)", "`model.tune` to be one of head, last, all, got none."),
        ("data.batch_size=choice(8, 16, half)", "`data.batch_size` to be a whole number, got half."),
        *slowly(
            ("scheduler.warmup=range(0, 5)", "`scheduler.warmup` to be at least 0 and at most 1, got 4."),
            ("model.head.scales=choice([1.0], [0.5, 3.0])", "`model.head.scales` to be fractions above 0 and up to 1"),
            ("validation.epochs=interval(0.5, 2)", "`validation.epochs` to be a whole number, got 0.5."),
            ("augment.strength=-3", "`augment.strength` to be at least 0"),
        ),
    ],
)
@pytest.mark.parametrize("where", ["params", "conditional"])
def test_what_a_space_draws_is_looked_at(sweep: str, message: str, where: str, compose_config: Compose) -> None:
    key, _, values = sweep.partition("=")
    blocks = [{"when": {"data.fit": "squeeze"}, "params": {key: values}}] if where == "conditional" else []
    params = {"data.fit": "choice(squeeze, letterbox)"} | ({} if blocks else {key: values})
    with pytest.raises(SpaceError) as refused:
        check_values(parse_space(params, conditional=blocks), lambda given: compose_config(*given), check_leaves)
    assert str(refused.value).startswith(f"Expected {message}")
    assert "search space" in str(refused.value)


@pytest.mark.parametrize(
    ("command", "override", "message"),
    [
        ("train", "seed=-1", "`seed` to be at least 0"),
        ("data", "data.cache_gb=abc", "`data.cache_gb` to be a number"),
        ("predict", "tta=some", "`tta` to be one of none, flips, rotations, got some."),
        ("export_model", "output=[1]", "`output` to be a path, or null"),
        ("train", "hydra.sweeper._target_=nonsense", "`hydra.sweeper._target_` to be one of docclf.sweeper.plugin."),
        *slowly(
            ("train", "search.n_trials=abc", "`search.n_trials` to be a whole number"),
            ("predict", "batch_size=0", "`batch_size` to be at least 1, got 0."),
            ("train", "hydra.sweeper=text", "`hydra.sweeper._target_` to be one of docclf.sweeper.plugin."),
            ("train", "hydra.launcher=null", "`hydra.launcher._target_` to be one of hydra._internal.core_plugins."),
        ),
        ("train", "+hydra.callbacks.mine=3", "`hydra.callbacks.mine` to have a _target_, got 3."),
        ("predict", "+hydra.callbacks.mine={_target_: mine.C}", "`hydra.callbacks.mine._target_` to be what docclf"),
    ],
)
def test_a_command_says_so_before_it_does_anything(
    command: str, override: str, message: str, search: Any, tmp_path: Path
) -> None:
    output = search(command, override)
    assert f"Error: Expected {message}" in output
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., str]:
    """Runs a command that is refused, and gives what it says."""

    def run(command: str, *arguments: str) -> str:
        status, output = python(f"docclf.{command}", *arguments, cwd=tmp_path)
        assert status == 1 and "Traceback" not in output
        return output

    return run


def test_what_a_rule_says_is_what_it_takes() -> None:
    rule = number(0, most=2, whole=True, null=True)
    assert [rule(value) for value in (0, 2, None)] == [""] * 3
    assert rule(3) == "at least 0 and at most 2" and rule(True) == "a whole number"
    assert one_of(1, 3)(True) == "1 or 3"


@pytest.mark.parametrize("content", ["1", "a: ["])
def test_a_config_of_ones_own_that_cannot_be_loaded_is_told_of(content: str, search: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text(content)
    output = search("train", f"--config-dir={tmp_path / 'mine'}", "--config-name=config", "data.root=nowhere")
    assert f"Expected configs in {tmp_path / 'mine'}, got other files: " in output
