"""Offline flow checks, for large flows in both step orders and many small files in one command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.environment import SCRATCH
from benchmarks.processes import time_command
from benchmarks.workload import FLOW

CASE = "check"
STEP_TIME, FILE_TIME = "CPU time of a step, µs", "wall time of a file above the first, ms"
IN_ORDER, REVERSED = "steps in order", "steps in reverse order"
COMMAND = "stepflow validate --offline"
FILES = "1,000 files"
_WAYS = (IN_ORDER, REVERSED)


def measure(bench: Bench) -> None:
    """Measure time per step in flows of 100 to 10,000 steps, and time per small file among 1,000."""
    with bench.offline_workers(_WAYS) as workers:
        for steps in (100, 3_000, 10_000):
            for _ in bench.count_rounds(7, 1):
                for way, worker in workers.items():
                    asked = {"is_reversed": way == REVERSED, "steps": steps, "repeat": max(1, 1_000 // steps)}
                    taken = worker.ask("offline", function="check_steps", **asked).value
                    bench.results.add(CASE, STEP_TIME, f"{steps:,} steps", way, taken * 1e6)
    folder = SCRATCH / "flows"
    (folder / "one").mkdir(parents=True, exist_ok=True)
    (folder / "many").mkdir(exist_ok=True)
    for path in (folder / "one" / "0.json", *(folder / "many" / f"{number}.yaml" for number in range(1_000))):
        path.write_text(json.dumps(FLOW, indent=1))
    for _ in bench.count_rounds(5, 1):
        one, many = (_time(folder / name) for name in ("one", "many"))
        bench.results.add(CASE, FILE_TIME, FILES, COMMAND, (many - one) / 999 * 1000)


def _time(folder: Path) -> float:
    stepflow = Path(sys.executable).with_name("stepflow")
    taken, _ = time_command([stepflow, "validate", "--offline", folder])
    return taken
