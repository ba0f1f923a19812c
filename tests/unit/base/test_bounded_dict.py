"""Only the newest entries are kept."""

from __future__ import annotations

from stepflow_client._base.bounded_dict import BoundedDict


def test_the_oldest_goes_first() -> None:
    known: BoundedDict[str, int] = BoundedDict(2)
    for number, key in enumerate("abac"):
        known.put_newest(key, number)
    assert dict(known) == {"a": 2, "c": 3}, "an entry that is set again is a new one"
