"""A lazily imported module is complete when it's used, even if another thread is still importing it."""

import sys
import threading
from pathlib import Path

import pytest
from stepflow_client._base.lazy import lazy_module

SOURCE = """
import threading
started, may_finish = threading.Event(), threading.Event()
started.set()
assert may_finish.wait(30)
answer = 42
"""


def test_a_module_that_another_thread_is_importing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_slowly.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    thread = threading.Thread(target=__import__, args=("imported_slowly",))
    thread.start()
    try:
        while not hasattr(sys.modules.get("imported_slowly"), "started"):
            assert thread.is_alive()
        partial = sys.modules["imported_slowly"]
        assert partial.started.wait(30)
        lazy = lazy_module("imported_slowly")
        threading.Timer(0.1, partial.may_finish.set).start()
        assert lazy.answer == 42
    finally:
        thread.join(30)
        sys.modules.pop("imported_slowly", None)


def test_a_loaded_module_is_returned_as_it_is() -> None:
    assert lazy_module("threading") is threading
