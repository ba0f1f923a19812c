"""An evaluation that is killed again and again executes each run exactly once and keeps each score."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from stepflow_client import StepflowRuntime
from stepflow_client.evaluation import EvaluationReport

from tests import releases
from tests.server.evaluation_program import REPEAT, VARIANTS

pytestmark = pytest.mark.exhaustive

CASES, KILLS, AT_ONCE = 40, 6, 8


def lines(file: Path) -> Counter[str]:
    return Counter(file.read_text("utf-8").split())


def test_each_run_and_each_score_is_done_once(worker_runtime: StepflowRuntime, tmp_path: Path) -> None:
    kill_at_random_moments(worker_runtime.url, tmp_path, CASES, KILLS)


def kill_at_random_moments(url: str, folder: Path, count: int, kills: int) -> None:
    """Kill an evaluation at random moments, finish it, and check its runs and scores."""
    program = [sys.executable, "-m", "tests.server.evaluation_program", url, str(folder), str(count)]
    random = Random(4)
    for _ in range(kills):
        with subprocess.Popen(program) as process:
            try:
                process.wait(timeout=random.uniform(0.5, 3))
            except subprocess.TimeoutExpired:
                process.kill()
    subprocess.run(program, check=True)
    names = [f"{variant}-{number}" for variant in VARIANTS for number in range(count)]
    assert lines(folder / "runs") == dict.fromkeys(names, REPEAT)
    assert lines(folder / "judged") == dict.fromkeys(names, REPEAT)
    called = lines(folder / "called")
    assert called.keys() == {f"{name}-{repeat}" for name in names for repeat in range(REPEAT)}
    # A score that was being computed during a kill is computed again.
    assert called.total() - len(called) <= kills * AT_ONCE
    items = list(EvaluationReport.load(folder / "eval"))
    assert len(items) == len(called)
    assert all(item.scores == {"own": True, "flow": int(item.case)} for item in items)


@pytest.fixture(autouse=True)
def needs_journals(release: str) -> None:
    assert releases.number(release) >= (0, 10)
