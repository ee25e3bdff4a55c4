"""Faults of the machine: what no other hyper-parameters would have mended."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from docclf.errors import DocclfError, MachineError, safe_text

# Room, disks that fail or are away, open files, threads and processes. Not memory, which a smaller batch may mend.
_NUMBERS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE),
    *(errno.EAGAIN, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ENOLCK, errno.EREMOTEIO, errno.EHOSTDOWN),
)
# Of what is a file, a connection that is lost is a disk's.
_NUMBERS_OF_FILES = (errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNABORTED, errno.EACCES, errno.EPERM)
# Libraries that write by themselves raise errors of their own, with these words; the last one's own.
_TEXTS = (*map(os.strerror, _NUMBERS[:8]), "database or disk is full", "disk I/O error", "PytorchStreamWriter failed")
# What Python and libraries say of a limit of threads, in which no number is.
_THREADS = ("can't start new thread", "failed to start joinable thread", "Resource temporarily unavailable")
# Of databases, whichever the driver: the connection or its file failed, and not what was asked.
_OF_STORAGES = ("OperationalError", "InterfaceError", "StorageInternalError")
# Bytes below which a disk is taken for full.
_LEAST_FREE = 100_000
_OF_TRIAL = "No trial is counted for it. Once it is fixed, give the same command again: it goes on."


def fault_of(error: BaseException | None, folder: Path | None = None, *, then: str = _OF_TRIAL) -> MachineError | None:
    """The fault of the machine that an exception tells of, itself or by what it came from; None for another one.

    Args:
        error: What was raised; None to look at the disk alone.
        folder: Where results go. A disk without room is a fault whatever was raised.
        then: What to do when it is mended.
    """
    if error is not None and issubclass(type(error), MachineError):  # isinstance would ask the exception, too
        return error  # type: ignore[return-value]
    cause = ""
    with suppress(Exception):  # of the exception's own code
        cause = next(filter(None, map(_reason, _chain(error))), "")
    if not cause and folder is not None:
        with suppress(OSError):
            if shutil.disk_usage(folder).free < _LEAST_FREE:
                cause = f"{os.strerror(errno.ENOSPC)}: {folder}"
    if not cause:
        return None
    first = (safe_text(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    said = first if error is None or cause in first else f"{first}: {cause}"
    return MachineError(
        f"Expected to read and write files, got an error of the machine: {cause if error is None else said}. {then}"
    )


def told(error: Exception) -> str:
    """What a command that is no training says of what ended it."""
    found: Exception | None = None
    if not isinstance(error, DocclfError) or not any(map(_is_permission, _chain(error))):
        found = fault_of(error, then="Once it is fixed, give the same command again.")
    found = found or error
    return f"{type(found).__name__}: {found}"


def _is_permission(error: BaseException) -> bool:
    """Whether it says that a file may not be opened or written, of which an error of docclf says the way out."""
    return isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    """What the machine says of itself; empty where it says nothing."""
    number = getattr(error, "errno", None) if isinstance(error, OSError) else None
    if number in _NUMBERS or (number in _NUMBERS_OF_FILES and getattr(error, "filename", None)):
        return safe_text(error)
    if any(cls.__name__ in _OF_STORAGES for cls in type(error).__mro__):
        cause = safe_text(getattr(error, "orig", None) or error.__cause__ or error)
        return f"the storage of the study, {cause}".splitlines()[0]
    said = safe_text(error)
    return next((text for text in (*_TEXTS, *_THREADS) if text in said), "")
