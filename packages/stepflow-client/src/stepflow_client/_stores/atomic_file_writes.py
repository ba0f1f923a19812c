"""Finds the user's folders, and writes files atomically, so a file ends up with either its old or its new content.

The new content is written to a temporary file in the same folder, synced, and renamed. Permissions, owner and symbolic
links are preserved, but other hard links to the file keep the old content. If no file can be created in the folder,
nothing is written, since overwriting in place could truncate the file.

Callers that edit a file pass the content that the edit is based on. The edit is rejected if another program has changed
the file in the meantime or has it open for writing. On Linux, no change can be lost between the check and the rename:
the two files swap names, the old one is checked once nobody can open it anymore, and if it has changed, the names are
swapped back. On other systems, and on file systems that can't swap names, a change made in the microseconds between the
check and the rename is lost.

Devices, pipes and open files (/dev/stdout) are written to directly.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .._base.not_given import NOT_GIVEN
from .._data.arguments import file_path
from ..errors import FlowFileError, StepflowClientError

_MAX_SYMLINKS = 40
# The parents of the user's `stepflow` folders on Linux, by kind, relative to the home folder.
_LINUX_FOLDERS = {"cache": ".cache", "config": ".config", "state": ".local/state"}
_OPEN_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def get_stepflow_user_folder(kind: str) -> Path:
    """Return the `stepflow` folder in the user's `cache`, `config` or `state` folder, whose path varies by platform.

    On Linux, the parent folder is `$XDG_CACHE_HOME` (`~/.cache`), `$XDG_CONFIG_HOME` (`~/.config`) or `$XDG_STATE_HOME`
    (`~/.local/state`). On macOS, it is `~/Library/Caches` for caches, otherwise `~/Library/Application Support`. On
    Windows, it is `%LOCALAPPDATA%`.

    Raises:
        StepflowClientError: If the user has no home folder.
    """
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        folder = Path(local) if local else _get_home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        folder = _get_home() / "Library" / ("Caches" if kind == "cache" else "Application Support")
    else:
        base = Path(os.environ.get(f"XDG_{kind.upper()}_HOME") or "")
        folder = base if base.is_absolute() else _get_home() / _LINUX_FOLDERS[kind]
    return folder / "stepflow"


def _get_home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise StepflowClientError("this user has no home folder", hint="set HOME") from None


class FileChangedError(OSError):
    """The file no longer has the content that an edit was based on."""

    def __init__(self) -> None:
        super().__init__(errno.ESTALE, "it has changed since it was read, or another program is writing to it")


def write_text(path: str | os.PathLike[str], text: str, *, expected_content: bytes | None = NOT_GIVEN) -> None:
    """Write text to a file, like `write_file`.

    Raises:
        FlowFileError: If the file can't be written.
        InvalidArgumentError: If the path isn't a valid file path.
    """
    file = file_path(path, "path")
    try:
        write_file(file, text.encode(), expected_content=expected_content)
    except OSError as error:
        raise FlowFileError(f"{file} cannot be written: {error.strerror or error}", path=str(file)) from None


def write_file(
    path: str | os.PathLike[str], content: bytes, *, expected_content: bytes | None = NOT_GIVEN, mode: int | None = None
) -> None:
    """Write a file or replace its content. See `replacing_file`."""
    with replacing_file(path, expected_content=expected_content, mode=mode) as name, open(name, "ab") as file:
        file.write(content)


@contextmanager
def replacing_file(
    path: str | os.PathLike[str], *, expected_content: bytes | None = NOT_GIVEN, mode: int | None = None
) -> Iterator[str]:
    """Yield a path to append a file's new content to. That content replaces the old unless the block raises.

    Args:
        path: The file.
        expected_content: The content that the file must still have, or None if the file must not exist. By default, the
            content isn't checked.
        mode: The file's permissions. Defaults to None, which keeps an existing file's permissions and applies the umask
            to a new file's.

    Raises:
        FileChangedError: If the content is not `expected_content`.
        OSError: If the file can't be written.
    """
    target, status, is_replaceable = _resolve_write_target(path)
    if not is_replaceable:
        if expected_content is not NOT_GIVEN:
            raise OSError(errno.EINVAL, "it is not a regular file")
        yield target
        return
    # Use an unrelated name: if the file's own name has the maximum length, there's no room for a suffix.
    beside = os.path.join(os.path.dirname(target), f".stepflow-{os.urandom(8).hex()}.part")
    is_shared = status is None and mode is None
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS, 0o666 if is_shared else 0o600))
    try:
        yield beside
        with open(beside, "r+b") as file:
            os.fsync(file.fileno())
        if status is not None:
            _copy_permissions(target, status, beside)
        if mode is not None:
            os.chmod(beside, mode)
        if expected_content is NOT_GIVEN:
            os.replace(beside, target)
        elif expected_content is None:
            _rename_to_new(beside, target)
        else:
            _replace_if_unchanged(beside, target, expected_content)
    finally:
        with suppress(OSError):
            os.unlink(beside)
    with suppress(OSError):
        # Windows and some file systems don't support this.
        folder = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written or created, as far as permissions can tell.

    Raises:
        OSError: If it can't be written or created.
    """
    _resolve_write_target(path)


