# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Write a package of bindings from an OpenAPI description: python -m stepflow_api.regenerate SPEC --output DIR

SPEC is a file or an http(s) URL, by default the description of release 0.13; the name of DIR is that of the package.
It needs the extra `stepflow-api[generate]`. The result depends on nothing but the description, the settings and
templates beside this module, and the versions of openapi-python-client and ruff. Operations have the names of ours,
whatever the description calls them. The command lists the differences that matter to the client. An old package at DIR
is replaced only if the new one can be imported and has what the client needs, or with --force.
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

from .comparison import BREAKING, METHODS, align, differences, listed, mapping, operations, target

SOURCES = Path(__file__).resolve().parent / "_openapi"
BANNER = "# Written by `python -m stepflow_api.regenerate` from an OpenAPI description. Do not edit.\n"
RUFF = ("--isolated", "--no-cache", "--quiet", "--line-length=110", "--target-version=py311")
REFUSAL = "nothing was replaced, because {}; to replace the bindings anyway, use --force."
# Imports all of a package named stepflow_api in a folder, and what an installed client imports of it.
CHECK = """
import importlib, importlib.util, pathlib, pkgutil, re, sys
sys.path.insert(0, sys.argv[1])
import stepflow_api
for module in pkgutil.walk_packages(stepflow_api.__path__, "stepflow_api."):
    importlib.import_module(module.name)
if client := importlib.util.find_spec("stepflow_client"):
    for file in pathlib.Path(client.origin).parent.rglob("*.py"):
        for line in re.findall(r"(?m)^ *(from stepflow_api[.\\w]* import [\\w, ]+)$", file.read_text("utf-8")):
            exec(line)
    for operation in importlib.import_module("stepflow_client._rules.operations_and_releases").OPERATIONS.values():
        operation.method
"""


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
    parser.add_argument("--force", action="store_true", help="write it even if the client cannot use it")
    arguments = parser.parse_args()
    try:
        if not arguments.output.resolve().name.isidentifier():
            raise GenerationError(f"{arguments.output.resolve().name!r} cannot be the name of a package.")
        generate(arguments.spec, arguments.output, force=arguments.force)
    except GenerationError as error:
        print(f"regenerate: {error}", file=sys.stderr)
        return 2
    return 0


def generate(spec: str | Path, output: Path, *, force: bool = False) -> None:
    """Replace `output` by the package that `spec` describes.

    Args:
        spec: A file or an http(s) URL, YAML or JSON.
        output: The folder of the package. One that is no generated package is left alone.
        force: Whether to replace it by a package that the client cannot use.

    Raises:
        GenerationError: The description cannot be used, or the output is not to be replaced.
    """
    if output.exists() and any(output.iterdir()) and not _is_generated(output):
        raise GenerationError(f"{output} holds something else than a generated package; name another folder.")
    with tempfile.TemporaryDirectory() as folder:
        replace(output, build(spec, Path(folder), force=force))


