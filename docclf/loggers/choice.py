"""Which loggers a config asks for, whether they can be had, and how to upload what W&B kept. Loads none of them."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from docclf.errors import ConfigError
from docclf.safety.targets import FORMER

# Logger to the packages of which it needs one, and to what installs it.
_NEEDS = {
    "tensorboard": (("tensorboard", "tensorboardX"), "docclf[tensorboard]"),
    "wandb": (("wandb",), "wandb"),
}
_NOT_IN_A_PROJECT = set("/\\#?%:")  # of W&B
# In configs of earlier releases `logger` was one logger: its class today, and its name. RunLogger was none.
_NAMES = {"docclf.loggers.csv_files.CsvLogger": "csv", "docclf.loggers.wandb_run.WandbRunLogger": "wandb"}


def chosen_loggers(logger: DictConfig | None) -> dict[str, DictConfig]:
    """The loggers of a config by name, in the order of their names.

    Args:
        logger: The config's `logger`: name to `_target_` and arguments. What has no `_target_` is not used: it belongs
            to a logger that was chosen once, and may be again.

    Raises:
        ConfigError: None stands beside others, or `logger` is of another form.

    >>> list(chosen_loggers(OmegaConf.create({"wandb": {"_target_": "a.B"}, "csv": {"_target_": "a.C"}, "mlflow": {}})))
    ['csv', 'wandb']
    """
    if logger is None:
        return {}
    if not OmegaConf.is_dict(logger):
        raise ConfigError(
            f"Expected `logger` to hold loggers by name, got {logger}. Choose by logger=csv or 'logger=[csv,wandb]'."
        )
    entries = {str(name): entry for name, entry in logger.items_ex(resolve=False)}
    found = {name: entry for name, entry in entries.items() if OmegaConf.is_dict(entry) and entry.get("_target_")}
    is_none = bool(logger.get("none"))
    if is_none and found:
        raise ConfigError(
            f"Expected `logger` to be none or a list of loggers, got none together with {', '.join(sorted(found))}. "
            "Leave one of the two out."
        )
    if "_target_" in logger and not found and not is_none:
        return _former(logger)
    return {name: found[name] for name in sorted(found)}


def _former(logger: DictConfig) -> dict[str, DictConfig]:
    """The one logger of a config of an earlier release, which had one."""
    target = str(logger["_target_"])
    today = FORMER.get(target, "")
    if today == "docclf.loggers.run.RunLogger":
        return {}
    if today not in _NAMES:
        raise ConfigError(
            f"Expected `logger` to hold each logger under a name of its own, got the `_target_` {target}. Write "
            f"`logger: {{my_name: {{_target_: {target}, _partial_: true}}}}`, or choose one that is there: logger=csv."
        )
    return {_NAMES[today]: OmegaConf.merge(logger, {"_target_": today})}  # type: ignore[dict-item]


def check_loggers(logger: DictConfig | None) -> None:
    """See that the loggers of a config are installed, and will take what they are given.

    Raises:
        ConfigError: One is not or will not, or see `chosen_loggers`.
    """
    loggers = chosen_loggers(logger)
    for name in loggers:
        packages, source = _NEEDS.get(name, ((), ""))
        if packages and not any(map(_is_installed, packages)):
            raise ConfigError(
                f"Expected the package {' or '.join(packages)} for logger={name}, got none. Install it by "
                f"pip install '{source}', or choose another logger, such as logger=csv."
            )

    project = str(loggers["wandb"].get("project") or "") if "wandb" in loggers else ""
    if wrong := set(project) & _NOT_IN_A_PROJECT:
        raise ConfigError(
            f"Expected `logger.wandb.project` without {' '.join(sorted(wrong))}, got {project}. The user or team is "
            "`logger.wandb.entity`."
        )


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    # A folder `wandb` with runs, where Python was started, looks like a package of that name, but one without a file.
    return spec is not None and spec.origin is not None


def sync_command(folder: Path) -> str | None:
    """The command that uploads W&B's offline runs of a folder; None where none waits for it.

    Args:
        folder: As given to `docclf.loggers.wandb_session.WandbSession`.
    """
    place = folder / "wandb"
    # `wandb sync` leaves a mark beside the file of a run.
    waiting = (not path.with_suffix(".wandb.synced").exists() for path in place.glob("offline-run-*/run-*.wandb"))
    return f"wandb sync {shlex.quote(str(place))}" if any(waiting) else None
