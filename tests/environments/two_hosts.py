"""Two hosts of an application that share a history in PostgreSQL and two servers with one store.

Each host is a process, in its own network namespace if the user may create one. Both place orders, and one in ten
orders is placed by both, while hosts and the database are killed.

    python -m tests.environments.two_hosts --orders 20000 --kills 10
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stepflow_client import SyncStepflowClient

from tests.durable import DurableServer
from tests.postgres import Postgres

PROGRAM = Path(__file__).parent / "programs" / "host.py"
HOSTS = 2
MAX_SILENCE = 120.0
"""Maximum seconds without a new order."""


class Host:
    """A host with its own home folder, network and log of placed orders."""

    def __init__(self, folder: Path, number: int, *, has_network: bool) -> None:
        self.folder, self.number = folder / f"host-{number}", number
        (self.folder).mkdir()
        self.log = self.folder / "placed.log"
        self.log.touch()
        self.errors = self.folder / "errors.log"
        self.kills = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._space = f"stepflow{os.getpid()}h{number}" if has_network else None
        self.address = f"10.213.{number}.1" if has_network else "127.0.0.1"
        """The address at which the host reaches the servers and the database."""

    def call(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        prefix = [] if self._space is None else ["ip", "netns", "exec", self._space]
        environment = os.environ | {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder)}
        return subprocess.Popen([*prefix, sys.executable, str(PROGRAM), *arguments], env=environment, **options)

    @contextmanager
    def network(self) -> Iterator[None]:
        """Create the host's network namespace, with a link to this machine."""
        if self._space is None:
            yield
            return
        link, peer = f"sfa{os.getpid()}{self.number}", f"sfb{os.getpid()}{self.number}"
        commands = (
            f"netns add {self._space}",
            f"link add {link} type veth peer name {peer} netns {self._space}",
            f"addr add {self.address}/30 dev {link}",
            f"link set {link} up",
            f"-n {self._space} addr add 10.213.{self.number}.2/30 dev {peer}",
            f"-n {self._space} link set {peer} up",
        )
        try:
            for command in commands:
                subprocess.run(["ip", *command.split()], check=True, capture_output=True)
            yield
        finally:
            subprocess.run(["ip", "netns", "del", self._space], check=False, capture_output=True)

    def placed(self) -> dict[str, str]:
        """Return the run IDs of the placed orders, by order."""
        lines = (line.split() for line in self.log.read_text().splitlines())
        return {words[0]: words[1] for words in lines if len(words) == 2}


def can_create_networks() -> bool:
    """Return whether this user may create network namespaces with links."""
    name = f"stepflow{os.getpid()}try"
    commands = f"netns add {name}", f"-n {name} link add sfx type veth peer name sfy", f"netns del {name}"
    try:
        codes = [subprocess.run(["ip", *each.split()], capture_output=True).returncode for each in commands]
    except OSError:
        return False
    return codes == [0, 0, 0]


