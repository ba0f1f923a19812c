"""`stepflow runs watch -q`, `cancel` and `delete`, for one and several runs."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from stepflow_cli.commands.runs.rerun_cancel_delete import delete_run_and_get_status
from stepflow_client import SyncStepflowClient

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import FORMS, UNKNOWN, Start
from tests.cli.terminal import Terminal
from tests.fault_proxy import FaultProxy, Script

pytestmark = pytest.mark.in_process


def test_watch_until_the_end(stepflow: Stepflow, start: Start, ada: str, failed: str, golden: Golden) -> None:
    slow = start("slow.yaml", wait=False)
    golden(
        stepflow("runs", "watch", "-q", slow),
        *(stepflow("runs", "watch", "-q", ada, "-o", form) for form in FORMS),
        stepflow("runs", "watch", "-q", ada, slow, ada, "-o", "name"),
        stepflow("runs", "watch", "-q", failed),
        stepflow("runs", "watch", "-q", failed, ada, "-o", "json", "--fields", "run_id,status"),
        stepflow("runs", "watch", "-q", failed, "--url", stepflow.environment["STEPFLOW_URL"], "-o", "name"),
    )


def test_watch_several_runs(
    stepflow: Stepflow, start: Start, ada: str, failed: str, cancelled: str, running: str, golden: Golden
) -> None:
    golden(
        stepflow("runs", "watch", "-q", cancelled),
        stepflow("runs", "watch", "-q", ada, cancelled, "-o", "jsonl", "--fields", "status"),
        # The exit code is the most severe one, regardless of the order.
        stepflow("runs", "watch", "-q", failed, cancelled, "-o", "name"),
        stepflow("runs", "watch", "-q", cancelled, UNKNOWN, ada, "-o", "name"),
        stepflow("runs", "watch", "-q", running, failed, "--timeout", "1.5", "-o", "name"),
        stepflow("runs", "watch", "-q", running, failed, "--timeout", "1.5", "-o", "json", "--fields", "status"),
        stepflow("runs", "watch", "-q", running, "--timeout", "1.5"),
        # The timeout is for all runs together; after it, each remaining run is still checked once.
        stepflow(
            *("runs", "watch", "-q", running, "-", ada, "--timeout", "1.5", "-o", "name"),
            *("--url", stepflow.environment["STEPFLOW_URL"]),
            stdin=f"{start('slow.yaml', wait=False)}\n",
        ),
    )


def test_every_run_is_checked_even_with_a_slow_server(
    stepflow: Stepflow, failed: str, running: str, server: str
) -> None:
    with FaultProxy(server, lambda number: Script(delay=0.3)) as proxy:
        done = stepflow("runs", "watch", "-q", running, failed, "--timeout", "1", "-o", "name", "--url", proxy.url)
    assert (done.code, done.stdout) == (5, f"{failed}\n")
    assert "1 of 2 runs has not ended yet" in done.stderr


def test_interrupted_wait(terminal: Callable[..., Terminal], ada: str, running: str, failed: str) -> None:
    waiting = terminal("runs", "watch", "-q", "-o", "jsonl", "--fields", "status", ada, running, failed, width=400)
    waiting.wait_for('"completed"')
    waiting.interrupt()
    assert waiting.end() == 130
    assert waiting.screen.endswith(f'"hint": "stepflow runs watch -q {running} {failed}"}}\n')


def test_cancel(stepflow: Stepflow, start: Start, ada: str, long: Start, golden: Golden) -> None:
    golden(
        stepflow("runs", "cancel", long(), "--yes"),
        *(stepflow("runs", "cancel", long(), "--yes", "-o", form) for form in FORMS),
        stepflow("runs", "cancel", ada, "--yes"),
        stepflow("runs", "cancel", ada, "--yes", "-o", "json"),
        stepflow("runs", "cancel", ada, long(), UNKNOWN, "-y", "--fields", "status"),
        stepflow("runs", "cancel", ada, long(), UNKNOWN, "-y", "--fields", "status", "-o", "json"),
        stepflow("runs", "cancel", long()),
        stepflow("runs", "cancel", long(), long(), "-o", "json"),
    )


def test_cancel_listed_runs(stepflow: Stepflow, long: Start, golden: Golden) -> None:
    for _ in range(3):
        long("listed to be cancelled")
    running = "stepflow runs list -o name --flow-name 'listed to be cancelled' --status running"
    golden(
        stepflow.shell(f"{running} | stepflow runs cancel --yes - --fields status"),
        stepflow.shell(f"{running} | stepflow runs cancel --yes - --fields status"),
        stepflow.shell(f"echo; echo {long()} | stepflow runs cancel -"),
        stepflow("runs", "cancel", "-", "--yes", stdin=f"{UNKNOWN}\n\nnonsense\n"),
    )


def test_delete(stepflow: Stepflow, ada: str, failed: str, running: str, golden: Golden) -> None:
    golden(
        stepflow("runs", "delete", ada, "--yes"),
        *(stepflow("runs", "delete", ada, "--yes", "-o", form) for form in FORMS),
        stepflow("runs", "delete", "-", failed, "--yes", stdin=f"{ada}\n{failed}\n"),
        stepflow("runs", "delete", running, "--yes"),
        stepflow("runs", "delete", running, ada, UNKNOWN, "--yes", "-o", "jsonl"),
        stepflow("runs", "delete", ada),
        stepflow("runs", "delete", ada, failed, "-o", "json"),
    )


def test_delete_on_a_server_that_supports_it() -> None:
    """No released server supports deleting runs."""
    existing = {UNKNOWN}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            existing.clear()
            return httpx.Response(200, json={})
        assert not existing
        return httpx.Response(404, json={"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}})

    with SyncStepflowClient("http://server", transport=httpx.MockTransport(respond), server_release="0.13.0") as client:
        assert delete_run_and_get_status(client, UNKNOWN) == {"run_id": UNKNOWN, "status": "deleted"}


def test_confirmation(terminal: Callable[..., Terminal], ada: str, failed: str, long: Start, golden: Golden) -> None:
    screens = []
    for line, answer in (
        (("runs", "cancel", long()), "y"),
        (("runs", "cancel", long(), long()), "n"),
        (("runs", "delete", ada, failed), "yes"),
        (("runs", "delete", ada), ""),
    ):
        shown = terminal(*line, "--wide")
        shown.wait_for("[y/N]")
        shown.send(f"{answer}\r")
        screens.append(shown)
    golden(*screens)


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_no_server(verb: str, stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("runs", verb, UNKNOWN, "--yes"),
        stepflow("runs", verb, UNKNOWN, "--yes", "-o", "json", "--url", "http://127.0.0.1:9"),
    )


@pytest.mark.usefixtures("server")
def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("runs", "watch", "-q", "0197aaaa"),
        stepflow("runs", "watch", "-q", UNKNOWN),
        stepflow("runs", "watch", UNKNOWN, "0197aaaa"),
        stepflow("runs", "watch", "-q", UNKNOWN, "0197aaaa", "--on-interrupt", "cancel"),
        stepflow("runs", "watch", "-", stdin="\n"),
        stepflow("runs", "cancel", "-y"),
        stepflow("runs", "cancel", UNKNOWN, "-y"),
        stepflow("runs", "delete", UNKNOWN, "-y", "-o", "json"),
    )