def _resolve_write_target(path: str | os.PathLike[str]) -> tuple[str, os.stat_result | None, bool]:
    """Return the path with symbolic links resolved, the file's status (None if there is no such file), and whether it
    is or will be a regular file.

    Raises:
        OSError: If it can't be written.
    """
    name = os.fsdecode(path)
    for _ in range(_MAX_SYMLINKS):
        folder = os.path.realpath(os.path.dirname(name))
        name = os.path.join(folder, os.path.basename(name))
        # Links in /proc/self/fd (where /dev/stdout leads) are open files.
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
        # This raises if the folder doesn't exist.
        os.stat(folder)
    if status is not None and not _has_access(name, os.W_OK):
        raise _build_access_error(folder, "")
    is_replaceable = not is_open and (status is None or stat.S_ISREG(status.st_mode))
    if is_replaceable and not _has_access(folder, os.W_OK | os.X_OK):
        raise _build_access_error(folder, f"no file can be created in {folder}: ")
    return name, status, is_replaceable


def _has_access(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _build_access_error(folder: str, what: str) -> OSError:
    is_fixed = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
    code = errno.EROFS if is_fixed else errno.EACCES
    return OSError(code, what + os.strerror(code))


def _copy_permissions(source: str, status: os.stat_result, target: str) -> None:
    """Copy a file's owner, permissions and extended attributes to a new file, as far as permissions allow."""
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
        # The new file belongs to a different group, so drop the group's permissions.
        os.chmod(target, stat.S_IMODE(status.st_mode) & ~stat.S_IRWXG)


def _rename_to_new(temp_path: str, target: str) -> None:
    """Rename a file, failing if the new name is already taken."""
    try:
        os.link(temp_path, target)
    except FileExistsError:
        raise
    except OSError:
        # Fall back to a rename, since the file system doesn't support hard links.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(temp_path, target)


def _replace_if_unchanged(temp_path: str, target: str, before: bytes) -> None:
    """Replace a file unless its content has changed. Afterward, `temp_path` is the file to discard."""
    after = _read_content(temp_path)
    if _read_content(target) != before:
        raise FileChangedError
    if not _exchange_names(temp_path, target):
        os.replace(temp_path, target)
        return
    if _read_content(temp_path, if_closed=True) != before:
        _exchange_names(temp_path, target)
        if _read_content(temp_path, if_closed=True) != after:
            # Someone saved the file again in the meantime, so keep the newest content.
            _exchange_names(temp_path, target)
        raise FileChangedError


def _read_content(path: str, *, if_closed: bool = False) -> bytes | None:
    """Return a regular file's content, or None if it can't be read (or is open for writing, if `if_closed` is set)."""
    flags = os.O_RDONLY | _OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            # Check before reading: once a program has closed the file, it can no longer change it.
            return None if if_closed and _is_being_written(file.fileno()) else file.read()
    except OSError:
        return None


def _exchange_names(first: str, second: str) -> bool:
    """Swap the names of two files. Return False if the system or file system can't do that atomically.

    Raises:
        FileChangedError: If one of the files is gone.
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
    """Return whether a program has the file open for writing, if the system can tell (by refusing a lease)."""
    if sys.platform != "linux":
        return False
    import fcntl
    import signal

    try:
        # By default, the signal for a broken lease would kill this process, so use SIGURG, which is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
