"""Timings reach the clients that are made after they are set, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepflow_client import StepflowClient, SyncStepflowClient
from stepflow_client._rules.timeouts import DEFAULT
from stepflow_client._stores import postgres

from tests.timings import set_timings


@pytest.mark.parametrize("kind", [StepflowClient, SyncStepflowClient])
def test_timings_are_those_of_the_time_when_a_client_is_made(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kind("http://server")
    usual = before._connection.timings
    set_timings(monkeypatch, event_silence=0.25, wait_outage=7.0)
    after = kind("http://server")._connection.timings
    assert (after.event_silence, after.wait_outage) == (0.25, 7.0)
    assert after.event_silence_after_end == usual.event_silence_after_end
    assert before._connection.timings is usual


def test_an_unknown_timing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="silence"):
        set_timings(monkeypatch, silence=1.0)


DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("page", "words", "values"),
    [
        ("cli.md", "Wait up to 60 s for workers", {60.0: DEFAULT.ready_limit}),
        ("servers.md", "the client infers it after 30 s", {30.0: DEFAULT.lost_grace}),
        ("guides/connecting.md", "the client may notice up to 25 s late", {25.0: DEFAULT.longest_hold}),
        (
            "guides/errors.md",
            "give up two minutes (`run_events`: one) after losing the server",
            {120.0: DEFAULT.wait_outage, 60.0: DEFAULT.event_outage},
        ),
        ("guides/running.md", "a lease of 5 s", {5.0: DEFAULT.key_lease}),
        (
            "guides/security.md",
            "by more than 0.5 s, or 1.5 s if it has to search for a lost run",
            {1.5 - 0.5: DEFAULT.last_search},
        ),
        (
            "guides/history.md",
            "Up to 10,000 changes (100 million characters)",
            {10_000: postgres._MAX_CHANGES, 100_000_000: postgres._MAX_SIZE},
        ),
        (
            "guides/history.md",
            "waits two seconds for the database, or up to a minute if it's just slow",
            {2.0: postgres._MAX_OUTAGE_WAIT, 60.0: postgres._MAX_CLOSE_WAIT},
        ),
    ],
)
def test_pages_name_the_limits_of_the_client(page: str, words: str, values: dict[float, float]) -> None:
    assert words in " ".join((DOCS / page).read_text(encoding="utf-8").split())
    assert [*values] == [*values.values()]
