"""Any Hydra application, searched with docclf's sweeper: no page, no torch.

python app.py                  one job
python app.py -m               the search that its config describes; again, to go on after a crash
"""

import hydra
from omegaconf import DictConfig

from docclf.sweeper import current_trial


@hydra.main(config_path="conf", config_name="config")
def task(cfg: DictConfig) -> float | None:
    """A training that gets better with each epoch, and best at `x=2`."""
    trial = current_trial()  # the live Optuna trial; a stand-in that does nothing outside a search
    score = 0.0
    for epoch in range(10):
        trial.tell_progress(f"epoch {epoch + 1}/10")  # shown live
        score = -((cfg.x - 2) ** 2) - 1 / (epoch + 1)
        trial.report(score, epoch)
        if trial.should_prune():
            return None  # recorded as PRUNED
        if trial.out_of_time():
            return None  # tried again when the search continues
    return score


if __name__ == "__main__":
    task()
