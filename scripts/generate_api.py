"""Write the package `stepflow_api` from the OpenAPI description.

Usage: python scripts/generate_api.py [SPEC] [--output DIR]

The result depends on nothing but the description, the settings and templates in openapi/ and the pinned
versions of openapi-python-client and ruff. The old package is replaced only after everything went well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "openapi" / "stepflow.yaml"
CONFIG = ROOT / "openapi" / "codegen.yaml"
TEMPLATES = ROOT / "openapi" / "templates"
OUTPUT = ROOT / "packages" / "stepflow-api" / "src" / "stepflow_api"
BANNER = "# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.\n"
RUFF = ("--isolated", "--no-cache", "--quiet", "--line-length=110", "--target-version=py311")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class GenerationError(Exception):
    """The description cannot be used; the message is one sentence for the user."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the package stepflow_api from the OpenAPI description.")
    parser.add_argument("spec", nargs="?", type=Path, default=SPEC, metavar="SPEC", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        generate(arguments.spec, arguments.output)
    except GenerationError as error:
        print(f"generate_api: {error}", file=sys.stderr)
        return 2
    return 0


def generate(spec: Path, output: Path) -> None:
    """Replace `output` by the package that `spec` describes."""
    description = _load(spec)
    _describe_parameters(description)
    with tempfile.TemporaryDirectory() as folder:
        # A fixed name: the generator's messages and output must not depend on where the description lies.
        document = Path(folder) / "openapi.json"
        document.write_text(json.dumps(description, default=str), encoding="utf-8")
        package = Path(folder) / "stepflow_api"
        _run_generator(document, package, spec)
        _finish(package)
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(package, output)


def _load(spec: Path) -> dict[str, Any]:
    try:
        text = spec.read_text(encoding="utf-8")
    except OSError as error:
        raise GenerationError(f"cannot read the description {spec}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise GenerationError(f"the description {spec} is not UTF-8 text.") from None
    try:
        description = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise GenerationError(f"the description {spec} is not valid YAML: {problem}{place}.") from None
    if not isinstance(description, dict) or "openapi" not in description:
        raise GenerationError(f"{spec} is not an OpenAPI description: it has no key `openapi` at the top.")
    return description


class _Loader(yaml.SafeLoader):
    """Reads dates as the text they are: JSON has no dates, and an example must stay what it was."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _describe_parameters(description: dict[str, Any]) -> None:
    """Copy each parameter's description into its schema, the only place where the generator looks."""
    places = [_mapping(description.get("components"))]
    for item in _mapping(description.get("paths")).values():
        places += [_mapping(item), *(_mapping(_mapping(item).get(method)) for method in METHODS)]
    for place in places:
        parameters = place.get("parameters")
        for parameter in parameters if isinstance(parameters, list) else _mapping(parameters).values():
            words = _mapping(parameter).get("description")
            schema = _mapping(_mapping(parameter).get("schema"))
            if words and schema and "$ref" not in schema:
                # A new object: YAML anchors may share one schema between several parameters.
                parameter["schema"] = {"description": words, **schema}


def _mapping(value: object) -> dict[str, Any]:
    """Return a mapping as it is and nothing for anything else: judging the description is the generator's part."""
    return value if isinstance(value, dict) else {}


def _run_generator(document: Path, package: Path, spec: Path) -> None:
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate"),
        *("--path", str(document), "--output-path", str(package), "--meta", "none", "--overwrite"),
        *("--config", str(CONFIG), "--custom-template-path", str(TEMPLATES), "--fail-on-warning"),
    ]
    # The generator walks over sets in places; a fixed seed gives them one order.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=document.parent, check=False
    )
    if done.returncode != 0:
        raise GenerationError(f"the generator refuses the description {spec}: {_reason(done.stderr)}")


def _reason(output: str) -> str:
    """Pick what the generator said of the description out of its decorated output."""
    if "Traceback" in output:
        return output.strip().splitlines()[-1]
    noise = ("Error(s) encountered", "Warning(s) encountered", "If you believe this was a mistake")
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.strip().startswith(noise)]
    text = " ".join(lines)
    return text if len(text) <= 400 else text[:400] + "..."


def _finish(package: Path) -> None:
    """Sort imports, format, and say in every file where it comes from."""
    for file in package.rglob("*.py"):
        file.write_text(_defer_httpx(file.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"
    _run_ruff(ruff, "check", *RUFF, "--select=I,F401,F841", "--fix-only", str(package))
    _run_ruff(ruff, "format", *RUFF, str(package))
    for file in package.rglob("*.py"):
        file.write_text(BANNER + file.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
    (package / "py.typed").touch()
    for cache in package.rglob("__pycache__"):
        shutil.rmtree(cache)


def _defer_httpx(text: str) -> str:
    """Import httpx when a client is made: the models and what is sent need none of it, and it takes 100 ms."""
    if "\nimport httpx\n" not in text:
        return text
    deferred = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import httpx\n"
    text = text.replace("\nimport httpx\n", f"\n{deferred}", 1)
    text = re.sub(r"^( +)(self\._(?:async_)?client = httpx\.)", r"\1import httpx\n\n\1\2", text, flags=re.MULTILINE)
    return f"from __future__ import annotations\n\n{text}"


def _run_ruff(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GenerationError(f"ruff cannot format the generated code: {_reason(done.stderr)}")


if __name__ == "__main__":
    sys.exit(main())