def build(
    spec: str | Path,
    folder: Path,
    *,
    needed: Path = SOURCES / "stepflow.yaml",
    sources: Path = SOURCES,
    banner: str = BANNER,
    force: bool = False,
) -> Path:
    """Write the package that `spec` describes into an empty folder, and return its path.

    Args:
        spec: A file or an http(s) URL, YAML or JSON.
        folder: The folder.
        needed: The description that the client was written for. Differences are printed.
        sources: The folder with the generator's settings and templates.
        banner: The first line of every module.
        force: Whether to write a package that the client cannot use.

    Raises:
        GenerationError: The description or the package cannot be used.
    """
    if find_spec("openapi_python_client") is None or find_spec("yaml") is None:
        raise GenerationError('the generator is missing; install it with `pip install "stepflow-api[generate]"`.')
    description, ours = _load(spec), _load(needed)
    _check_references(description, spec)
    if not {each.key for each in operations(description)} & {each.key for each in operations(ours)}:
        raise GenerationError(f"{spec} describes another API: it has none of the operations of a Stepflow server.")
    align(_load(sources / "stepflow.yaml"), description)
    _check_names(description, spec)
    if found := differences(ours, description):
        print(f"{spec}, compared with the description that the client was written for:", file=sys.stderr)
        for kind, sentences in found.items():
            print(*(f"  {kind}: {sentence}" for sentence in sentences), sep="\n", file=sys.stderr)
    count = sum(len(found.get(kind, ())) for kind in BREAKING)
    if count and not force:
        raise GenerationError(REFUSAL.format(f"the client does not work with {count} of these differences"))
    _describe_parameters(description)
    # A fixed name: the generator's messages and output must not depend on where the description lies.
    document = folder / "openapi.json"
    document.write_text(json.dumps(description), encoding="utf-8")
    package = folder / "stepflow_api"
    _run_generator(document, package, spec, sources)
    _finish(package, banner)
    try:
        _run(sys.executable, "-B", "-c", CHECK, str(folder))
    except GenerationError as error:
        if not force:
            raise GenerationError(REFUSAL.format(f"the client cannot import the new bindings ({error})")) from None
    return package


def replace(output: Path, package: Path) -> None:
    """Replace a package by another one, which need not be on the same disk. If this fails, the old one stays."""
    output = output.resolve()
    new, old = (output.with_name(f".{output.name}.{word}") for word in ("new", "old"))
    try:
        shutil.copytree(package, new)
        if output.exists():
            output.rename(old)
        new.rename(output)
    except OSError as error:
        raise GenerationError(f"cannot write {output}: {error.strerror or error}.") from None
    finally:
        if old.exists() and not output.exists():
            old.rename(output)
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)


def _is_generated(package: Path) -> bool:
    first = package / "__init__.py"
    return first.exists() and first.read_text(encoding="utf-8").startswith("# Written by ")


def _check_names(description: dict[str, Any], spec: str | Path) -> None:
    """Raise GenerationError if two operations have the same name: the generator would drop one of them."""
    places: dict[str, str] = {}
    for each in operations(description):
        place = f"{each.method.upper()} {each.path}"
        if (other := places.setdefault(each.name, place)) != place:
            raise GenerationError(f"the description {spec} calls both {other} and {place} {each.name}.")


def _check_references(description: dict[str, Any], spec: str | Path) -> None:
    """Raise GenerationError for a reference inside of the description that leads nowhere, with its place."""
    waiting: list[tuple[str, Any]] = [("", description)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(f"{place}[{index}]", each) for index, each in enumerate(value)]
        elif isinstance(value, dict):
            waiting += [(f"{place}.{key}".lstrip("."), each) for key, each in value.items()]
            reference = value.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/") and target(description, reference) is None:
                raise GenerationError(
                    f"the description {spec} refers to {reference}, which does not exist, at {place}."
                )


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
    try:
        # YAML anchors share objects; changes of one place must not reach others.
        copied: dict[str, Any] = json.loads(json.dumps(description, default=str), object_hook=_simplify)
    except (ValueError, RecursionError):
        raise GenerationError(f"the description {spec} contains itself.") from None
    return copied


def _simplify(node: dict[str, Any]) -> dict[str, Any]:
    """Remove from schemas what the generator refuses: the schema `true`, and defaults, which it would always send."""
    if any(isinstance(node.get(keyword), (str, list)) for keyword in ("type", "allOf", "anyOf", "oneOf", "$ref")):
        node.pop("default", None)
    if node.get("items") is True:
        node["items"] = {}
    for name in [name for name, schema in mapping(node.get("properties")).items() if schema is True]:
        node["properties"][name] = {}
    return node


