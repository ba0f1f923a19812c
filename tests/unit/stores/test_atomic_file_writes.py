"""Writing user files, and the folders for them.

A file keeps its old content or gets the new one, and no edit by another program is lost.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import FlowFileError, StepflowClientError
from stepflow_client._stores import atomic_file_writes
from stepflow_client._stores.atomic_file_writes import (
    FileChangedError,
    check_writable,
    get_stepflow_user_folder,
    replacing_file,
    write_file,
    write_text,
)

OLD = b"name: flow\nsteps: []\noutput: " + b"x" * 8000 + b"\n"
NEW = OLD + b"test: {cases: []}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flow.yaml"
    path.write_bytes(OLD)
    return path


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def run_child(code: str, *args: object, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run Python code in another process; the arguments are in `args`."""
    start = "import os, sys\nfrom stepflow_client._stores.atomic_file_writes import *\nargs = sys.argv[1:]\n"
    command = [sys.executable, "-c", start + code, *map(str, args)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60)


def test_permissions_owner_and_attributes_are_preserved(file: Path) -> None:
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1, 2)
    has_attributes = True
    try:
        os.setxattr(file, "user.kept", b"yes")
    except OSError:
        has_attributes = False
    before = file.stat()
    os.utime(file, (1, 1))
    write_file(file, NEW, expected_content=OLD)
    after = file.stat()
    assert file.read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_mtime >= before.st_mtime
    if has_attributes:
        assert os.getxattr(file, "user.kept") == b"yes"
    write_file(file, OLD, mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert names(file.parent) == ["flow.yaml"]


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_file(tmp_path / "new", b"1")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    write_file(tmp_path / "private", b"1", mode=0o600)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    longest = tmp_path / ("x" * 255)
    write_file(longest, b"1")
    assert longest.read_bytes() == b"1"


def test_links_are_followed(tmp_path: Path, file: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one.yaml").symlink_to("../two.yaml")
    (tmp_path / "two.yaml").symlink_to("flow.yaml")
    write_file(tmp_path / "links" / "one.yaml", NEW, expected_content=OLD)
    assert file.read_bytes() == NEW
    assert not file.is_symlink()
    assert (tmp_path / "two.yaml").is_symlink()
    (tmp_path / "dangling").symlink_to("made.yaml")
    write_file(tmp_path / "dangling", b"1")
    assert (tmp_path / "made.yaml").read_bytes() == b"1"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        write_file(tmp_path / "loop", b"1")


def test_pipes_devices_and_open_files_are_written_directly(tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_file(tmp_path / "pipe", NEW)
    reader.join(10)
    assert read == [NEW]
    write_file("/dev/null", NEW)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    # Like /dev/stdout, which this test must not damage.
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    for name in (tmp_path / "stdout", "/dev/fd/1"):
        with file.open("ab") as log:
            run_child("write_file(args[0], b'more')", name, stdout=log)
    assert file.read_bytes() == OLD + b"more" * 2
    assert names(tmp_path) == ["flow.yaml", "pipe", "stdout"]
    with pytest.raises(OSError, match="not a regular file"):
        write_file("/dev/null", NEW, expected_content=b"")
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path, NEW)


def test_a_full_disk_leaves_the_file(file: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    for edit in ("", ", expected_content=open(args[0], 'rb').read()"):
        full = run_child(f"{limit}write_text(args[0], 'y' * 9000{edit})", file)
        assert f"FlowFileError: {file} cannot be written: File too large" in full.stderr
        assert file.read_bytes() == OLD
    full = run_child(f"{limit}write_file(args[0], b'y' * 9000)", file.with_name("new.yaml"))
    assert "File too large" in full.stderr
    assert names(file.parent) == ["flow.yaml"]


def test_an_error_or_an_interrupt_leaves_the_file(file: Path) -> None:
    def write(error: BaseException) -> None:
        with replacing_file(file) as beside:
            Path(beside).write_bytes(NEW)
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write(error())
    assert file.read_bytes() == OLD
    assert names(file.parent) == ["flow.yaml"]


def test_a_killed_writer_leaves_the_file(file: Path) -> None:
    code = "with replacing_file(args[0]) as name:\n open(name, 'w').write('half')\n os.kill(os.getpid(), 9)"
    assert run_child(code, file).returncode == -signal.SIGKILL
    assert file.read_bytes() == OLD


@pytest.fixture
def limited_folder() -> Iterator[Path]:
    """A folder in which permissions are enforced: if the user is root, the test runs as another user."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "flow.yaml").write_bytes(OLD)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder / "flow.yaml", 65534, -1)
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_nothing_is_written_without_permission(limited_folder: Path) -> None:
    file = limited_folder / "flow.yaml"
    file.chmod(0o444)
    with pytest.raises(PermissionError, match="Permission denied"):
        write_file(file, NEW)
    file.chmod(0o644)
    limited_folder.chmod(0o555)
    for name in ("flow.yaml", "new.yaml"):
        with pytest.raises(FlowFileError, match=r"cannot be written: no file can be created in .*: Permission denied"):
            write_text(limited_folder / name, "new")
    assert file.read_bytes() == OLD
    assert names(limited_folder) == ["flow.yaml"]


def test_a_new_file_does_not_replace_an_existing_one(file: Path) -> None:
    with pytest.raises(FileExistsError):
        write_file(file, NEW, expected_content=None)
    assert file.read_bytes() == OLD
    write_file(file.with_name("new.yaml"), NEW, expected_content=None)
    assert names(file.parent) == ["flow.yaml", "new.yaml"]


def rename(file: Path, content: bytes) -> None:
    file.with_name("editor~").write_bytes(content)
    os.replace(file.with_name("editor~"), file)


def overwrite(file: Path, content: bytes) -> None:
    file.write_bytes(content)


@pytest.mark.parametrize("save", [rename, overwrite])
def test_an_edit_by_another_program_is_preserved(file: Path, save: Callable[[Path, bytes], None]) -> None:
    save(file, b"edited")
    with pytest.raises(FileChangedError):
        write_file(file, NEW, expected_content=OLD)
    assert file.read_bytes() == b"edited"
    file.unlink()
    with pytest.raises(FileChangedError):
        write_file(file, NEW, expected_content=OLD)
    assert names(file.parent) == []


@pytest.mark.skipif(sys.platform != "linux", reason="no other system can exchange two files")
@pytest.mark.parametrize("saves", [1, 2])
@pytest.mark.parametrize("save", [rename, overwrite])
def test_an_edit_at_the_last_moment_is_preserved(
    file: Path, save: Callable[[Path, bytes], None], saves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = atomic_file_writes._exchange_names
    contents = [b"second", b"first"][2 - saves :]

    def edited(first: str, second: str) -> bool:
        if contents:
            save(file, contents.pop())
        return exchange(first, second)

    monkeypatch.setattr(atomic_file_writes, "_exchange_names", edited)
    with pytest.raises(FileChangedError):
        write_file(file, NEW, expected_content=OLD)
    assert file.read_bytes() == (b"first" if saves == 1 else b"second")
    assert names(file.parent) == ["flow.yaml"]


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells whether a file is open")
def test_a_file_open_for_writing_is_not_replaced(file: Path) -> None:
    with file.open("ab") as opened:
        with pytest.raises(FileChangedError, match="another program is writing to it"):
            write_file(file, NEW, expected_content=OLD)
        opened.write(b"more\n")
    assert file.read_bytes() == OLD + b"more\n"
    with file.open("rb"):
        write_file(file, NEW, expected_content=OLD + b"more\n")
    assert file.read_bytes() == NEW


def test_without_an_exchange_the_file_is_renamed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_file_writes, "_exchange_names", lambda *_: False)
    write_file(file, NEW, expected_content=OLD)
    assert file.read_bytes() == NEW
    with pytest.raises(FileChangedError):
        write_file(file, OLD, expected_content=OLD)
    assert names(file.parent) == ["flow.yaml"]


def deny(*_: object, **more: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_without_hard_links_a_new_file_is_renamed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", deny)
    with pytest.raises(FileExistsError):
        write_file(file, NEW, expected_content=None)
    assert file.read_bytes() == OLD
    write_file(file.with_name("new.yaml"), NEW, expected_content=None)
    assert file.with_name("new.yaml").read_bytes() == NEW
    assert names(file.parent) == ["flow.yaml", "new.yaml"]


def test_group_access_is_removed_if_the_group_cannot_be_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o664)
    monkeypatch.setattr(os, "chown", deny)
    write_file(file, NEW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


def test_the_group_is_kept_even_if_the_owner_cannot_be(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: list[tuple[int, int]] = []

    def change(path: str, owner: int, group: int) -> None:
        owners.append((owner, group))
        if owner != -1:
            deny()

    file.chmod(0o664)
    monkeypatch.setattr(os, "chown", change)
    write_file(file, NEW)
    status = file.stat()
    assert owners == [(status.st_uid, status.st_gid), (-1, status.st_gid)]
    assert stat.S_IMODE(status.st_mode) == 0o664


@pytest.mark.skipif(sys.platform != "linux", reason="no other system can exchange two files")
def test_a_file_removed_at_the_last_moment_is_not_recreated(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = atomic_file_writes._exchange_names

    def removed(first: str, second: str) -> bool:
        file.unlink()
        return exchange(first, second)

    monkeypatch.setattr(atomic_file_writes, "_exchange_names", removed)
    with pytest.raises(FileChangedError):
        write_file(file, NEW, expected_content=OLD)
    assert names(file.parent) == []


def test_writing_a_file_on_other_systems(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with file.open("ab"):
        write_file(file, NEW, expected_content=OLD)
    assert file.read_bytes() == NEW


def test_writability_is_checked_in_advance(file: Path) -> None:
    check_writable(file)
    check_writable(file.with_name("new.yaml"))
    assert names(file.parent) == ["flow.yaml"]
    with pytest.raises(FileNotFoundError):
        check_writable(file.parent / "missing" / "flow.yaml")
    with pytest.raises(NotADirectoryError):
        check_writable(file / "flow.yaml")
    looped = file.with_name("loop")
    looped.symlink_to(looped)
    with pytest.raises(OSError, match="Too many levels of symbolic links") as caught:
        check_writable(looped)
    assert caught.value.errno == errno.ELOOP


_EDITOR = """
import os, random, sys, time
path, style = sys.argv[1:]
for line in sys.stdin:
    mark, delay = line.split()
    content = f"name: flow\\nsteps: []  # {mark}\\noutput: {'y' * 8000}\\n"
    time.sleep(float(delay))
    if style == "renames":
        with open(path + "~", "w") as file:
            file.write(content)
        os.replace(path + "~", path)
    elif style == "truncates":
        with open(path, "w") as file:
            file.write(content)
    elif style == "is slow":
        with open(path, "w") as file:
            time.sleep(random.random() / 300)
            file.write(content[:1000])
            file.flush()
            time.sleep(random.random() / 300)
            file.write(content[1000:])
    else:
        with open(path, "r+") as file:
            file.write(content)
            file.truncate()
    print(flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, microseconds remain")
@pytest.mark.parametrize("style", ["renames", "truncates", "is slow", "overwrites"])
@pytest.mark.parametrize("rounds", [40, pytest.param(150, marks=pytest.mark.exhaustive)])
def test_no_save_of_an_editor_is_lost(file: Path, style: str, rounds: int) -> None:
    editor = subprocess.Popen(
        [sys.executable, "-c", _EDITOR, file, style], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert editor.stdin is not None
    assert editor.stdout is not None
    longest = 0.004
    try:
        for number in range(rounds):
            file.write_bytes(OLD)
            print(f"save-{number}-", random.random() * longest, file=editor.stdin, flush=True)
            started = time.perf_counter()
            before = file.read_bytes()
            with suppress(FileChangedError):
                write_file(file, before + b"test: {cases: []}\n", expected_content=before)
            longest = max(0.9 * longest, time.perf_counter() - started)
            assert editor.stdout.readline() == "\n"
            saved = file.read_text()
            assert saved.startswith(f"name: flow\nsteps: []  # save-{number}-\n")
            assert saved.removesuffix("test: {cases: []}\n").endswith("yyy\n")
    finally:
        editor.stdin.close()
        assert editor.wait(10) == 0
        editor.stdout.close()
    assert names(file.parent) == ["flow.yaml"]


@pytest.mark.parametrize(
    ("platform", "kind", "parent"),
    [
        ("linux", "cache", ".cache"),
        ("linux", "config", ".config"),
        ("linux", "state", ".local/state"),
        ("darwin", "cache", "Library/Caches"),
        ("darwin", "config", "Library/Application Support"),
        ("darwin", "state", "Library/Application Support"),
        ("win32", "config", "AppData/Local"),
    ],
)
def test_the_user_folders_of_each_platform(
    platform: str, kind: str, parent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (f"XDG_{kind.upper()}_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert get_stepflow_user_folder(kind) == tmp_path / parent / "stepflow"
    monkeypatch.setenv("LOCALAPPDATA" if platform == "win32" else f"XDG_{kind.upper()}_HOME", str(tmp_path / "own"))
    assert get_stepflow_user_folder(kind) == tmp_path / ("own" if platform != "darwin" else parent) / "stepflow"


def test_a_relative_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "own")
    assert get_stepflow_user_folder("state") == tmp_path / ".local/state/stepflow"


def test_a_user_without_a_home_folder_gets_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    with pytest.raises(StepflowClientError, match="this user has no home folder") as caught:
        get_stepflow_user_folder("state")
    assert caught.value.hint == "set HOME"


def test_a_temporary_file_is_readable_only_by_its_owner(file: Path) -> None:
    (file.parent / "plain").touch()
    default = stat.S_IMODE((file.parent / "plain").stat().st_mode)
    for name, mode, expected in (("flow.yaml", None, 0o600), ("new", None, default), ("private", 0o640, 0o600)):
        with replacing_file(file.with_name(name), mode=mode) as temporary:
            assert stat.S_IMODE(os.stat(temporary).st_mode) == expected


@pytest.mark.parametrize(("flags", "code"), [(0, errno.EACCES), (os.ST_RDONLY, errno.EROFS)])
def test_the_error_says_why_a_file_cannot_be_written(
    file: Path, monkeypatch: pytest.MonkeyPatch, flags: int, code: int
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: type("Status", (), {"f_flag": flags}))
    for closed, name, start in (
        (str(file), "flow.yaml", ""),
        (str(file.parent), "flow.yaml", f"no file can be created in {file.parent}: "),
        (str(file.parent), "new.yaml", f"no file can be created in {file.parent}: "),
    ):
        monkeypatch.setattr(atomic_file_writes, "_has_access", lambda path, mode, closed=closed: path != closed)
        with pytest.raises(OSError) as caught:  # noqa: PT011
            check_writable(file.with_name(name))
        assert (caught.value.errno, caught.value.strerror) == (code, start + os.strerror(code))
        with pytest.raises(FlowFileError) as raised:
            write_text(file.with_name(name), "text")
        assert raised.value.message == f"{file.with_name(name)} cannot be written: {start}{os.strerror(code)}"
    assert names(file.parent) == ["flow.yaml"]


@pytest.mark.skipif(sys.platform != "linux", reason="no other system can exchange two files")
@pytest.mark.parametrize("code", [None, errno.EINVAL, errno.ENOENT])
def test_file_systems_without_file_exchange(file: Path, monkeypatch: pytest.MonkeyPatch, code: int | None) -> None:
    import ctypes

    library = type("Library", (), {} if code is None else {"renameat2": staticmethod(lambda *names: -1)})
    monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: library)
    monkeypatch.setattr(ctypes, "get_errno", lambda: code)
    if code == errno.ENOENT:
        with pytest.raises(FileChangedError):
            write_file(file, NEW, expected_content=OLD)
    else:
        write_file(file, NEW, expected_content=OLD)
    assert file.read_bytes() == (OLD if code == errno.ENOENT else NEW)
    assert names(file.parent) == ["flow.yaml"]
