"""The standard streams when the interpreter ends."""

from __future__ import annotations

import io
from io import TextIOWrapper

import pytest
from stepflow_cli import stdio


@pytest.mark.parametrize("kind", [stdio._StrictStdout, stdio._LenientStderr])
def test_a_stream_is_closed_after_its_module_is_gone(
    kind: type[TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 prints what goes wrong then."""
    kept = io.BytesIO()
    stream = kind(kept, encoding="utf-8")
    stream.write("printed")
    for name in ("suppress", "converting_output_errors"):
        monkeypatch.setattr(stdio, name, None)
    stream.flush()
    assert kept.getvalue() == b"printed"
    stream.close()
