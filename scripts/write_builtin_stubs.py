"""Write `stepflow_client/authoring/builtin.py`: functions for the builtin components, from an embedded server.

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=FILE, help="where to write the module")
    output = parser.parse_args().output
    stepflow = [sys.executable, "-m", "stepflow_cli"]
    with tempfile.TemporaryDirectory() as folder:
        # In a folder without settings. An embedded server has no route to /builtin/load_file unless it is asked for.
        listed = [*stepflow, "components", "list", "--local", "--no-hide-unreachable", "-o", "json"]
        found = subprocess.run(listed, check=True, cwd=folder, stdout=subprocess.PIPE).stdout
        (Path(folder) / "components.json").write_bytes(found)
        words = ["--from", "components.json", "--only", "/builtin/*", "-O", str(output.absolute())]
        subprocess.run([*stepflow, "components", "stubs", *words], check=True, cwd=folder)


if __name__ == "__main__":
    main()
