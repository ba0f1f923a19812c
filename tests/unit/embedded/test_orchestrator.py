"""The names of servers: kept for the next server of a store, and never shared by two that live."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

from stepflow_client._embedded.supervisor import claim_orchestrator_name


def test_a_name_is_kept_beside_the_store(tmp_path: Path) -> None:
    first = claim_orchestrator_name(tmp_path / "s.db")
    assert first.is_first
    first.close()
    again = claim_orchestrator_name(tmp_path / "s.db")
    assert again.name == first.name
    again.close()
    assert [path.name for path in tmp_path.iterdir()] == ["s.db.orchestrator-0"]


def test_two_that_live_have_two_names(tmp_path: Path) -> None:
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


def killed_holder(store: Path, seconds: float) -> tuple[str, int]:
    """Have a process claim a name, start a server that inherits the lock, and die: return the name and the server."""
    command = [sys.executable, "-c", HOLDER, str(store), str(seconds)]
    name, pid = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.split()
    return name, int(pid)


def test_the_name_of_a_server_that_is_just_being_ended_is_waited_for(tmp_path: Path) -> None:
    name, _ = killed_holder(tmp_path / "s.db", 1.0)
    claimed = claim_orchestrator_name(tmp_path / "s.db")
    assert claimed.name == name
    claimed.close()


def test_a_server_that_outlives_its_process_keeps_its_name(tmp_path: Path) -> None:
    name, server = killed_holder(tmp_path / "s.db", 60)
    claimed = claim_orchestrator_name(tmp_path / "s.db")
    assert claimed.name != name
    claimed.close()
    os.kill(server, signal.SIGKILL)


def test_a_fork_does_not_hold_a_name_that_was_given_back(tmp_path: Path) -> None:
    claimed = claim_orchestrator_name(tmp_path / "s.db")
    assert claimed.lock is not None
    # What a fork has: the same open file.
    copy = os.dup(claimed.lock)
    claimed.close()
    again = claim_orchestrator_name(tmp_path / "s.db")
    assert again.name == claimed.name
    again.close()
    os.close(copy)


def test_without_a_store_or_a_place_for_the_lock_names_are_new(tmp_path: Path) -> None:
    names = {
        claim_orchestrator_name(store).name
        for store in (None, None, tmp_path / "none" / "s.db", tmp_path / "none" / "s.db")
    }
    assert len(names) == 4


def test_stores_have_names_of_their_own(tmp_path: Path) -> None:
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
