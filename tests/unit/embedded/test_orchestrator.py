"""Orchestrator names are reused by the next server of a store, but never shared by two running servers."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

from stepflow_client._embedded.supervisor import claim_orchestrator_name


def test_a_name_is_saved_next_to_the_store(tmp_path: Path) -> None:
    first = claim_orchestrator_name(tmp_path / "s.db")
    assert first.is_first
    first.close()
    reclaimed = claim_orchestrator_name(tmp_path / "s.db")
    assert reclaimed.name == first.name
    reclaimed.close()
    assert [path.name for path in tmp_path.iterdir()] == ["s.db.orchestrator-0"]


def test_two_running_servers_have_different_names(tmp_path: Path) -> None:
    first, second = claim_orchestrator_name(tmp_path / "s.db"), claim_orchestrator_name(tmp_path / "s.db")
    assert first.name != second.name
    assert (first.is_first, second.is_first) == (True, False)
    first.close()
    third = claim_orchestrator_name(tmp_path / "s.db")
    assert third.name == first.name
    second.close()
    third.close()


HOLDER = """
import os, subprocess, sys
from pathlib import Path
from stepflow_client._embedded.supervisor import claim_orchestrator_name
claimed = claim_orchestrator_name(Path(sys.argv[1]))
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(float(" + repr(sys.argv[2]) + "))"],
                          pass_fds=[claimed.lock], stdout=subprocess.DEVNULL)
print(claimed.name, server.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def claim_in_killed_process(store: Path, seconds: float) -> tuple[str, int]:
    """Claim a name in a process that dies after starting a server with the lock; return the name and server PID."""
    command = [sys.executable, "-c", HOLDER, str(store), str(seconds)]
    name, pid = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.split()
    return name, int(pid)


def test_claiming_waits_for_a_server_that_is_exiting(tmp_path: Path) -> None:
    name, _ = claim_in_killed_process(tmp_path / "s.db", 1.0)
    claimed = claim_orchestrator_name(tmp_path / "s.db")
    assert claimed.name == name
    claimed.close()


def test_a_server_that_outlives_its_parent_keeps_its_name(tmp_path: Path) -> None:
    name, server = claim_in_killed_process(tmp_path / "s.db", 60)
    claimed = claim_orchestrator_name(tmp_path / "s.db")
    assert claimed.name != name
    claimed.close()
    os.kill(server, signal.SIGKILL)


def test_a_fork_does_not_keep_a_released_name(tmp_path: Path) -> None:
    claimed = claim_orchestrator_name(tmp_path / "s.db")
    assert claimed.lock is not None
    # A fork shares the open file.
    copy = os.dup(claimed.lock)
    claimed.close()
    reclaimed = claim_orchestrator_name(tmp_path / "s.db")
    assert reclaimed.name == claimed.name
    reclaimed.close()
    os.close(copy)


def test_names_are_new_without_a_store_or_its_folder(tmp_path: Path) -> None:
    names = {
        claim_orchestrator_name(store).name
        for store in (None, None, tmp_path / "none" / "s.db", tmp_path / "none" / "s.db")
    }
    assert len(names) == 4


def test_different_stores_have_different_names(tmp_path: Path) -> None:
    claimed = [claim_orchestrator_name(tmp_path / name) for name in ("a.db", "b.db")]
    assert claimed[0].name != claimed[1].name
    for each in claimed:
        each.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from stepflow_client._embedded.supervisor import claim_orchestrator_name
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print([claim_orchestrator_name(Path(sys.argv[1])).name for _ in range(2)])
"""


def test_a_name_that_cannot_be_reserved_on_a_full_disk_is_not_used(tmp_path: Path) -> None:
    first = claim_orchestrator_name(tmp_path / "s.db")
    first.close()
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "s.db")]
    names = ast.literal_eval(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert len({first.name, *names}) == 3
