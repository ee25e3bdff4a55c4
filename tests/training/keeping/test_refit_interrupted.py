"""Trainings that are cut off, or whose disk is full, keep the weights of an undisturbed one."""

import signal
from pathlib import Path
from typing import Any

import pytest
from kept_weights import EPOCHS, FOLDS, forgetful, result_of, weights_of
from omegaconf import DictConfig
from slowly import slowly

from docclf.errors import DataError
from docclf.inference import folder as model_folder
from docclf.inference.folder import find_model
from docclf.sweeper.job.trial import JobTrial
from docclf.train import train
from docclf.training.folds import trainer as fold_trainer
from docclf.training.folds.trainer import FoldTrainer


class Interrupted:
    """The training of `runs`, ended at a step and begun again.

    Args:
        cfg: The tiny training.
        run: Its folder.
        patch: Ends it.
    """

    def __init__(self, cfg: DictConfig, run: Path, patch: pytest.MonkeyPatch) -> None:
        self.cfg, self.run, self.patch = forgetful(cfg), run, patch
        self.cfg.refit, self.cfg.logger = "folds", cfg.logger  # a table would be begun anew, with a warning
        self.fits = 0
        fit = FoldTrainer.fit

        def counted(*args: Any, **options: Any) -> Any:
            self.fits += 1
            return fit(*args, **options)

        patch.setattr(FoldTrainer, "fit", counted)

    def break_off(self, at: int) -> None:
        def broken(job: JobTrial, value: float, step: int) -> None:
            if step == at:
                raise KeyboardInterrupt

        handler = signal.getsignal(signal.SIGINT)
        with self.patch.context() as patch:
            patch.setattr(JobTrial, "report", broken)
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                train(self.cfg, self.run)
        signal.signal(signal.SIGINT, handler)
        assert result_of(self.run)["state"] == "INTERRUPTED" and not (self.run / "model").exists()

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.run / "resume").glob("*"))


@pytest.fixture
def interrupted(tiny_config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    return Interrupted(tiny_config, tmp_path / "run", monkeypatch)


@pytest.mark.parametrize("at", [3, *slowly(5, 7)])  # within folds 2 and 3
def test_weights_that_an_interrupted_run_keeps_are_those_of_an_undisturbed_one_bit_by_bit(
    at: int, interrupted: Interrupted, runs: dict[str, Path]
) -> None:
    interrupted.break_off(at)
    assert [name for name in interrupted.kept if name.endswith("_net.safetensors")] == [
        f"fold_{fold}_net.safetensors" for fold in range(at // EPOCHS)
    ]
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"])
    assert (interrupted.run / "oof.csv").read_bytes() == (runs["folds"] / "oof.csv").read_bytes()
    assert not (interrupted.run / "resume").exists()


@pytest.mark.slow
def test_a_run_that_kept_no_weights_is_not_gone_on_with_by_one_that_must(
    interrupted: Interrupted, runs: dict[str, Path]
) -> None:
    interrupted.cfg.refit = False
    interrupted.break_off(5)
    assert interrupted.kept == ["fold_1_epoch.safetensors", "folds.safetensors"]
    interrupted.cfg.refit = "folds"
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"])


@pytest.mark.slow
def test_a_model_that_cannot_be_written_fails_the_run_and_costs_no_training_when_there_is_room(
    interrupted: Interrupted, runs: dict[str, Path]
) -> None:
    (interrupted.run).mkdir()
    (interrupted.run / "model").write_text("in its place")
    with pytest.raises(FileExistsError):
        train(interrupted.cfg, interrupted.run)
    assert interrupted.fits == FOLDS and result_of(interrupted.run)["state"] == "FAIL"
    assert result_of(interrupted.run)["cause"].startswith("FileExistsError")
    assert interrupted.kept == [*(f"fold_{fold}_net.safetensors" for fold in range(FOLDS)), "folds.safetensors"]
    (interrupted.run / "model").unlink()
    train(interrupted.cfg, interrupted.run)
    assert interrupted.fits == FOLDS, "nothing is trained again"
    assert weights_of(interrupted.run) == weights_of(runs["folds"]) and not (interrupted.run / "resume").exists()


@pytest.mark.slow
def test_a_disk_that_is_full_after_the_first_fold_s_weights_loses_none(
    interrupted: Interrupted, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = model_folder.link

    def full(source: Path, target: Path) -> None:
        if "fold_1" in str(target):
            raise OSError(28, "No space left on device")
        link(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(model_folder, "link", full)
        with pytest.raises(OSError, match="No space left"):
            train(interrupted.cfg, interrupted.run)
    assert [*weights_of(interrupted.run)] == ["fold_0.safetensors"]
    with pytest.raises(DataError):
        find_model(interrupted.run)
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"]) and interrupted.fits == FOLDS


@pytest.mark.slow
def test_a_disk_that_is_full_while_a_fold_s_weights_are_kept_costs_no_epoch(
    interrupted: Interrupted, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = fold_trainer.save_weights

    def full(path: Path, weights: Any) -> None:
        if path.name == "fold_1_net.safetensors":
            raise OSError(28, "No space left on device")
        save(path, weights)

    with monkeypatch.context() as patch:
        patch.setattr(fold_trainer, "save_weights", full)
        with pytest.raises(OSError, match="No space left"):
            train(interrupted.cfg, interrupted.run)
    assert interrupted.kept == ["fold_0_net.safetensors", "fold_1_epoch.safetensors", "folds.safetensors"]
    train(interrupted.cfg, interrupted.run)
    assert weights_of(interrupted.run) == weights_of(runs["folds"]) and not (interrupted.run / "resume").exists()
