"""Regenerate all generated files: python scripts/generate.py [SPEC] [--force]

If a step fails, nothing is changed. With --force, the bindings are replaced even if the client can't use the new ones.
If a later step then fails, only that step's files stay unchanged.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_generated import TARGETS
from generate_api import SPEC


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", default=str(SPEC), metavar="SPEC", help="file or URL; default: %(default)s")
    parser.add_argument(
        "--force", action="store_true", help="replace bindings even if the client cannot use the new ones"
    )
    arguments = parser.parse_args()
    bindings, *others = dict.fromkeys(target.script for target in TARGETS)
    steps = [[bindings, arguments.spec, *(["--force"] if arguments.force else [])], *([script] for script in others)]
    with tempfile.TemporaryDirectory() as folder:
        backups = {target: Path(folder) / str(number) for number, target in enumerate(TARGETS)}
        for target, backup in backups.items():
            copy(target.path, backup)
        for step in steps:
            status = 1
            try:
                status = subprocess.run([sys.executable, *step], check=False).returncode
            finally:
                if status:
                    for target, backup in backups.items():
                        if target.script == step[0] or not arguments.force:
                            copy(backup, target.path)
            if status and (step[0] == bindings or not arguments.force):
                if step[0] != bindings:
                    print(f"generate: {step[0].name} failed, so no generated file was changed", file=sys.stderr)
                return status
    return 0


def copy(source: Path, target: Path) -> None:
    """Replace a file or folder with a copy of another."""
    shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy2(source, target)


if __name__ == "__main__":
    sys.exit(main())
