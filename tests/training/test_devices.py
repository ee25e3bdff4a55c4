"""One model trained by two processes, as on two GPUs: `trainer.devices=2`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import python
from kept_weights import result_of
from safetensors.torch import load_file

from docclf.data.module import EvenBatches
from docclf.errors import ConfigError
from docclf.training.trainer import make_trainer

TINY = (
    "data=csv",
    "data.near_duplicates=null",
    "data.image_size=32",
    "data.batch_size=32",  # all pages in one step, so that their order does not matter
    "augment=none",
    "model.name=test_resnet",
    "model.tune=all",
    "model.pretrained=false",
    "model.batch_norm=frozen",
    "model.drop_rate=0",
    "model.ema=0.9",
    "optimizer=sgd",
    "optimizer.lr=0.1",
    "validation.epochs=3",
    "validation.folds=2",
    "refit=all",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "hydra.run.dir=run",
)


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    command = [sys.executable, "-m", "docclf.train", *TINY, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_two_processes_train_what_one_does(pages_root: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, devices in ((one, ()), (two, ("trainer.devices=2", "trainer.strategy=ddp"))):
        done = train(folder, f"data.root={pages_root}", *devices)
        assert done.returncode == 0, done.stderr + done.stdout
        assert done.stdout.count("refit on all") == 1, "each line is said once"
    assert (two / "run" / "train_ddp_process_1.log").is_file(), "a second process took part"
    alone, both = (load_file(folder / "run" / "model" / "all.safetensors") for folder in (one, two))
    assert alone.keys() == both.keys()
    assert all(np.allclose(alone[key], both[key], atol=1e-4) for key in alone)
    found, expected = result_of(two / "run"), result_of(one / "run")
    assert found["state"] == "COMPLETE" and found["folds"] == pytest.approx(expected["folds"], abs=1e-6)
    assert not (two / "run" / "resume").exists()


def test_each_process_takes_its_part_of_every_batch() -> None:
    rows = np.arange(10, 31)

    def batches(number: int, accumulate: int) -> list[np.ndarray]:
        torch.manual_seed(1)  # as all processes do at the beginning of an epoch
        return list(EvenBatches(rows, 8, accumulate, rank=number, world_size=3))

    for accumulate in (1, 2):
        shares = [batches(number, accumulate) for number in range(3)]
        assert {len(share) for share in shares} == {3 * accumulate}
        assert sorted(np.concatenate([page for share in shares for page in share])) == rows.tolist()
        for step in range(3):
            parts = [share[step * accumulate + part] for share in shares for part in range(accumulate)]
            assert sum(map(len, parts)) == 7 and len({len(part) for part in parts}) <= 2, "a batch, in even parts"


@pytest.mark.slow
@pytest.mark.parametrize("more", [["trainer.devices=2"], ["trainer.devices=choice(1,2)"]])
def test_a_search_refuses_several_devices_and_names_what_does_it(
    more: list[str], pages_root: Path, tmp_path: Path
) -> None:
    tiny = [text for text in TINY if not text.startswith(("hydra.", "optimizer", "model.tune"))]
    search = ["-m", "hparams_search=head", *tiny, f"data.root={pages_root}", "hydra.sweeper.baseline=false", *more]
    status, output = python("docclf.train", *search, "search.n_trials=1", cwd=tmp_path, warn=False)
    assert status == 1 and "Say search.workers=" in output and "Traceback" not in output


def test_no_more_processes_are_started_than_there_are_cores() -> None:
    with pytest.raises(ConfigError, match=r"at most the number of cores, \d+, got 100000. Say trainer.devices=\d"):
        make_trainer(accelerator="cpu", devices=100_000)


def test_a_training_has_its_convolutions_in_32_bit_whatever_the_process_did_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as torch begins
    make_trainer(accelerator="cpu", max_epochs=1, logger=False)
    assert not torch.backends.cudnn.allow_tf32
