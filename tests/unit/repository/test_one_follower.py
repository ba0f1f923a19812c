"""Only the follower infers the end of a run without an event; all other code reads its events."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import stepflow_cli
import stepflow_client

CLIENT, COMMAND = (Path(str(package.__file__)).parent for package in (stepflow_client, stepflow_cli))
ASYNC = "stepflow_client/_async"
FOLLOWER = {f"{ASYNC}/following.py"}
TIMES = {"event_late", "event_look", "event_outage", "event_silence", "event_silence_after_end", "lost_grace"}
EVENTS = {"run_events", "follow", "iter_updates", "timed", "RunWatcher", "EventStreamReader"}
"""Names that yield events."""


@cache
def sources() -> dict[str, str]:
    """Return the text of each module."""
    return {
        path.relative_to(root.parent).as_posix(): path.read_text("utf-8")
        for root in (CLIENT, COMMAND)
        for path in root.rglob("*.py")
        if root is COMMAND or "_sync" not in path.parts
    }


@cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax tree of each module."""
    return {module: ast.parse(source) for module, source in sources().items()}


@cache
def names_used(module: str) -> frozenset[str]:
    """Return the names and attributes that a module uses or imports."""
    return frozenset(names_in(trees()[module]))


def names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (name.name for name in node.names)


def users(*names: str) -> set[str]:
    """Return the modules that use any of the names."""
    return {module for module in trees() if not names_used(module).isdisjoint(names)}


def test_only_the_follower_uses_its_timings() -> None:
    # The run reader passes the time after which a run counts as lost to the rule.
    timings = "stepflow_client/_rules/timing_constants.py"
    assert users(*TIMES) - FOLLOWER == {f"{ASYNC}/run_reader.py", timings}
    assert users("lost_grace") == {f"{ASYNC}/run_reader.py", timings}


def test_one_function_decides_whether_a_run_is_lost() -> None:
    assert users("decide_run_ending") == {f"{ASYNC}/run_reader.py"}
    assert users("RunEnding") <= {"stepflow_client/types/statuses.py", f"{ASYNC}/run_reader.py"} | FOLLOWER


def test_only_the_follower_creates_completed_events() -> None:
    calls = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and "RunCompletedEvent" in names_in(node.func)
    }
    assert calls == FOLLOWER


def test_one_place_turns_events_into_progress() -> None:
    # A snapshot counts a running batch up to now, with the same rule.
    assert users("apply_event") == {f"{ASYNC}/snapshot_reader.py", f"{ASYNC}/watching.py"}


def constants(module: str) -> Iterator[tuple[str, str]]:
    """Yield the constants of a module with the comments above them."""
    lines = sources()[module].splitlines()
    for node in trees()[module].body:
        if isinstance(node, ast.Assign):
            above = takewhile(lambda line: line.startswith("#"), reversed(lines[: node.lineno - 1]))
            yield ast.unparse(node.targets[0]), " ".join(above).lower()


def test_event_readers_have_no_silence_timers() -> None:
    readers = users(*EVENTS)
    assert {"stepflow_cli/runs/follow_run.py", "stepflow_cli/ui/run_followers.py", f"{ASYNC}/watching.py"} <= readers
    timers = {
        (module, name)
        for module in readers - FOLLOWER
        for name, text in constants(module)
        if "without an event" in text or "silen" in name.lower() + text or "quiet" in name.lower()
    }
    assert timers == {
        # How long the list of runs waits for events in flight.
        ("stepflow_cli/runs/follow_run.py", "_SILENCE"),
        # When the displayed elapsed time is updated.
        (f"{ASYNC}/watching.py", "_IDLE_SECONDS"),
        # When a page asks whether a worker is running.
        ("stepflow_cli/ui/run_followers.py", "_QUIET_SECONDS"),
    }
