"""Idempotency tags and markers, which all client releases that share a server must write alike."""

from __future__ import annotations

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client._codec.idempotency_marker_blobs import (
    RunMarkerName,
    check_key,
    combine_scope_and_key,
    make_keyed_flow_tag,
    make_marker_content,
)


def test_a_tag_has_the_key_and_its_scope() -> None:
    assert make_keyed_flow_tag("a:b", None) == "key:a:b"
    assert make_keyed_flow_tag("a:b", "nightly") == 'scoped-key:["nightly", "a:b"]'


def test_the_name_of_a_marker_is_its_run_and_the_digest_of_the_arguments() -> None:
    assert str(RunMarkerName("r", "d")) == "r d"
    assert RunMarkerName.parse("r d") == ("r", "d")


@pytest.mark.parametrize("name", [None, "", "r", "r ", " d"])
def test_names_of_other_blobs_are_not_markers(name: str | None) -> None:
    assert RunMarkerName.parse(name) is None


def test_a_key_has_at_most_512_characters() -> None:
    assert check_key("k" * 512) == "k" * 512
    with pytest.raises(InvalidArgumentError, match=r"^idempotency_key has 513 characters; 512 are allowed$"):
        check_key("k" * 513)


def test_markers_of_keys_scopes_and_parts_differ() -> None:
    keys = [combine_scope_and_key("a", "b"), combine_scope_and_key("a, b", ""), "b"]
    markers = {make_marker_content(key, *parts) for key in keys for parts in (("run",), ("call", 0), ("call", 1))}
    assert len(markers) == 9
