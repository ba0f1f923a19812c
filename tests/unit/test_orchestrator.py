"""The names of servers: kept for the next server of a store, and never shared by two that live."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stepflow_client._orchestrator import claim_name


def test_a_name_is_kept_beside_the_store(tmp_path: Path) -> None:
    first = claim_name(tmp_path / "s.db")
    assert first.is_first
    first.close()
    again = claim_name(tmp_path / "s.db")
    assert again.name == first.name
    again.close()
    assert [path.name for path in tmp_path.iterdir()] == ["s.db.orchestrator-0"]


def test_two_that_live_have_two_names(tmp_path: Path) -> None:
    first, second = claim_name(tmp_path / "s.db"), claim_name(tmp_path / "s.db")
    assert first.name != second.name
    assert (first.is_first, second.is_first) == (True, False)
    first.close()
    third = claim_name(tmp_path / "s.db")
    assert third.name == first.name
    second.close()
    third.close()


def test_a_server_that_inherited_the_lock_holds_it_on(tmp_path: Path) -> None:
    first = claim_name(tmp_path / "s.db")
    assert first.lock is not None
    server = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[first.lock], close_fds=True
    )
    first.close()
    second = claim_name(tmp_path / "s.db")
    assert second.name != first.name
    second.close()
    server.communicate(b"\n")
    third = claim_name(tmp_path / "s.db")
    assert third.name == first.name
    third.close()


def test_without_a_store_or_a_place_for_the_lock_names_are_new(tmp_path: Path) -> None:
    names = {claim_name(store).name for store in (None, None, tmp_path / "none" / "s.db", tmp_path / "none" / "s.db")}
    assert len(names) == 4


def test_stores_have_names_of_their_own(tmp_path: Path) -> None:
    claimed = [claim_name(tmp_path / name) for name in ("a.db", "b.db")]
    assert claimed[0].name != claimed[1].name
    for each in claimed:
        each.close()
