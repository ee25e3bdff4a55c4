"""What is set once a process that computes: threads and memory on a CPU, and how exact a GPU is."""

import ctypes
import functools
import os
import sys

import torch

from docclf import n_cores

# Of glibc's mallopt, see malloc.h: free memory at the top beyond which it is given back, what is taken at once, and how
# many blocks get pages of their own.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


@functools.cache
def prepare_cpu() -> None:
    """Compute with as many threads as a container may use at once, and keep memory from step to step.

    torch takes a thread for each core that it sees; in a container with a share of them they wait for each other. And
    glibc's malloc gives memory back and faults it in again at each step, which was seen to cost a sixth to a half of
    the speed of training. Threads that `OMP_NUM_THREADS` sets stand.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > n_cores():
        torch.set_num_threads(n_cores())
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_TOP_PAD, 64 * 2**20)


def be_exact() -> None:
    """Have GPUs compute convolutions in 32 bit where 32 bit are asked for, and not with 10 bits of a mantissa (TF32).

    Features of a head are then the same on every device. It holds for the whole process: said where one begins to
    train, to compute features or to predict, or numbers would depend on what it did before.
    """
    torch.backends.cudnn.allow_tf32 = False
