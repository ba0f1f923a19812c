"""Generate the `stepflow_api` package from the OpenAPI description: generate_api.py [SPEC] [--output DIR] [--force]

openapi/regenerate.py does the work. The package includes copies of it, the description, the settings and the templates,
so that users can generate their own bindings (`python -m stepflow_api.regenerate`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from openapi import regenerate  # noqa: E402
from openapi.regenerate import GenerationError  # noqa: E402

SOURCES = ROOT / "openapi"
SPEC = SOURCES / "stepflow.yaml"
OUTPUT = ROOT / "packages" / "stepflow-api" / "src" / "stepflow_api"
BANNER = "# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the package stepflow_api from the OpenAPI description.")
    parser.add_argument("spec", nargs="?", default=str(SPEC), metavar="SPEC", help="file or URL; default: %(default)s")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace the package even if the client cannot use it")
    arguments = parser.parse_args()
    try:
        generate(arguments.spec, arguments.output, force=arguments.force)
    except GenerationError as error:
        print(f"generate_api: {error}", file=sys.stderr)
        return 2
    return 0


def generate(spec: str | Path, output: Path, *, force: bool = False) -> None:
    """Replace `output` with the package for `spec`, including what users need to generate bindings themselves.

    Also compares our own description with the one used for the checked-out package, or any other description with ours.
    """
    written_from = OUTPUT / "_openapi" / "stepflow.yaml"
    needed = written_from if Path(spec).resolve() == SPEC and written_from.exists() else SPEC
    with tempfile.TemporaryDirectory() as folder:
        package = regenerate.build(spec, Path(folder), needed=needed, sources=SOURCES, banner=BANNER, force=force)
        for name in ("regenerate.py", "comparison.py"):
            (package / name).write_text(BANNER + (SOURCES / name).read_text("utf-8"), encoding="utf-8")
        shutil.copytree(SOURCES / "templates", package / "_openapi" / "templates")
        shutil.copy(SOURCES / "codegen.yaml", package / "_openapi")
        (package / "_openapi" / "stepflow.yaml").write_text(regenerate.read(spec), encoding="utf-8")
        regenerate.replace(output, package)


if __name__ == "__main__":
    sys.exit(main())
