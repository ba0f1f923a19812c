"""Writes the user's files: afterwards, a file has its former content or all of the new one, whatever fails.

The new content is written to a file in the same folder, synced, and renamed. Permissions, the owner and symbolic links
stay; another hard link to the file keeps the former content. If no file can be created in the folder, nothing is
written: overwriting the file in place could truncate it.

An edit passes the content that it is based on. It is refused if another program has changed the file since; only a
change in the microseconds between this check and the rename is lost.

Devices, pipes and open files (/dev/stdout) are written directly.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .._base.not_given import NOT_GIVEN
from .._data.file_paths import file_path
from ..errors import FlowFileError

_MAX_LINKS = 40
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class FileChangedError(OSError):
    """The file no longer has the content that an edit is based on."""

    def __init__(self) -> None:
        super().__init__(errno.ESTALE, "it has changed since it was read")


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
    target = _resolve(path)
    if not target.is_replaceable:
        if unchanged_from is not NOT_GIVEN:
            raise OSError(errno.EINVAL, "it is not a regular file")
        yield target.path
        return
    # Not the file's name with a suffix, which may be too long.
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
        if unchanged_from is None:
            _rename_to_new(beside, target.path)
        elif unchanged_from is NOT_GIVEN or _content(target.path) == unchanged_from:
            os.replace(beside, target.path)
        else:
            raise FileChangedError
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
    """Check that the permissions allow to write or create a file.

    Raises:
        OSError: If they do not.
    """
    _resolve(path)


class _Target(NamedTuple):
    path: str
    """The path without symbolic links."""
    status: os.stat_result | None
    """None if there is no file."""
    is_replaceable: bool
    """Whether it is a regular file, or will be one."""


def _resolve(path: str | os.PathLike[str]) -> _Target:
    """Return the file at a path, with symbolic links resolved.

    Raises:
        OSError: If it cannot be written.
    """
    name = os.fsdecode(path)
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(os.path.dirname(name))
        name = os.path.join(folder, os.path.basename(name))
        # Links in /proc/self/fd, such as the target of /dev/stdout, are open files.
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
        raise _denied(folder, "")
    is_replaceable = not is_open and (status is None or stat.S_ISREG(status.st_mode))
    if is_replaceable and not _has_access(folder, os.W_OK | os.X_OK):
        raise _denied(folder, f"no file can be created in {folder}: ")
    return _Target(name, status, is_replaceable)


def _has_access(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _denied(folder: str, prefix: str) -> OSError:
    is_read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
    code = errno.EROFS if is_read_only else errno.EACCES
    return OSError(code, prefix + os.strerror(code))


def _copy_permissions(source: str, status: os.stat_result, target: str) -> None:
    """Copy the owner, the permissions and the extended attributes of a file, as far as this user is allowed to."""
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
        # The new file belongs to another group, which gets no permissions.
        os.chmod(target, stat.S_IMODE(status.st_mode) & ~stat.S_IRWXG)


def _rename_to_new(source: str, target: str) -> None:
    """Rename a file to a name that no other file has."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(source, target)


def _content(path: str) -> bytes | None:
    """Return the content of a regular file; None if it cannot be read."""
    flags = os.O_RDONLY | _BINARY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            return file.read()
    except OSError:
        return None
