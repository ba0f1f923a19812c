"""Differences between server releases: the only reasons for a server test to expect different behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from tests import releases


@dataclass(frozen=True)
class Difference:
    """A difference."""

    feature: str
    """The behaviour from the release on."""
    since: str
    before: str
    """The behaviour of older servers."""


DIFFERENCES = {
    "empty_batch": Difference(
        "An empty list as input is a run of no items", "0.11", "`UnsupportedByServerError`: the server would hang"
    ),
    "failures_at_once": Difference(
        "A component that raises fails its step immediately", "0.11", "The server restarts the worker and tries 3 times"
    ),
    "events": Difference(
        "Runs have events, from which come the times of steps and the progress",
        "0.12",
        "`run_events` raises `UnsupportedByServerError`; waiting and `progress=` poll",
    ),
    "live_steps": Difference("The steps of a run are visible before it ends", "0.12", "Only when it has ended"),
    "step_outputs": Difference(
        "`get_run_steps` returns outputs and errors, so reruns can keep them, and tests record them",
        "0.12",
        "Only the status; what needs outputs raises `UnsupportedByServerError`",
    ),
    "exact_integers_refused": Difference(
        "An integer beyond 2**53 in an input or a variable is refused before sending: the server would change it",
        "0.12",
        "Integers of 64 bits come back unchanged; larger ones become floats",
    ),
    "sorted_keys": Difference(
        "Servers return the keys of objects in any order: the client puts those of outputs into the order of the "
        "flow's `output`, or sorts them if that does not define it",
        "0.12",
        "They come in the component's order",
    ),
    "sleep_component": Difference("`/builtin/sleep` and `/builtin/noop`", "0.13", "No such components"),
    "plugins": Difference(
        "`list_components` returns the plugin, and for a runtime with several plugins the path", "0.13", "Both are None"
    ),
}


def has(release: str, feature: str) -> bool:
    """Return whether a release has the newer behaviour of a difference."""
    return releases.number(release) >= releases.number(DIFFERENCES[feature].since)
