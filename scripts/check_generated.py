"""Fail if any generated file in the repository differs from what `make generate` writes.

Usage: python scripts/check_generated.py

Everything is generated into a temporary folder. Complete trees are compared, to find extra files as well as missing and
edited ones.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Target:
    """A folder or file in the repository, and the script that generates it."""

    path: Path
    script: Path
    arguments: tuple[str, ...] = ()


CLIENT = ROOT / "packages/stepflow-client/src/stepflow_client"
TARGETS = (
    Target(ROOT / "packages/stepflow-api/src/stepflow_api", ROOT / "scripts/generate_api.py", ("--force",)),
    *(
        Target(folder / "_sync", ROOT / "scripts/generate_sync.py", (str(folder),))
        for folder in (CLIENT, CLIENT / "evaluation")
    ),
    Target(CLIENT / "authoring/builtin.py", ROOT / "scripts/write_builtin_stubs.py"),
    Target(ROOT / "docs/cli.md", ROOT / "scripts/write_cli_page.py"),
    Target(ROOT / "docs/reference/schemas.json", ROOT / "scripts/write_schemas.py"),
)


def main() -> int:
    differences: list[str] = []
    for target in TARGETS:
        if target.script.exists():
            differences += check(target)
    if not differences:
        return 0
    print("These files are not what `make generate` writes:", file=sys.stderr)
    for difference in differences:
        print(f"  {difference}", file=sys.stderr)
    print(
        "Run `make generate` and commit the result. Do not edit these files: change what they are written from.",
        file=sys.stderr,
    )
    return 1


def check(target: Target) -> list[str]:
    """Return a message for each of the target's files that differs from what its script generates now."""
    with tempfile.TemporaryDirectory() as temporary:
        # Use a different folder (but the same name) to detect output that depends on the folder.
        output = Path(temporary) / target.path.name
        subprocess.run([sys.executable, str(target.script), *target.arguments, "--output", str(output)], check=True)
        if output.is_file():
            return [] if target.path.read_bytes() == output.read_bytes() else [f"different: {target.path}"]
        return compare(target.path, output)


def compare(actual: Path, expected: Path) -> list[str]:
    """Return a message for each file that differs between the trees, saying what's wrong with the actual one."""
    have, want = _files(actual), _files(expected)
    differences = []
    for name in sorted(have | want):
        if name not in have:
            differences.append(f"missing: {actual / name}")
        elif name not in want:
            differences.append(f"stray: {actual / name}")
        elif (actual / name).read_bytes() != (expected / name).read_bytes():
            differences.append(f"different: {actual / name}")
    return differences


def _files(folder: Path) -> set[Path]:
    return {
        file.relative_to(folder) for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }


if __name__ == "__main__":
    sys.exit(main())
