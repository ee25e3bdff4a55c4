"""What a mistyped override was meant to be, said after Hydra's own message."""

import functools
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from docclf import CONF_DIR, __version__
from docclf.cli.composing import Composer, names_folders, parsed
from docclf.cli.console import ended_by_ctrl_c, settle_in
from docclf.cli.foreign import check_foreign, is_search
from docclf.cli.hydra_settings import (
    fill_in_home,
    require_plugins,
    require_search,
    require_usable,
    settle_flags,
    stay_here,
)
from docclf.cli.key_table import TABLES, check_leaves, require_known_keys
from docclf.errors import DocclfError
from docclf.safety.permission import take_allowed
from docclf.safety.places import require_folder
from docclf.safety.untrusted import escape_logs, plain
from docclf.sweeper.hydra_private import read_arguments
from docclf.sweeper.job.current import is_ours
from docclf.sweeper.space.keys import has_key, leaves, nearest
from docclf.sweeper.storage.passwords import require_no_passwords, take_arguments

Command = Callable[..., Any]
# What Hydra reads as a call, a list or a mapping, and what has quotes already
_CALLS = "choice|range|interval|glob|sort|shuffle|tag|int|float|str|bool|json_str|extend_list"
# Config of a command to the key of its first path, where that is not the one of pages.
_FIRST = {"predict": "run", "export_model": "run"}
# What other tools call a key, where no word of it is the same.
_ELSEWHERE = {
    **dict.fromkeys(("arch", "architecture", "backbone", "model_name"), "model.name"),
    **dict.fromkeys(("freeze", "freeze_backbone", "finetune"), "model.tune"),
    **dict.fromkeys(("data_dir", "data_path", "dataset", "root_dir", "train_dir"), "data.root"),
    **dict.fromkeys(("k_folds", "n_folds", "n_splits", "num_folds"), "validation.folds"),
    **dict.fromkeys(("max_epochs", "max_steps", "min_epochs", "n_epochs", "num_epochs"), "validation.epochs"),
    **dict.fromkeys(("gpus", "n_jobs", "num_gpus"), "search.workers"),
    **dict.fromkeys(("early_stopping", "early_stopping_patience", "patience"), "search.stop_when_stagnant"),
    "accumulate_grad_batches": "validation.max_batch_size",
    "num_workers": "data.cache_gb, by which decoded pages stay in memory",
    "path": "data.root",
}
_TIMM = (
    "(resnet|resnext|res2net|regnet|vit|deit|swin|convnext|efficientnet|tf_|mobilenetv|densenet|eva|beit|maxvit|vgg)"
)
_IS_NO_TEXT = re.compile(rf"""({_CALLS})\(|[\[{{]|.*['"]""")


def answer_typos(config_name: str) -> Callable[[Command], Command]:
    """Decorate a command of Hydra: where its config cannot be composed, the nearest keys and options are named.

    Message and exit status of Hydra stay, and nothing is done where the config composes.
    """

    def decorate(main: Command) -> Command:
        @functools.wraps(main)
        def command(*args: Any, **kwargs: Any) -> Any:
            if "--version" in sys.argv[1:]:  # Hydra would say its own
                sys.stdout.write(f"docclf {__version__}\n")
                raise SystemExit(0)
            try:
                settle_in()
                escape_logs()
                try:
                    take_allowed()
                    sys.argv[1:] = map(fill_in_home, sys.argv[1:])
                    take_arguments()
                except DocclfError as error:
                    raise SystemExit(plain(f"{type(error).__name__}: {error}")) from None
                with ended_by_ctrl_c():
                    _check(config_name)
                    return main(*args, **kwargs)
            except SystemExit as stop:
                if isinstance(stop.__context__, OverrideParseException):
                    sys.stderr.write(grammar_hint(stop.__context__.override, _FIRST.get(config_name, "data.root")))
                elif isinstance(stop.__context__, ConfigCompositionException):
                    found = suggestions(config_name, read_arguments(sys.argv[1:]))
                    sys.stderr.writelines(f"Did you mean {text}?\n" for text in found)
                raise

        return command

    return decorate


def _check(config_name: str) -> None:
    """See `docclf.cli.hydra_settings`, `docclf.cli.foreign.check_foreign` and `docclf.cli.key_table.check_leaves`."""
    try:
        given = settle_flags()
        if given.shell_completion:
            return
        config = check_foreign(given, config_name)
        searches = is_search(given, config)
        is_acting = not (given.help or given.hydra_help or given.cfg or given.info)
        if not (is_acting and searches and is_ours(config.hydra)):  # which takes them out
            require_no_passwords(config)
        if config.hydra.job.chdir:
            stay_here(given.overrides)
        if is_acting:
            _require_sound(config, given.overrides, config_name, searches=searches)
    except (DocclfError, OmegaConfBaseException) as error:
        raise SystemExit(plain(f"{type(error).__name__}: {error}")) from None
    except HydraException as error:  # which Hydra tells of, unless it could be got to compose what is not checked here
        if names_folders(read_arguments(sys.argv[1:])):
            cause = f"{error.__cause__}\n" if isinstance(error.__cause__, OmegaConfBaseException) else ""
            sys.stderr.write(f"{plain(str(error))}\n{plain(cause)}")
            raise SystemExit(1) from None
    except (yaml.YAMLError, ValueError, AssertionError, RecursionError, OSError) as error:  # of a file that Hydra takes
        where = given.config_dir or CONF_DIR
        raise SystemExit(
            plain(f"ConfigError: Expected configs in {where}, got other files: {error or type(error).__name__}")
        ) from None
    finally:
        GlobalHydra.instance().clear()


