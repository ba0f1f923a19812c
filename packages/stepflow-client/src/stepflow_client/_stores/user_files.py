"""Writes the user's files: afterwards, a file has its former content or all of the new one, whatever fails.

The new content is written to a file beside the target, synced, and renamed. Permissions, the owner and symbolic links
stay; another hard link to the file keeps the former content. If no file can be created in the folder, nothing is
written: overwriting the file in place could cut it off.

An edit passes the content that it is based on. It is refused if another program has changed the file since, or has it
open for writing. On Linux, the check and the rename are atomic: both files exchange their names, the former file is
checked when nobody can open it any longer, and the names are exchanged back if it was changed. Elsewhere, and on file
systems without that exchange, a change in the microseconds between the check and the rename is lost.

Devices, pipes and open files (/dev/stdout) are written directly.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .._base.not_given import NOT_GIVEN
from .._data.arguments import file_path
from ..errors import FlowFileError

_MAX_LINKS = 40
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class FileChangedError(OSError):
    """The file no longer has the content that an edit is based on."""

    def __init__(self) -> None:
        super().__init__(errno.ESTALE, "it has changed since it was read, or another program is writing it")


def write_text(path: str | os.PathLike[str], text: str, *, unchanged_from: bytes | None = NOT_GIVEN) -> None:
    """Write a text to a file, as `write_file` does.

    Raises:
        FlowFileError: If the file cannot be written.
        InvalidArgumentError: If it cannot be the path of a file.
    """
    file = file_path(path, "path")
    try:
        write_file(file, text.encode(), unchanged_from=unchanged_from)
    except OSError as error:
        raise FlowFileError(f"{file} cannot be written: {error.strerror or error}", path=str(file)) from None


def write_file(
    path: str | os.PathLike[str], content: bytes, *, unchanged_from: bytes | None = NOT_GIVEN, mode: int | None = None
) -> None:
    """Write a file, or replace its content; see `replacing`."""
    with replacing(path, unchanged_from=unchanged_from, mode=mode) as name, open(name, "ab") as file:
        file.write(content)


@contextmanager
def replacing(
    path: str | os.PathLike[str],
    *,
    unchanged_from: bytes | None = NOT_GIVEN,
    mode: int | None = None,
) -> Iterator[str]:
    """Yield the path to append the new content of a file to. It becomes the file's content if the block ends normally.

    Args:
        path: The file.
        unchanged_from: The content that the file must still have; None if it must not exist. Default: any.
        mode: The permissions of the file. None, the default: those of the existing file, or by the umask.

    Raises:
        FileChangedError: If the content is not `unchanged_from`.
        OSError: If the file cannot be written.
    """
    target = _resolve_target(path)
    if not target.is_replaceable:
        if unchanged_from is not NOT_GIVEN:
            raise OSError(errno.EINVAL, "it is not a regular file")
        yield target.path
        return
    # Another name: the longest name of a file leaves no room for more.
    beside = os.path.join(os.path.dirname(target.path), f".stepflow-{os.urandom(8).hex()}.part")
    is_shared = target.status is None and mode is None
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666 if is_shared else 0o600))
    try:
        yield beside
        with open(beside, "r+b") as file:
            os.fsync(file.fileno())
        if target.status is not None:
            _copy_permissions(target.path, target.status, beside)
        if mode is not None:
            os.chmod(beside, mode)
        if unchanged_from is NOT_GIVEN:
            os.replace(beside, target.path)
        elif unchanged_from is None:
            _rename_to_new(beside, target.path)
        else:
            _replace_if_unchanged(beside, target.path, unchanged_from)
    finally:
        with suppress(OSError):
            os.unlink(beside)
    with suppress(OSError):
        # Not on Windows, nor on every file system.
        folder = os.open(os.path.dirname(target.path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written or created, as far as permissions tell.

    Raises:
        OSError: If it cannot.
    """
    _resolve_target(path)


