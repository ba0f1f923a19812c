"""The tags of idempotency keys: clients of all releases that use a server must write the same ones."""

from __future__ import annotations

from stepflow_client._codec.idempotency_markers import make_key_tag, make_rerun_scope


def test_a_tag_has_the_key_and_its_scope() -> None:
    assert make_key_tag("a:b", None) == "key:a:b"
    assert make_key_tag("a:b", "nightly") == 'scoped-key:["nightly", "a:b"]'


def test_each_run_of_a_rerun_has_a_scope_of_its_own() -> None:
    assert [make_rerun_scope("r", part) for part in range(3)] == [
        "rerun of r",
        "rerun of r, part 2",
        "rerun of r, part 3",
    ]