def _require_sound(config: DictConfig, overrides: Sequence[str], config_name: str, *, searches: bool) -> None:
    """See that Hydra can act on a config, and would write into its folder alone."""
    check_leaves(config, TABLES[config_name])
    require_known_keys(config, TABLES[config_name])
    require_plugins(config)
    require_usable(config)
    require_folder(config.hydra, "sweep.dir" if searches else "run.dir")
    if searches:
        require_search(config, overrides, config_name)


def grammar_hint(override: str, first: str = "data.root") -> str:
    """How to write an override that Hydra's grammar does not take: a path, a range, a text; else nothing.

    Args:
        first: The key of a path that stands alone.
    """
    from docclf.sweeper.space.grammar import typed  # with Optuna, for which commands that are right need not wait

    key, equals, value = override.partition("=")
    if not equals and Path(override).exists():
        return f"Did you mean {typed(first, override)}?\n"
    if ends := re.fullmatch(r"log\w*\((.+)\)", value):
        return f"Did you mean '{key}=tag(log, interval({ends[1]}))'?\n"
    if values := re.fullmatch(r"choice\(([^()]*\bnull\b[^()]*)\)", value):  # which Hydra takes without the word alone
        return f"Did you mean '{key}={values[1]}'?\n"
    if not equals or not value or _IS_NO_TEXT.match(value):
        return ""
    return f"Hangul and signs in a value want quotes for Hydra inside those for the shell: {typed(key, value)}\n"


def suggestions(config_name: str, arguments: Namespace) -> list[str]:
    """What overrides may have been meant whose key or option is not there; nothing for the others.

    Args:
        config_name: Of the command's own config.
        arguments: Of the command line.
    """
    try:
        composer = Composer(config_name, arguments)
        name, path = composer.name, composer.searchpath
        with composer.open():
            loader = GlobalHydra.instance().config_loader()
            given = [
                # of a key rather than a group there are no options
                (override, loader.get_group_options(override.key_or_group, config_name=name, overrides=path))
                for override in parsed(arguments.overrides)
            ]
            wrong = [_wrong_options(override, options) for override, options in given]
            chosen = [
                str(override.input_line)
                for (override, options), found in zip(given, wrong, strict=True)
                if options and not found and not override.is_sweep_override()
            ]
            try:
                config = composer.compose([*path, *chosen])
            except Exception:  # one has no place in it: Hydra's own, OmegaConf's, or a ValueError
                config = composer.compose(path)
    except Exception:  # something else is wrong besides, of which Hydra has told
        return []
    texts = [*chain(*wrong), *(_nearest_key(override, config) for override, options in given if not options)]
    return list(dict.fromkeys(text for text in texts if text))


def _wrong_options(override: Override, options: Sequence[str]) -> list[str]:
    """For each option that the group has not the override with the nearest one; empty where none is near."""
    if not options:
        return []
    values = override.sweep_string_iterator() if override.is_discrete_sweep() else [override.value()]
    found = []
    for value in values:
        several = [str(part) for part in value] if isinstance(value, list) else [str(value)]
        if value is None or all(part in options for part in several):
            continue
        near = [next(iter(get_close_matches(part, options, n=1, cutoff=0.5)), "") for part in several]
        meant = f"[{','.join(near)}]" if isinstance(value, list) else near[0]
        if override.key_or_group == "model" and re.match(_TIMM, several[0]):
            found.append(f"model.name={several[0]}, if that is a backbone of timm")
        found.append(f"{override.get_key_element()}={meant}" if all(near) else "")
    return found


def _nearest_key(override: Override, config: DictConfig) -> str:
    """The key that was meant; empty where the config has the given one, or none that is near."""
    key = override.key_or_group
    if override.is_add() or override.is_force_add():
        return ""
    choices = config.hydra.runtime.choices
    if key in choices or has_key(config, key):
        return ""
    if not key.startswith("hydra.") and (meant := _ELSEWHERE.get(key.rpartition(".")[2].lower())):
        return meant
    of_hydra = [*leaves(config.hydra, "hydra.")]
    known = of_hydra if key.startswith("hydra.") else [*leaves(config), *map(str, choices)]
    group, _, name = key.rpartition(".")
    if group and has_key(config, group):  # what is called the same elsewhere, such as below hydra.sweeper, or is there
        same = [one for one in (*known, *of_hydra) if one.endswith(f".{name}")]
        known = same or [one for one in known if one.startswith(f"{group}.")]
    return next(iter(nearest(key, known, n=1)), "")
