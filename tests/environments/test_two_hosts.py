"""Two hosts that share a history in PostgreSQL neither lose nor repeat an order, and both list the same runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.environments.two_hosts import drill

pytestmark = [pytest.mark.environments, pytest.mark.timeout(400)]


def test_two_hosts_share_labels_and_inputs(tmp_path: Path) -> None:
    figures = drill(tmp_path, orders=400, kills=2, away=2.0, pace=0.5)
    assert min(figures["kills"]) >= 1
