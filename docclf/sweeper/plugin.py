"""The class that Hydra discovers. It stays thin: Optuna is imported when a sweep starts."""

import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from docclf.errors import DocclfError
from docclf.files import report_path_to_caller
from docclf.safety.untrusted import plain
from docclf.sweeper import config as config  # registers the options

# Of the processor time that a process has taken before its sweep, so many seconds at most were its start.
_START_S = 5.0


class SweepError(CompactHydraException):
    """Carries a `DocclfError` through Hydra, which prints its message without a traceback."""


class DocclfSweeper(Sweeper):
    """Asks an Optuna study for trials, launches each as a Hydra job, and tells the study how it ended.

    Trial number = Hydra job number = folder name. Arguments are the keys of `docclf.sweeper.config.SweeperConfig`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what Hydra composed and make the launcher; passwords of databases are taken out first."""
        from docclf.sweeper.job.task import ContainedTask
        from docclf.sweeper.space.composing import SweepConfigs
        from docclf.sweeper.storage.passwords import take_passwords

        take_passwords(config, HydraConfig.instance().cfg)
        for key in ("storage", "warm_start_from"):
            self.settings[key] = OmegaConf.select(config, f"hydra.sweeper.{key}")
        loader = cast(ConfigLoader, SweepConfigs(hydra_context.config_loader))
        self.started = time.time() - min(time.process_time(), _START_S)
        self.config, self.hydra_context = config, replace(hydra_context, config_loader=loader)
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=self.hydra_context, task_function=ContainedTask(task_function)
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search until the study's budget is spent.

        Args:
            arguments: The overrides of the command line, which extend and replace `params`.

        Raises:
            SweepError: The space, the data or the study to continue is not as it must be, the first trial shows that
                none can succeed, too many failed, or the machine did.
        """
        from docclf.safety.allow import require_allowed
        from docclf.safety.faults import fault_of
        from docclf.safety.untrusted import escape_logs
        from docclf.sweeper.run.finalists.scoring import run_finalists
        from docclf.sweeper.run.opening.settings import check_settings
        from docclf.sweeper.run.opening.study import open_study
        from docclf.sweeper.run.search import Search
        from docclf.sweeper.run.workers.machine import n_workers
        from docclf.sweeper.run.workers.pool import Workers
        from docclf.sweeper.storage.places import sweep_dir
        from docclf.sweeper.study.process import EndingSignals

        assert self.config and self.hydra_context and self.launcher, "Hydra calls setup first"
        escape_logs()
        try:
            settings = check_settings(self.settings)
            for module in settings.preload or []:
                require_allowed(module, self.hydra_context.execution_whitelist, "hydra.sweeper.preload")
            workers = Workers(self.launcher, n_workers(settings.n_jobs))
            with EndingSignals(), closing(workers):
                preload = partial(workers.preload, settings.preload or [], settings.n_trials)
                report_path_to_caller(sweep_dir(self.config.hydra))
                opened = open_study(settings, self.config, self.hydra_context, arguments, self.started, preload)
                Search(opened, workers).run()
                run_finalists(opened, workers)
        except DocclfError as error:
            raise SweepError(plain(str(error))) from error
        except Exception as error:
            told = fault_of(error) or (error if isinstance(error, OSError) else None)
            if told is None:
                raise
            raise SweepError(plain(str(told))) from told
