"""Generate `stepflow_client/authoring/builtin.py`: functions for the builtin components, from an embedded server.

Usage: python scripts/write_builtin_stubs.py [--output FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "packages/stepflow-client/src/stepflow_client/authoring/builtin.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=FILE, help="where to write the module")
    output = parser.parse_args().output
    stepflow = [sys.executable, "-m", "stepflow_cli"]
    with tempfile.TemporaryDirectory() as folder:
        # Run in a folder without settings, so that there's no route to /builtin/load_file (the default).
        listed = [*stepflow, "components", "list", "--local", "--no-hide-unreachable", "-o", "json"]
        found = subprocess.run(listed, check=False, cwd=folder, stdout=subprocess.PIPE)
        if found.returncode:
            return found.returncode
        (Path(folder) / "components.json").write_bytes(found.stdout)
        words = ["--from", "components.json", "--only", "/builtin/*", "-O", str(output.absolute())]
        return subprocess.run([*stepflow, "components", "stubs", *words], check=False, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main())
