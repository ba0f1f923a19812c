"""Write the package `stepflow_api` from the OpenAPI description: python scripts/generate_api.py [SPEC] [--output DIR]

The work is done by openapi/regenerate.py. The package contains a copy of it, of the description, and of the settings
and templates, so that users can generate their own bindings (`python -m stepflow_api.regenerate`). Before bindings of
another description replace the package, parts that the client needs and they lack are printed.
"""

from __future__ import annotations

import argparse
import ast
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
CLIENT = ROOT / "packages" / "stepflow-client" / "src" / "stepflow_client"
BANNER = "# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the package stepflow_api from the OpenAPI description.")
    parser.add_argument("spec", nargs="?", default=str(SPEC), metavar="SPEC", help="file or URL; default: %(default)s")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "stepflow_api"
            generate(arguments.spec, package)
            for line in lacking(package):
                print(f"generate_api: {line}", file=sys.stderr)
            replace(arguments.output, package)
    except GenerationError as error:
        print(f"generate_api: {error}", file=sys.stderr)
        return 2
    return 0


def generate(spec: str | Path, output: Path) -> None:
    """Replace `output` with the package for `spec`, including what its users need to generate bindings themselves."""
    regenerate.generate(spec, output, sources=SOURCES, banner=BANNER)
    (output / "regenerate.py").write_text(BANNER + (SOURCES / "regenerate.py").read_text("utf-8"), encoding="utf-8")
    shutil.copytree(SOURCES / "templates", output / "_openapi" / "templates")
    shutil.copy(SOURCES / "codegen.yaml", output / "_openapi")
    if "://" in str(spec):
        (output / "_openapi" / "stepflow.yaml").write_text(regenerate.read(spec), encoding="utf-8")
    else:
        shutil.copyfile(spec, output / "_openapi" / "stepflow.yaml")


def replace(output: Path, package: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(package, output)


def lacking(package: Path) -> list[str]:
    """Return the names that the client uses and a package lacks, as one sentence each."""
    return sorted(
        {
            f"{module}.{name} will be missing; {file.relative_to(CLIENT).as_posix()} uses it."
            for file in sorted(CLIENT.rglob("*.py"))
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            for module, name in _used(node)
            if not _has(package, module, name)
        }
    )


def _used(node: ast.AST) -> list[tuple[str, str]]:
    """Return the names of the package that a statement or expression uses, each with its module."""
    match node:
        case ast.ImportFrom(module=str(module), names=names) if module.startswith("stepflow_api."):
            return [(module, alias.name) for alias in names]
        case ast.Call(func=ast.Name("Operation"), args=[ast.Constant(str(operation)), *_]):
            # The table of operations, which imports the module of each when it is first used.
            tag, _, name = operation.partition(".")
            return [(f"stepflow_api.api.{tag}", name)]
    return []


def _has(package: Path, module: str, name: str) -> bool:
    place = package.joinpath(*module.split(".")[1:])
    if (place / f"{name}.py").exists():
        return True
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return source.exists() and f'"{name}"' in source.read_text("utf-8").replace("'", '"')


if __name__ == "__main__":
    sys.exit(main())
