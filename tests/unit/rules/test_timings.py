"""Changed timings apply only to clients created afterwards."""

from __future__ import annotations

import sys

import pytest
from stepflow_client import StepflowClient, SyncStepflowClient

from tests.timings import set_timings


@pytest.mark.parametrize("kind", [StepflowClient, SyncStepflowClient])
def test_a_client_has_the_timings_of_its_creation(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kind("http://server")
    defaults = before._connection.timings
    set_timings(monkeypatch, event_silence=0.25, wait_outage=7.0)
    after = kind("http://server")._connection.timings
    assert (after.event_silence, after.wait_outage) == (0.25, 7.0)
    assert after.event_silence_after_end == defaults.event_silence_after_end
    assert before._connection.timings is defaults


def test_an_unknown_timing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # Named tuples raise a TypeError from Python 3.13 on.
    with pytest.raises(TypeError if sys.version_info >= (3, 13) else ValueError, match="silence"):
        set_timings(monkeypatch, silence=1.0)
