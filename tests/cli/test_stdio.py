"""The standard streams can be closed during interpreter shutdown."""

from __future__ import annotations

import io
from io import TextIOWrapper

import pytest
from stepflow_cli import stdio


@pytest.mark.parametrize("kind", [stdio._StrictStdout, stdio._LenientStderr])
def test_stream_can_be_closed_after_its_module_is_cleared(
    kind: type[TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 prints errors that occur then."""
    buffer = io.BytesIO()
    stream = kind(buffer, encoding="utf-8")
    stream.write("printed")
    for name in ("suppress", "converting_output_errors"):
        monkeypatch.setattr(stdio, name, None)
    stream.flush()
    assert buffer.getvalue() == b"printed"
    stream.close()
