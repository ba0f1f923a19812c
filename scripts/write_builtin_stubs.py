"""Write `stepflow_client/authoring/builtin.py`: functions for the builtin components, from an embedded server.

Usage: python scripts/write_builtin_stubs.py [--output FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "packages/stepflow-client/src/stepflow_client/authoring/builtin.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=FILE, help="where to write the module")
    output = parser.parse_args().output
    command = ["codegen", "--components", "--local", "--only", "/builtin/*", "-O", str(output)]
    # Not in a folder whose settings or configuration would count.
    subprocess.run([sys.executable, "-m", "stepflow_cli", *command], check=True, cwd=output.absolute().parent)


if __name__ == "__main__":
    main()
