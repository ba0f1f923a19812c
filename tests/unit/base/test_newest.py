"""Only the newest entries are kept."""

from __future__ import annotations

from stepflow_client._base.newest import NewestEntries


def test_the_oldest_goes_first() -> None:
    known: NewestEntries[str, int] = NewestEntries(2)
    for number, key in enumerate("abac"):
        known.put(key, number)
    assert dict(known) == {"a": 2, "c": 3}, "an entry that is set again is a new one"
