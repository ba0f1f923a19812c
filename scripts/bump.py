"""Set the version of all packages: python scripts/bump.py x.y.z"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIBLING = re.compile(r'("stepflow-(?:api|client|cli)(?:\[\w+\])?==)[^"]+"')


def main() -> int:
    if len(sys.argv) != 2 or not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", sys.argv[1]):
        print("usage: make bump V=x.y.z", file=sys.stderr)
        return 2
    version = sys.argv[1]
    (ROOT / "VERSION").write_text(f"{version}\n", encoding="utf-8")
    for path in sorted(ROOT.glob("packages/*/pyproject.toml")):
        text = path.read_text(encoding="utf-8")
        path.write_text(SIBLING.sub(rf'\g<1>{version}"', text), encoding="utf-8")
    constant = ROOT / "packages/stepflow-cli/src/stepflow_cli/_version.py"
    text = constant.read_text(encoding="utf-8")
    constant.write_text(re.sub(r'VERSION = ".*"', f'VERSION = "{version}"', text), encoding="utf-8")
    print(f"{version}; now write CHANGELOG.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