def drill(
    folder: Path, orders: int, kills: int, *, outages: int = 2, away: float = 5.0, pace: float = 0
) -> dict[str, Any]:
    """Place orders from two hosts while killing hosts and the database, and return figures.

    Args:
        folder: The folder for the files of the hosts and servers.
        orders: Number of orders.
        kills: Number of times that each host is killed.
        outages: Number of times that the database is killed.
        away: Seconds until the database is restarted.
        pace: Seconds between the orders of one of a host's eight tasks.

    Raises:
        AssertionError: If an order was lost or placed twice, or the hosts do not list the same runs.
    """
    has_network = can_create_networks()
    hosts = [Host(folder, number, has_network=has_network) for number in range(HOSTS)]
    database = Postgres(host="0.0.0.0" if has_network else "127.0.0.1")
    servers = [DurableServer(folder, name=name, connections=16) for name in "ab"]
    began = time.monotonic()
    with ExitStack() as stack:
        stack.callback(database.remove)
        for server in servers:
            stack.callback(server.kill)
        for host in hosts:
            stack.enter_context(host.network())
        database.start()
        url = database.database()
        for server in servers:
            server.start()
            server.wait_ready()

        def arguments(host: Host) -> tuple[str, str]:
            # Each host prefers a different server.
            order = servers[host.number :] + servers[: host.number]
            urls = ",".join(each.url.replace("127.0.0.1", host.address) for each in order)
            return url.replace("0.0.0.0", host.address), urls

        def start(host: Host) -> None:
            with host.errors.open("ab") as errors:
                share = [str(host.log), str(host.number), str(orders), str(pace)]
                host.process = host.call("place", *arguments(host), *share, stderr=errors, start_new_session=True)

        def kill(host: Host) -> None:
            assert host.process is not None
            if host.process.poll() is None:
                os.killpg(host.process.pid, signal.SIGKILL)
                host.process.wait()
                host.kills += 1
                start(host)

        for host in hosts:
            start(host)
            stack.callback(lambda host=host: host.process.kill())
        disturbances = _disturbances(kills, outages)
        last, progress = time.monotonic(), 0
        while any(host.process is not None and host.process.poll() is None for host in hosts):
            time.sleep(0.05)
            placed = sum(len(host.log.read_bytes().splitlines()) for host in hosts)
            if placed > progress:
                last, progress = time.monotonic(), placed
            assert time.monotonic() < last + MAX_SILENCE, hosts[0].errors.read_text()[-2000:]
            if disturbances and placed >= disturbances[0][0] * orders:
                _, what = disturbances.pop(0)
                if what < HOSTS:
                    kill(hosts[what])
                else:
                    database.kill()
                    time.sleep(away)
                    database.start()
                    # Let the hosts write their buffered changes; a host killed now would lose them.
                    time.sleep(2 * away)
        assert [host.process and host.process.returncode for host in hosts] == [0] * HOSTS, hosts[0].errors.read_text()
        seconds = time.monotonic() - began
        _rerun(hosts, arguments)
        reports = [_get_report(host, arguments(host)) for host in hosts]
        with SyncStepflowClient(servers[0].url) as client:
            listed = client.iter_runs(flow_name="order", page_size=1000)
            runs = [run for run in listed if run.run_id not in reports[0]["reruns"]]
    placed_runs = hosts[0].placed() | hosts[1].placed()
    per_flow = Counter(run.flow_id for run in runs)
    assert len(placed_runs) == orders, f"{orders - len(placed_runs)} orders were lost"
    assert max(per_flow.values()) == 1, "an order was placed twice"
    assert len(runs) == orders
    assert {run.run_id for run in runs} == set(placed_runs.values())
    assert reports[0] == reports[1], "the hosts do not list the same"
    missing = set(placed_runs.values()) - set(reports[0]["listed"])
    assert missing == set(), f"{len(missing)} runs have no labels: {hosts[0].errors.read_text()[-2000:]}"
    assert set(reports[0]["listed"]) == set(placed_runs.values()) | set(reports[0]["reruns"])
    assert {run_id: value["order"] for run_id, value in reports[0]["inputs"].items()} == {
        run_id: order for order, run_id in placed_runs.items()
    }
    assert len(reports[0]["reruns"]) == HOSTS
    return {
        "orders": orders,
        "kills": [host.kills for host in hosts],
        "outages": outages,
        "namespaces": has_network,
        "unconfirmed": reports[0]["unconfirmed"],
        "seconds": round(seconds),
        "warnings": sum(host.errors.read_text().count("the history cannot") for host in hosts),
    }


def _disturbances(kills: int, outages: int) -> list[tuple[float, int]]:
    """Return when to kill what: the share of placed orders, and the number of a host or HOSTS for the database."""
    disturbances = [(0.9 * (number + 1) / (kills * HOSTS + 1), number % HOSTS) for number in range(kills * HOSTS)]
    disturbances += [(0.9 * (number + 1) / (outages + 1) + 0.01, HOSTS) for number in range(outages)]
    return sorted(disturbances)


def _rerun(hosts: list[Host], arguments: Callable[[Host], tuple[str, str]]) -> None:
    """Rerun a run of each host on the other host, with the input from the history."""
    for host, other in zip(hosts, reversed(hosts), strict=True):
        run_id = next(iter(other.placed().values()))
        assert host.call("rerun", *arguments(host), run_id).wait(60) == 0


def _get_report(host: Host, arguments: tuple[str, str]) -> dict[str, Any]:
    done = host.call("report", *arguments, stdout=subprocess.PIPE)
    output, _ = done.communicate(timeout=300)
    assert done.returncode == 0
    report: dict[str, Any] = json.loads(output)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--away", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(drill(Path(name), options.orders, options.kills, away=options.away)))