def _loader() -> Any:
    """Return a safe loader that reads dates as text: JSON has no dates, and an example must stay what it was."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


def _describe_parameters(description: dict[str, Any]) -> None:
    """Copy each parameter's description into its schema, the only place where the generator looks."""
    places = [mapping(description.get("components"))]
    for item in mapping(description.get("paths")).values():
        places += [mapping(item), *(mapping(mapping(item).get(method)) for method in METHODS)]
    for place in places:
        parameters = place.get("parameters")
        for parameter in listed(parameters) or mapping(parameters).values():
            words = mapping(parameter).get("description")
            schema = mapping(mapping(parameter).get("schema"))
            if words and "$ref" not in schema:
                schema.setdefault("description", words)


def _run_generator(document: Path, package: Path, spec: str | Path, sources: Path) -> None:
    # Our templates include those that they change.
    templates = shutil.copytree(sources / "templates", document.parent / "templates")
    origin = find_spec("openapi_python_client").origin  # type: ignore[union-attr]
    shutil.copytree(Path(str(origin)).parent / "templates", templates / "generator")
    command = [
        *(
            sys.executable,
            "-m",
            "openapi_python_client",
            "generate",
            "--path",
            str(document),
            "--output-path",
            str(package),
        ),
        *("--meta", "none", "--overwrite", "--fail-on-warning", "--config", str(sources / "codegen.yaml")),
        *("--custom-template-path", str(templates)),
    ]
    try:
        _run(*command, cwd=document.parent)
    except GenerationError as error:
        raise GenerationError(f"the generator refuses the description {spec}: {error}") from None


def _run(*command: str, cwd: Path | None = None) -> None:
    # The generator walks over sets in places; a fixed seed gives them one order.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=cwd, check=False
    )
    if done.returncode != 0:
        raise GenerationError(_reason(done.stderr))


def _reason(output: str) -> str:
    """Pick the error out of the decorated output of the generator, or out of a traceback."""
    if "Traceback" in output:
        return re.sub(r" \(/.*\)$", "", output.strip().splitlines()[-1])
    noise = ("Error(s) encountered", "Warning(s) encountered", "If you believe this was a mistake")
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.strip().startswith(noise)]
    # Schemas that cannot be used come after the operations that use them.
    text = " ".join(next((lines[number:] for number, line in enumerate(lines) if line.startswith("Unable to")), lines))
    return text if len(text) <= 400 else text[:400] + "..."


def _finish(package: Path, banner: str) -> None:
    """Sort imports, format, and say in every file where it comes from."""
    for file in package.rglob("*.py"):
        file.write_text(_defer_imports(file.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff"
    _run(ruff, "check", *RUFF, "--select=I,F401,F841", "--fix-only", str(package))
    _run(ruff, "format", *RUFF, str(package))
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
    deferred = "from typing import TYPE_CHECKING\n\nfrom ... import models\n\nif TYPE_CHECKING:\n    import httpx\n"
    for module, name in re.findall(r"^from \.\.\.(client|models\.\w+) import (.*)\n", text, flags=re.MULTILINE):
        text = text.replace(f"\nfrom ...{module} import {name}\n", "\n", 1)
        if module == "client":
            deferred += f"    from ...client import {name}\n"
            continue
        # The package of the models imports them on first use. Docstrings keep the bare name.
        code = text.split('"""')
        code[::2] = [re.sub(rf'(?<![\w."]){name}\b', f"models.{name}", each) for each in code[::2]]
        text = '"""'.join(code)
    # The generator indents the second paragraph of a docstring by a blank too many.
    text = re.sub(r"^     (?=\S)", "    ", text, flags=re.MULTILINE)
    text = text.replace("\nimport httpx\n", f"\n{deferred}", 1)
    text = re.sub(r"^( +)(self\._(?:async_)?client = httpx\.)", r"\1import httpx\n\n\1\2", text, flags=re.MULTILINE)
    return f"from __future__ import annotations\n\n{text}"


if __name__ == "__main__":
    sys.exit(main())
