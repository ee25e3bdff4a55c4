"""Composing the config of each job of a sweep, which takes Hydra longer than some jobs take."""

import pickle
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class SweepConfigs:
    """A config loader that composes once for all jobs of a sweep with the same options of config groups.

    Plain values (`optimizer.lr=0.1`) are set in a copy, as Hydra sets them; everything else is left to Hydra. Whatever
    happens to config files meanwhile, jobs of one process get what was there when it composed first.

    Args:
        loader: Hydra's, which all other calls go to.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._composed: dict[tuple[str, ...], bytes] = {}  # pickled, which is copied nine times as fast
        self._groups: dict[str, bool] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # asked for by pickle, before there is one
            raise AttributeError(name)
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of a job.

        Raises:
            HydraException, OmegaConfBaseException: They cannot be composed.
        """
        from cloudpickle import dumps  # other processes have not the classes of a typed config that a script defines

        parsed = OverridesParser.create().parse_overrides(list(sweep_overrides))
        values = [override for override in parsed if self._is_value(override)]
        others = [override.input_line or "" for override in parsed if not self._is_value(override)]
        key = tuple(others)
        if key not in self._composed:
            self._composed[key] = dumps(self._compose(master_config, others))
        config: DictConfig = pickle.loads(self._composed[key])  # of this process
        try:
            for override in values:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:
            return self._compose(master_config, sweep_overrides)  # which says what is wrong
        config.hydra.overrides.task = [o.input_line for o in parsed if not o.is_hydra_override()]
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _compose(self, master_config: DictConfig, overrides: list[str]) -> DictConfig:
        try:
            return self._loader.load_sweep_config(master_config, overrides)
        except OmegaConfBaseException:  # of which some are a ValueError, too
            raise
        except ValueError as error:  # Hydra's, of a config group to which a number is given
            raise ConfigCompositionException(str(error)) from error

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a key that is there to one value, and chooses no option of a group."""
        key = override.key_or_group
        return (
            override.type == OverrideType.CHANGE
            and override.package is None
            and not override.is_sweep_override()
            and not override.is_hydra_override()
            and key != "hydra"
            and not self._is_group(key)
        )

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return self._groups[key]
