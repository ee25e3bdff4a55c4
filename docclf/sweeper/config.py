"""Schema of `hydra/sweeper=docclf` and the options of its groups `sampler` and `pruner`.

Imported at every start of every Hydra application where docclf is installed: keep it light.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra_plugins.hydra_optuna_sweeper import config as stock
from omegaconf import MISSING


@dataclass
class TPESamplerConfig(stock.TPESamplerConfig):
    """`optuna.samplers.TPESampler`. A null leaves the choice to Optuna, whose defaults the stock option overrides.

    The stock sweeper gets this option too. It reads a null `constant_liar` and a 0 for `multivariate` as the False that
    it had; to a null it would react as Optuna does.
    """

    multivariate: Any = 0  # 0: Optuna decides, by the number of objectives
    constant_liar: bool | None = None  # type: ignore[assignment]  # Optuna 5: True


@dataclass
class MotpeSamplerConfig(stock.SamplerConfig):
    """What Optuna no longer has: whoever asks for it is told which sampler is meant."""

    _target_: str = "hydra_plugins.hydra_optuna_sweeper.config.raise_motpe_removed"
    seed: int | None = None


_MEDIAN = {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1}
_HALVING = {"min_resource": 1, "reduction_factor": 3, "bootstrap_count": 0}
PRUNERS: dict[str, dict[str, Any]] = {
    # every trial runs to its end
    "none": {"_target_": "optuna.pruners.NopPruner"},
    # stops a trial whose best report so far is worse than the median of the others at the same step
    "median": {"_target_": "optuna.pruners.MedianPruner", **_MEDIAN},
    # as median, but keeps the best `percentile` percent at each step
    "percentile": {"_target_": "optuna.pruners.PercentilePruner", **_MEDIAN, "percentile": 25.0},
    # asynchronous successive halving: one of `reduction_factor` trials goes on at each rung
    "successive_halving": {
        "_target_": "optuna.pruners.SuccessiveHalvingPruner",
        **_HALVING,
        "min_early_stopping_rate": 0,
    },
    # successive halving at several degrees of haste; `max_resource` is the number of steps of a whole trial
    "hyperband": {"_target_": "optuna.pruners.HyperbandPruner", **_HALVING, "max_resource": "auto"},
    # stops a trial that has not improved for `patience` steps; with `wrapped_pruner`, only if that agrees
    "patient": {"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": None, "patience": 3, "min_delta": 0.0},
    # signed-rank test against the best trial, step by step; at p = 0.1 it cannot stop a trial before step 4
    "wilcoxon": {"_target_": "optuna.pruners.WilcoxonPruner", "p_threshold": 0.1, "n_startup_steps": 2},
}


@dataclass
class FinalistsConfig:
    """When the trials are done, the best and the baseline run again, in folders below `finalists/`."""

    # how many trials are re-evaluated besides the baseline; 0: none
    top_k: int = 0
    # key to the value that finalists have instead, so that they get a score that they were not chosen by; null leaves a
    # key as it is
    overrides: Any = None  # a mapping
    # a finalist whose mean report falls behind the leader's stops
    race: bool = False
    # dotted path of a function(study, folder, config of the sweep) -> numbers of trials that are re-evaluated too, when
    # the finalists are: as members of an ensemble, which cannot win
    members: str | None = None
    # name to the overrides that make of the baseline the simple reference of that name. Where the winner is worse than
    # a reference by the score that the task gives in its user attribute `floors`, the best such reference runs too
    references: Any = None  # a mapping


@dataclass
class ClimbConfig:
    """Values of a searched key are tried in order, and each takes over the best of the one before it.

    See `docclf.sweeper.strategy.climb.Climb`.
    """

    # a key of `params`, by whose values the search climbs
    key: str = ""
    # the values of that key, cheapest first
    order: list[Any] = field(default_factory=list)
    # fraction of the trials, and at most of the time, for the first value; the second one gets this fraction of the
    # rest, and so on
    fraction: float = 0.5
    # keys whose values in the best trials are taken over; what is not searched is left out
    carry: list[str] = field(default_factory=list)
    # values that did well elsewhere, each a mapping of keys to values. With a value but the first of `order`, the first
    # trial has the values of the config, the next ones take these; a quarter of all trials at most
    portfolio: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class SweeperConfig:
    """Arguments of `docclf.sweeper.plugin.DocclfSweeper`; those of the stock sweeper keep their names."""

    _target_: str = "docclf.sweeper.plugin.DocclfSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "none"}])

    sampler: stock.SamplerConfig = MISSING
    pruner: Any = MISSING

    # -- the objective: what the task returns, a number, one an objective, or a mapping of names to numbers
    # name of the objective, or a list of names
    metric: Any = "value"
    # what lines on the screen call an objective: name to label
    labels: dict[str, str] | None = None
    # minimize or maximize; of several objectives a list of these, or a mapping of their names to these
    direction: Any = "minimize"
    # name of a returned metric or of a user attribute of the trial to a bound, such as 60, "<= 60" or ">= 0.5"
    constraints: Any = None  # a mapping; as Any, it can be given whole on the command line without +

    # -- where the study lives
    # null: study.db in the sweep's folder; a storage URL; the path of a journal file (.log); or a storage's _target_
    storage: Any = None
    # null: the name of the sweep's folder
    study_name: str | None = None

    # -- how long
    # finished trials of the study in all, over every run of it; null: as many as there is time for
    n_trials: int | None = 20
    # wall-clock time of the study over all its runs, finalists included: seconds, or a text such as 90s, 30m or 1h30m.
    # No trial starts when what is left is needed for the finalists, and a task that asks out_of_time() stops then.
    # null: no limit
    timeout: Any = None
    # ends the search after so many trials without a better score. In a search that climbs, the trials of each value of
    # the climb's key count apart: a value gives way to the next one, and the last one ends the search. null: never
    stop_when_stagnant: int | None = None

    # -- what is searched
    # key to a sweep, or to one value that every trial gets; null takes a key out that another option put in
    params: dict[str, Any] | None = None
    # list of {when: {key: value or list of values}, params: {...}}
    conditional: list[Any] | None = None
    # cheap trials first, as in {key: tune, order: [head, all], carry: [image_size]}; null: in any order
    climb: ClimbConfig | None = None
    # trials pause after few reports, and the best of so many go on where they paused; null: none pauses. The preflight
    # must tell `steps`, and the task keep what it has done where `current_trial().should_pause()` is true
    ladder: int | None = None
    # dotted path of a function(config, trial) that draws more with trial.suggest_...
    custom_search_space: str | None = None

    # -- what is known
    # trial 0 has the values that the config has without the search
    baseline: bool = False
    # tried first: mappings, texts of overrides, or paths of exported YAML files
    enqueue: list[Any] | None = None
    # a search's folder or a storage URL (#NAME behind it chooses a study)
    warm_start_from: str | None = None
    # best: its best trial is run again; all: its trials that fit the space inform the sampler
    warm_start: str = "best"
    # winners of earlier searches are tried first, a quarter of the trials at most. auto: of the searches in folders
    # beside this one; or a folder of searches; none: no winners
    memory: Any = "none"
    # keys of the config that such a winner must have in common with this search, such as the name of the model
    memory_of: list[str] | None = None
    # a trial whose parameters are all discrete and were tried before gets the known result; false runs it again
    skip_duplicates: bool = True

    # -- which one wins
    finalists: FinalistsConfig = field(default_factory=FinalistsConfig)

    # -- how it runs
    # jobs that run at once, each started as soon as there is room; auto: one per GPU, or one per core without a GPU
    n_jobs: Any = 1
    # modules that worker processes import while the data are checked and the study is opened
    preload: list[str] | None = None
    # so many workers may help each trial when no other is left for them: its job is launched again, in another
    # process, where current_trial().is_helper is true. While the pruner has too few whole trials (n_startup_trials) to
    # compare with, helping goes before another trial. Worker processes of this machine alone do so
    helpers: int = 0
    # a job that raised one of these exceptions, or one derived from them, is launched again, so many times
    retries: int = 1
    retry_on: list[str] = field(default_factory=lambda: ["OutOfMemoryError", "ConnectionError", "TimeoutError"])
    # a larger fraction of failed trials, of 5 finished ones or more, ends the search
    max_failure_rate: float = 0.5
    # dotted path of a function(config of a trial[, config of a finalist]) -> dict, called before the first trial; what
    # it returns is kept as attributes of the study and must be the same when the study is continued. The key `steps`,
    # if there, is the number of reports that a whole trial makes; `before` is none: docclf.sweeper.study.continuation
    preflight: str | None = None
    # dotted path of a function(config of a job), called with every choice and both ends of every range of the space,
    # before anything starts; it raises docclf.errors.ConfigError where a value cannot be
    check: str | None = None
    # dotted path of a function, called with the study, the sweep's folder and the config whenever a trial is the best
    on_best: str | None = None
    # keys of the config that may differ when a study is continued, with all below them. null: the overrides that all
    # trials get may not, everything else may
    may_change: list[str] | None = None


@dataclass
class Settings(SweeperConfig):
    """What a sweep was asked for, checked by `docclf.sweeper.run.opening.settings.check_settings`: plain values."""

    sampler: dict[str, Any] = field(default_factory=dict)  # type: ignore[assignment]
    pruner: dict[str, Any] = field(default_factory=dict)
    n_trials: float = math.inf  # type: ignore[assignment]  # infinite for null
    timeout: float | None = None  # in seconds


_store = ConfigStore.instance()
_store.store(group="hydra/sweeper", name="docclf", node=SweeperConfig, provider="docclf")
# These replace the stock options, which are imported above and so stored first.
_store.store(group="hydra/sweeper/sampler", name="tpe", node=TPESamplerConfig, provider="docclf", replace=True)
_store.store(group="hydra/sweeper/sampler", name="motpe", node=MotpeSamplerConfig, provider="docclf", replace=True)
for _name, _node in PRUNERS.items():
    _store.store(group="hydra/sweeper/pruner", name=_name, node=_node, provider="docclf")
