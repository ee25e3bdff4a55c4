"""What is set once in a process that computes, in a process of its own."""

import os
import subprocess
import sys

import pytest

SHOW = """
import torch
from docclf.models.process import prepare_cpu
torch.set_num_threads(3)
prepare_cpu()
print(torch.get_num_threads())
"""


@pytest.mark.parametrize(("asked", "threads"), [({}, 1), ({"OMP_NUM_THREADS": "3"}, 3)])
def test_torch_takes_as_many_threads_as_a_container_may_use_unless_they_are_set(
    asked: dict[str, str], threads: int
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    share = {"LOKY_MAX_CPU_COUNT": "1"}  # what loky takes a container's share from, besides its cgroup
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=environment | share | asked, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == threads
