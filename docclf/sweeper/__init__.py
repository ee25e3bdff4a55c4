"""A Hydra sweeper on Optuna for any Hydra application: `hydra/sweeper=docclf`.

It knows nothing of pages or models. Inside a task, `current_trial()` is the live Optuna trial.
"""

from docclf.sweeper.job.current import current_trial

__all__ = ["current_trial"]
