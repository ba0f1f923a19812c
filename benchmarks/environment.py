"""The measurement environment: the machine, packages, and tools used only by the benchmarks."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SCRATCH = ROOT / ".build" / "benchmarks"

_VENV = ROOT / ".build" / "bench-venv"
BENCH_PYTHON = _VENV / "bin" / "python"
OUR_PYTHON = Path(sys.executable)
_REQUIREMENTS = ("stepflow-py==0.13.0", "matplotlib~=3.10")
_SHOWN = ("stepflow-client", "stepflow-orchestrator", "httpx", "httptools", "pydantic")
_SHOWN_UPSTREAM = ("stepflow-py", "grpcio", "protobuf")


def prepare() -> None:
    """Create the environment with the upstream client and plotting library, unless it already exists."""
    made = _VENV / ".made"
    wanted = "\n".join(_REQUIREMENTS)
    if made.exists() and made.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", _VENV], check=True)
    pip: list[str | Path] = [BENCH_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *_REQUIREMENTS], check=True)
    made.write_text(wanted)


def machine() -> dict[str, str]:
    """Return machine properties that affect the figures, but don't identify it."""
    found = {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load at start": f"{os.getloadavg()[0]:.2f}",
    }
    found |= {name: version(name) for name in _SHOWN}
    code = f"from importlib.metadata import version\nfor name in {_SHOWN_UPSTREAM!r}: print(version(name))"
    said = subprocess.run([BENCH_PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout
    return found | dict(zip(_SHOWN_UPSTREAM, said.split(), strict=True))


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
