"""A trial as a config that trains by itself: config.yaml and params.yaml, made anew where its folder is elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from docclf import CONF_DIR
from docclf.files import replacing
from docclf.results.provenance import header_of
from docclf.safety.interpolations import unsafe_interpolation
from docclf.safety.permission import allow_options
from docclf.safety.untrusted import read_config, without_environment

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial
# Keys of paths that are made absolute, so that the exported config works from any folder. Not the root of the pages,
# which is another one wherever the config goes: as it was given, it is that of a clone with its pages beside it.
PATH_KEYS = (
    "data.corrections",
    "data.exclude",
    "data.cache_dir",
    "model.checkpoint_path",
    "validation.split_file",
)


def write_trial_config(
    study: optuna.Study,
    trial: FrozenTrial,
    run: Path,
    target: Path,
    config: DictConfig,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write `config.yaml` and `params.yaml` of a trial.

    Args:
        facts: What more the headers say, by what it is about.
    """
    from docclf.sweeper.study.attributes import FINALIST

    if FINALIST in trial.user_attrs:  # a reference
        source = _reference_config(trial, run.parents[1], config)
    else:
        source = _trial_config(trial, run / ".hydra" / "config.yaml", config)
    cwd = Path(config.hydra.runtime.cwd)
    groups = {key: value for key, value in config.hydra.runtime.choices.items() if not key.startswith("hydra/")}
    number = f"{study.study_name}, trial {trial.number} of {len(study.get_trials(deepcopy=False))}"
    train = f"python -m docclf.train --config-dir {shlex.quote(str(target))} --config-name config{allow_options()}"
    header = header_of(study, trial, {"study": number}, facts or {}, train)
    # Hydra names the last group first; an experiment can only override groups that stand before it.
    write_config(target / "config.yaml", source, cwd, list(reversed(groups)), header)
    write_params(target / "params.yaml", trial, header)


def write_params(path: Path, trial: FrozenTrial, header: str) -> None:
    """Write the parameters of a trial below a header."""
    from docclf.sweeper.study.record import plain_params

    with replacing(path) as partial:
        partial.write_text(header + OmegaConf.to_yaml(OmegaConf.create(plain_params(trial))), encoding="utf-8")


def _reference_config(finalist: FrozenTrial, folder: Path, config: DictConfig) -> DictConfig:
    """The config of a reference that wins, without what finalists have other than trials."""
    from docclf.sweeper.storage.places import FINALISTS
    from docclf.sweeper.study.finalists import source_number

    path = folder / FINALISTS / str(finalist.number) / ".hydra" / "config.yaml"
    found = _trial_config(finalist, path, config)
    trial = folder / str(source_number(finalist)) / ".hydra" / "config.yaml"
    if trial.is_file():
        its = read_config(trial)
        for key in config.hydra.sweeper.finalists.overrides or {}:
            OmegaConf.update(found, key, OmegaConf.select(its, key), merge=False)
    return found


def _trial_config(trial: FrozenTrial, path: Path, config: DictConfig) -> DictConfig:
    """The config that a trial had; composed anew where its folder has none: it was removed, or is elsewhere."""
    from docclf.sweeper.study.attributes import OVERRIDES

    if path.is_file() or OVERRIDES not in trial.user_attrs:
        read_config(path)  # within limits
        found = OmegaConf.load(path)
    else:
        loader = GlobalHydra.instance().config_loader()
        typed = [*config.hydra.overrides.task, *config.hydra.overrides.hydra]
        kept = [text for text in map(str, trial.user_attrs[OVERRIDES]) if text in typed or _is_about_training(text)]
        found = loader.load_sweep_config(config, kept)
        OmegaConf.set_struct(found, False)
        found.pop("hydra")
    assert isinstance(found, DictConfig)
    return found


def _is_about_training(override: str) -> bool:
    """Whether an override that a shared study holds may be composed: others may have written it."""
    return not (override.lstrip("+~").startswith(("hydra.", "hydra/")) or unsafe_interpolation(override))


def write_config(target: Path, config: DictConfig, cwd: Path, groups: list[str], header: str) -> None:
    """Write a config that trains by itself from any folder."""
    if config.get("refit") is False:
        config.refit = "folds"  # a search keeps no models of its trials; who trains the winner wants one
    known = without_environment(config)  # whoever wrote it: the file is there to be shared
    for key in PATH_KEYS:
        if (value := OmegaConf.select(known, key)) and "${" not in str(value):
            OmegaConf.update(config, key, str(cwd / value))
    loggers = _take_loggers(config)
    # Empty groups, so that `model=swin_tiny` and the like still work after the exported config.
    others = [group for group in groups if group not in ("app", *(["logger"] if loggers else []))]
    defaults = [*loggers, "_self_", "app", *({f"optional {group}": None} for group in others)]
    text = f"{header}{OmegaConf.to_yaml(OmegaConf.create({'defaults': defaults}))}\n{OmegaConf.to_yaml(config)}"
    with replacing(target) as partial:
        partial.write_text(text, encoding="utf-8")


def _take_loggers(config: DictConfig) -> list[dict[str, Any]]:
    """Make choices of a config's loggers, so that `logger=wandb` replaces them and is not added; their settings stay.

    Returns:
        An entry of a defaults list, or none: where a logger is no option of docclf, the config is left as it is.
    """
    logger = config.get("logger")
    if not OmegaConf.is_dict(logger) or "_target_" in logger:
        return []
    entries: Any = OmegaConf.to_container(logger)
    names = [name for name, entry in entries.items() if isinstance(entry, dict) and "_target_" in entry]
    if not all((CONF_DIR / "logger" / f"{name}.yaml").is_file() for name in names):
        return []
    kept = {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
    settings = {n: {key: v for key, v in e.items() if key not in ("_target_", "_partial_")} for n, e in kept.items()}
    config.logger = {name: entry for name, entry in settings.items() if entry}
    return [{"logger": (names[0] if len(names) == 1 else names) if names else "none"}]
