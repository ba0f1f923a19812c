"""Process pools, a Dask cluster and a Jupyter kernel run flows on embedded servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.environments.conftest import environment

pytestmark = [pytest.mark.environments, pytest.mark.timeout(240)]


NOTEBOOK = ("nbclient~=0.10", "ipykernel~=7.0", "tqdm~=4.67")


def test_process_pools_run_flows(run_program: Callable[..., str]) -> None:
    python = environment("pools")
    assert run_program(python, "pools.py", "-W", "error").split() == ["spawn", "forkserver", "fork"]


def test_a_dask_cluster_runs_flows(run_program: Callable[..., str]) -> None:
    python = environment("cluster", "dask[distributed]~=2026.1")
    assert run_program(python, "cluster.py").splitlines() == ["blocking", "event loop", "callable", "error"]


def test_a_jupyter_kernel_runs_flows(run_program: Callable[..., str]) -> None:
    python = environment("notebook", *NOTEBOOK)
    assert run_program(python, "notebook.py").splitlines() == [
        "'blocking'",
        "'awaited'",
        "'run_completed'",
        "[0, 1, 2, 3, 4]",
        "another loop",
        "a second server",
        "<StepflowRuntime not running>",
    ]


def test_a_notebook_shows_progress_and_short_errors(run_program: Callable[..., str]) -> None:
    python = environment("notebook", *NOTEBOOK)
    assert run_program(python, "notebook_shows.py").splitlines() == [
        "run #: completed after #",
        "batch: completed: 3/3 done, #",
        "run #: completed after #",
        "Cell In[5], line 1",
        "----> 1 look('no-id')",
        "",
        "Cell In[1], line 8",
        "----> 8 return client.get_run(run_id)",
        "",
        "InvalidArgumentError: a run ID must be a UUID, not 'no-id'",
        "",
        "%tb shows the whole traceback.",
        "InvalidArgumentError: more than 12 lines",
        "stdout: Exception reporting mode: Plain",
        "InvalidArgumentError: more than 12 lines",
        "stdout: Exception reporting mode: Context",
        "Cell In[10], line 5",
        "----> 5 await health()",
        "",
        "Cell In[10], line 3",
        "----> 3 await other.health_check()",
        "",
        "ServerConnectionError: http://127.0.0.1:9 cannot be reached: connection refused",
        "Hint: nothing is listening on port 9: run 'stepflow serve --port 9', or correct the URL",
        "",
        "%tb shows the whole traceback.",
        "True",
    ]
