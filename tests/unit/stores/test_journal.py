"""The journal of a batch, without a batch."""

from __future__ import annotations

import stat
from contextlib import closing
from pathlib import Path

from stepflow_client._rules.chunks import Chunk
from stepflow_client._stores.journal import Journal


def test_a_chunk_that_has_begun_can_be_read(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "batch.journal")) as journal:
        assert not journal.has_begun_any_chunk()
        chunk = Chunk(0, first=0, tag="t", count=2, digest="d")
        journal.record_chunk_begin(chunk)
        assert journal.has_begun_any_chunk()
        assert journal.find_chunk(0, 0) == chunk
        assert journal.find_chunk(1, 2) is None


def test_entries_are_appended_to_a_log_that_is_as_private_as_the_file(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "batch.journal")):
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert modes == {"batch.journal": 0o600, "batch.journal-wal": 0o600}
