"""A bounded dict evicts its oldest entries."""

from __future__ import annotations

from stepflow_client._base.bounded_dict import BoundedDict


def test_the_oldest_entry_is_evicted_first() -> None:
    entries: BoundedDict[str, int] = BoundedDict(2)
    for number, key in enumerate("abac"):
        entries.put_newest(key, number)
    assert dict(entries) == {"a": 2, "c": 3}, "setting an entry again makes it the newest"