class _Target(NamedTuple):
    path: str
    """The path without symbolic links."""
    status: os.stat_result | None
    """None if there is no file."""
    is_replaceable: bool
    """Whether it is a regular file, or will be one."""


def _resolve_target(path: str | os.PathLike[str]) -> _Target:
    """Return the file that a path leads to.

    Raises:
        OSError: If it cannot be written.
    """
    name = os.fsdecode(path)
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(os.path.dirname(name))
        name = os.path.join(folder, os.path.basename(name))
        # The links in /proc/self/fd are open files, which /dev/stdout leads to.
        is_open = folder.startswith(("/proc/", "/dev/fd"))
        if is_open or not os.path.islink(name):
            break
        name = os.path.join(folder, os.readlink(name))
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    try:
        status = os.stat(name)
    except FileNotFoundError:
        status = None
        # Raises if there is no such folder.
        os.stat(folder)
    if status is not None and not _has_access(name, os.W_OK):
        raise _build_access_error(folder, "")
    is_replaceable = not is_open and (status is None or stat.S_ISREG(status.st_mode))
    if is_replaceable and not _has_access(folder, os.W_OK | os.X_OK):
        raise _build_access_error(folder, f"no file can be created in {folder}: ")
    return _Target(name, status, is_replaceable)


def _has_access(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _build_access_error(folder: str, what: str) -> OSError:
    is_fixed = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
    code = errno.EROFS if is_fixed else errno.EACCES
    return OSError(code, what + os.strerror(code))


def _copy_permissions(source: str, status: os.stat_result, target: str) -> None:
    """Give a new file the owner, the permissions and the extended attributes of a file, as far as this user may."""
    import shutil

    has_group = not hasattr(os, "chown")
    for owner in () if has_group else (status.st_uid, -1):
        with suppress(OSError):
            os.chown(target, owner, status.st_gid)
            has_group = True
            break
    with suppress(PermissionError):
        shutil.copystat(source, target)
    os.utime(target)
    if not has_group:
        # The group of the new file is another one.
        os.chmod(target, stat.S_IMODE(status.st_mode) & ~stat.S_IRWXG)


def _rename_to_new(beside: str, target: str) -> None:
    """Rename a file to a name that no file may have."""
    try:
        os.link(beside, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(beside, target)


def _replace_if_unchanged(beside: str, target: str, before: bytes) -> None:
    """Replace a file, unless its content has changed. Afterwards, `beside` is the file that is not needed."""
    after = _read_content(beside)
    if _read_content(target) != before:
        raise FileChangedError
    if not _exchange_names(beside, target):
        os.replace(beside, target)
        return
    if _read_content(beside, if_closed=True) != before:
        _exchange_names(beside, target)
        if _read_content(beside, if_closed=True) != after:
            # It was saved again in the time between, which is the newest content.
            _exchange_names(beside, target)
        raise FileChangedError


def _read_content(path: str, *, if_closed: bool = False) -> bytes | None:
    """Return the content of a regular file; None if it cannot be read, or must be closed but is open for writing."""
    flags = os.O_RDONLY | _BINARY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            # Before it is read, because a program that has closed the file can no longer change it.
            return None if if_closed and _is_being_written(file.fileno()) else file.read()
    except OSError:
        return None


def _exchange_names(first: str, second: str) -> bool:
    """Exchange the names of two files. Return False if the system or the file system cannot do that at once.

    Raises:
        FileChangedError: If one of them is gone.
    """
    if sys.platform != "linux":
        return False
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    of_working_folder, exchange = -100, 2
    if not rename(of_working_folder, os.fsencode(first), of_working_folder, os.fsencode(second), exchange):
        return True
    if ctypes.get_errno() == errno.ENOENT:
        raise FileChangedError
    return False


def _is_being_written(descriptor: int) -> bool:
    """Return whether a program has a file open for writing, if the system can tell: then it grants no lease."""
    if sys.platform != "linux":
        return False
    import fcntl
    import signal

    try:
        # The default signal of a lease that ends would end this process; this one is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
