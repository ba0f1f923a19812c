"""docs/servers.md, which `make check-server` writes, shows the recorded test outcomes, and none is a failure."""

from __future__ import annotations

import json

from scripts import check_server
from tests import releases


def test_the_page_matches_the_recorded_outcomes() -> None:
    outcomes = json.loads(check_server.OUTCOMES.read_text())
    assert check_server.PAGE.read_text() == check_server.page(outcomes)


def test_every_release_was_checked_without_a_failure() -> None:
    outcomes = json.loads(check_server.OUTCOMES.read_text())
    assert {release: outcomes[release]["failed"] for release in releases.RELEASES} == dict.fromkeys(
        releases.RELEASES, 0
    )
    assert outcomes[releases.NEWEST]["conformance"] == 0
