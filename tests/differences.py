"""Differences between server releases: the only reasons for a server test to expect different behavior."""

from __future__ import annotations

from dataclasses import dataclass

from tests import releases


@dataclass(frozen=True)
class Difference:
    """A behavior that changed in a release."""

    feature: str
    """The behavior since that release."""
    since: str
    before: str
    """The behavior of older servers."""


DIFFERENCES = {
    "empty_batch": Difference(
        "An empty input list creates a run with no items",
        "0.11",
        "`UnsupportedByServerError`, because the server would drop the connection",
    ),
    "failures_at_once": Difference(
        "If a component raises, its step fails immediately", "0.11", "The server restarts the worker and tries 3 times"
    ),
    "events": Difference(
        "Runs have events, which provide step times and progress",
        "0.12",
        "`run_events` raises `UnsupportedByServerError`; `progress=` polls",
    ),
    "live_steps": Difference("A run's steps are visible before it ends", "0.12", "Only once it has ended"),
    "step_outputs": Difference(
        "`get_run_steps` returns outputs and errors, so reruns can keep them and tests can record them",
        "0.12",
        "Only the status; calls that need outputs raise `UnsupportedByServerError`",
    ),
    "exact_integers_refused": Difference(
        "Inputs and variables with integers beyond 2**53 are rejected before sending, because the server "
        "would round them",
        "0.12",
        "64-bit integers come back unchanged; larger ones become floats",
    ),
    "sorted_keys": Difference(
        "Servers return object keys in any order; the client sorts them, or, if it started the run and knows the "
        "flow, orders them as in `output`",
        "0.12",
        "Keys keep the component's order",
    ),
    "sleep_component": Difference("`/builtin/sleep` and `/builtin/noop`", "0.13", "Not available"),
    "plugins": Difference(
        "`list_components` returns the plugin and, for any runtime, the path",
        "0.13",
        "Only the path, for runtimes with one plugin",
    ),
}


def has(release: str, feature: str) -> bool:
    """Return whether a release has the newer behavior of a difference."""
    return releases.number(release) >= releases.number(DIFFERENCES[feature].since)
