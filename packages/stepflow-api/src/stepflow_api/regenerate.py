# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Write a package of bindings from an OpenAPI description: python -m stepflow_api.regenerate SPEC --output DIR

SPEC is a file or an http(s) URL, by default the description of release 0.13; the name of DIR is that of the package.
It needs the extra `stepflow-api[generate]`. The result depends on nothing but the description, the settings and
templates beside this module, and the versions of openapi-python-client and ruff. An old package at DIR is replaced only
after everything went well.
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parent / "_openapi"
BANNER = "# Written by `python -m stepflow_api.regenerate` from an OpenAPI description. Do not edit.\n"
RUFF = ("--isolated", "--no-cache", "--quiet", "--line-length=110", "--target-version=py311")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class GenerationError(Exception):
    """The description cannot be used; the message is one sentence for the user."""


def main() -> int:
    """Run the command; a description that cannot be used is one sentence and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m stepflow_api.regenerate",
        description="Write a package of bindings from an OpenAPI description of a Stepflow server.",
    )
    parser.add_argument(
        "spec",
        nargs="?",
        default=str(SOURCES / "stepflow.yaml"),
        metavar="SPEC",
        help="file or URL; default: the own one",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the package to write or replace")
    arguments = parser.parse_args()
    try:
        if not arguments.output.resolve().name.isidentifier():
            raise GenerationError(f"{arguments.output.resolve().name!r} cannot be the name of a package.")
        generate(arguments.spec, arguments.output)
    except GenerationError as error:
        print(f"regenerate: {error}", file=sys.stderr)
        return 2
    return 0


def generate(spec: str | Path, output: Path, *, sources: Path = SOURCES, banner: str = BANNER) -> None:
    """Replace `output` by the package that `spec` describes.

    Args:
        spec: A file or an http(s) URL, YAML or JSON.
        output: The folder of the package. One that is no generated package is left alone.
        sources: The folder with the generator's settings and templates.
        banner: The first line of every module.

    Raises:
        GenerationError: The description cannot be used, or the output is not to be replaced.
    """
    if find_spec("openapi_python_client") is None or find_spec("yaml") is None:
        raise GenerationError('the generator is missing; install it with `pip install "stepflow-api[generate]"`.')
    if output.exists() and any(output.iterdir()) and not _is_generated(output):
        raise GenerationError(f"{output} holds something else than a generated package; name another folder.")
    description = _load(spec)
    _check_references(description, spec)
    _describe_parameters(description)
    with tempfile.TemporaryDirectory() as folder:
        # A fixed name: the generator's messages and output must not depend on where the description lies.
        document = Path(folder) / "openapi.json"
        document.write_text(json.dumps(description, default=str), encoding="utf-8")
        package = Path(folder) / "stepflow_api"
        _run_generator(document, package, spec, sources)
        if not _operations(description) & _operations(_load(sources / "stepflow.yaml")):
            raise GenerationError(f"{spec} describes another API: it has none of the operations of a Stepflow server.")
        _finish(package, banner)
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(package, output)


def _is_generated(package: Path) -> bool:
    first = package / "__init__.py"
    return first.exists() and first.read_text(encoding="utf-8").startswith("# Written by ")


def _operations(description: dict[str, Any]) -> set[str]:
    """Return the ids of the operations of a description."""
    items = _mapping(description.get("paths")).values()
    operations = [_mapping(_mapping(item).get(method)) for item in items for method in METHODS]
    return {str(operation["operationId"]) for operation in operations if "operationId" in operation}


def _check_references(description: dict[str, Any], spec: str | Path) -> None:
    """Raise GenerationError for a reference inside of the description that leads nowhere, with its place."""
    waiting: list[tuple[str, Any]] = [("", description)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(f"{place}[{index}]", each) for index, each in enumerate(value)]
        elif isinstance(value, dict):
            waiting += [(f"{place}.{key}".lstrip("."), each) for key, each in value.items()]
            target = value.get("$ref")
            if isinstance(target, str) and target.startswith("#/") and not _leads_somewhere(description, target):
                raise GenerationError(f"the description {spec} refers to {target}, which does not exist, at {place}.")


def _leads_somewhere(description: Any, target: str) -> bool:
    for part in target.removeprefix("#/").split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(description, dict) or part not in description:
            return False
        description = description[part]
    return True


def read(spec: str | Path) -> str:
    """Return the text of a description, from a file or an http(s) URL."""
    try:
        if str(spec).startswith(("http://", "https://")):
            import httpx

            return httpx.get(str(spec), follow_redirects=True, timeout=30).raise_for_status().text
        return Path(spec).read_text(encoding="utf-8")
    except OSError as error:
        raise GenerationError(f"cannot read the description {spec}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise GenerationError(f"the description {spec} is not UTF-8 text.") from None
    except Exception as error:
        raise GenerationError(f"cannot read the description {spec}: {str(error).splitlines()[0]}.") from None


def _load(spec: str | Path) -> dict[str, Any]:
    import yaml

    try:
        description = yaml.load(read(spec), Loader=_loader())  # noqa: S506  a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise GenerationError(f"the description {spec} is not valid YAML: {problem}{place}.") from None
    if not isinstance(description, dict) or "openapi" not in description:
        raise GenerationError(f"{spec} is not an OpenAPI description: it has no key `openapi` at the top.")
    return description


def _loader() -> Any:
    """Return a safe loader that reads dates as text: JSON has no dates, and an example must stay what it was."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


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


def _run_generator(document: Path, package: Path, spec: str | Path, sources: Path) -> None:
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate"),
        *("--path", str(document), "--output-path", str(package), "--meta", "none", "--overwrite"),
        *(
            "--config",
            str(sources / "codegen.yaml"),
            "--custom-template-path",
            str(sources / "templates"),
            "--fail-on-warning",
        ),
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


def _finish(package: Path, banner: str) -> None:
    """Sort imports, format, and say in every file where it comes from."""
    for file in package.rglob("*.py"):
        file.write_text(_defer_imports(file.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"
    _run_ruff(ruff, "check", *RUFF, "--select=I,F401,F841", "--fix-only", str(package))
    _run_ruff(ruff, "format", *RUFF, str(package))
    for file in package.rglob("*.py"):
        file.write_text(banner + file.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
    (package / "py.typed").touch()
    for cache in package.rglob("__pycache__"):
        shutil.rmtree(cache)


def _defer_imports(text: str) -> str:
    """Import httpx, and in operations the client and the models, when they are used.

    What is sent needs none of them; httpx takes 100 ms, and attrs, which the others need, 10.
    """
    if "\nimport httpx\n" not in text:
        return text
    deferred = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import httpx\n"
    for line in re.findall(r"^from \.\.\.(?:client|models\.\w+) import .*\n", text, flags=re.MULTILINE):
        text = text.replace(f"\n{line}", "\n", 1)
        deferred += f"    {line}"
    text = text.replace("\nimport httpx\n", f"\n{deferred}", 1)
    text = re.sub(r"^( +)(self\._(?:async_)?client = httpx\.)", r"\1import httpx\n\n\1\2", text, flags=re.MULTILINE)
    return f"from __future__ import annotations\n\n{text}"


def _run_ruff(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GenerationError(f"ruff cannot format the generated code: {_reason(done.stderr)}")


if __name__ == "__main__":
    sys.exit(main())
