"""The `python -m benchmarks` command."""

from __future__ import annotations

import argparse
import resource
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import environment
from benchmarks.bench import Bench
from benchmarks.cases import CASES
from benchmarks.environment import BENCH_PYTHON, RESULTS, ROOT, SCRATCH
from benchmarks.report import page
from benchmarks.series import Results


def main() -> None:
    options = _options()
    if options.list:
        for name, case in CASES.items():
            print(f"{name:12}{(case.__doc__ or '').splitlines()[0]}")
        return
    # The server inherits this limit. It needs a thousand file descriptors for the streams.
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    SCRATCH.mkdir(parents=True, exist_ok=True)
    environment.prepare()
    now = datetime.now(UTC)
    results = Results(environment.machine(), f"{now:%Y-%m-%d}", options.quick)
    bench = Bench(results, options.quick, options.rounds)
    for name in options.only:
        started = time.monotonic()
        CASES[name](bench)
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    whole = not options.quick and list(options.only) == list(CASES)
    # Only complete runs are worth keeping.
    written = _write(results, RESULTS if whole else SCRATCH)
    print(written.read_text())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the client against its peers.")
    parser.add_argument("--quick", action="store_true", help="a little of everything, in about a minute")
    parser.add_argument("--only", type=_cases, default=list(CASES), metavar="CASE[,CASE]", help="only these cases")
    parser.add_argument("--rounds", type=_positive, help="how many rounds each case has")
    parser.add_argument("--list", action="store_true", help="list the cases")
    return parser.parse_args()


def _cases(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in CASES]:
        raise argparse.ArgumentTypeError(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    return names


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _write(results: Results, folder: Path) -> Path:
    """Write the figures, plots and page, and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / f"{results.started}.json"
    results.save(figures)
    draw: list[str | Path] = [BENCH_PYTHON, "-m", "benchmarks.plots", figures, folder]
    drawn = subprocess.run(draw, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    written = folder / "latest.md"
    written.write_text(page(results, drawn))
    return written


if __name__ == "__main__":
    main()
