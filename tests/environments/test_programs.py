"""Process pools, a Dask cluster and a Jupyter kernel: each runs flows on an embedded server of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.environments.conftest import environment

pytestmark = [pytest.mark.environments, pytest.mark.timeout(240)]


def test_process_pools_run_flows(run_program: Callable[..., str]) -> None:
    python = environment("pools")
    assert run_program(python, "pools.py", "-W", "error").split() == ["spawn", "forkserver", "fork"]


def test_a_dask_cluster_runs_flows(run_program: Callable[..., str]) -> None:
    python = environment("cluster", "dask[distributed]~=2026.1")
    assert run_program(python, "cluster.py").splitlines() == ["blocking", "event loop", "callable", "error"]


def test_a_jupyter_kernel_runs_flows(run_program: Callable[..., str]) -> None:
    python = environment("notebook", "nbclient~=0.10", "ipykernel~=7.0")
    assert run_program(python, "notebook.py").splitlines() == [
        "'blocking'",
        "'awaited'",
        "'run_completed'",
        "[0, 1, 2, 3, 4]",
        "another loop",
        "a second server",
        "<StepflowRuntime not running>",
    ]
