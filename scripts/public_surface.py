"""Compare the public interfaces with tests/surface: python scripts/public_surface.py [--rewrite | --release]

- client.txt: public names in stepflow_client and its public modules, with signatures, read from the source
- command.txt: every `stepflow` command with its arguments and flags

Removed or changed lines break callers. To record new lines, use `--rewrite`. Without it, any difference is printed
and the exit code is 1.

tests/surface/released has the last release's snapshots, written by `--release`. A public name or argument may only be
removed if it was deprecated there: for names, with `@deprecated` (PEP 702), and for arguments, with a description in
`Args:` that starts with `Deprecated`. Before the first release, the files are empty and anything may change.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import griffe
from stepflow_cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOTS = ROOT / "tests" / "surface"
RELEASED = SNAPSHOTS / "released"
SOURCES = ROOT / "packages" / "stepflow-client" / "src"
PUBLIC_MODULES = (
    "authoring",
    "drawing",
    "errors",
    "evaluation",
    "events",
    "flow_models",
    "flows",
    "history",
    "logs",
    "progress",
    "testing",
    "types",
    "tools",
    "web",
)
"""Modules whose `__all__` is public, in addition to the package's own."""
MADE_HERE = frozenset(
    {
        *("EventStream", "OutcomeStream", "RunPager", "SyncEventStream", "SyncOutcomeStream", "SyncRunPager"),
        *("RunHandle", "SyncRunHandle", "PlainReader", "SyncPlainReader", "InputStream", "OutcomeWriter"),
        *("StepflowRuntime", "Drawing", "RunItems", "PlainResult", "PlainRun", "FlowTool", "SyncFlowTool", "Component"),
    }
)
"""Classes that only this package instantiates, so their constructors are private."""
DEPRECATED = "  # deprecated"
"""Marks a deprecated name. If followed by a colon, the arguments listed there are deprecated instead."""


@cache
def client_lines(sources: Path = SOURCES) -> list[str]:
    """Return a line for each public name in stepflow_client and its public modules, and for each class member."""
    return [line for name, found in public_objects(sources).items() for line in _object_lines(name, found)]


@cache
def public_objects(sources: Path = SOURCES) -> dict[str, Any]:
    """Return the public functions, classes and values in stepflow_client and its public modules, by name."""
    package = griffe.load("stepflow_client", search_paths=[str(sources)], resolve_aliases=True)
    objects: dict[str, Any] = {}
    known: set[str] = set()
    waiting = [("", package), *((f"{module}.", package[module]) for module in PUBLIC_MODULES)]
    for prefix, where in waiting:
        for name in sorted(str(each).strip("'\"") for each in where.exports or []):
            found = where[name].final_target if where[name].is_alias else where[name]
            if found.is_module and name in (found.exports or []):
                # A module named after the function in it.
                found = found[name]
            if found.path in known:
                continue
            known.add(found.path)
            if found.is_module:
                # A module that is itself exported, e.g. `authoring.on_error`.
                waiting.append((f"{prefix}{name}.", found))
            else:
                objects[f"{prefix}{name}"] = found
    return objects


def public_members(found: Any) -> dict[str, Any]:
    """Return a class's public members by name, including its constructor unless only this package creates instances.

    A `Model`'s constructor accepts its fields.
    """
    names = sorted(name for name in found.all_members if not name.startswith("_") and name != "model_config")
    create = found.all_members.get("__init__")
    is_of_model = create is not None and create.canonical_path.endswith(".Model.__init__")
    if create is not None and found.name not in MADE_HERE and not is_of_model:
        names.insert(0, "__init__")
    members = {name: found.all_members[name] for name in names}
    return {name: each.final_target if each.is_alias else each for name, each in members.items()}


def _object_lines(name: str, found: Any) -> Iterator[str]:
    if found.is_function:
        yield f"{'async ' if 'async' in found.labels else ''}{name}{_signature(found)}{_deprecations(found)}"
    elif found.is_class:
        yield f"class {name}({', '.join(str(base) for base in found.bases)}){_deprecations(found)}"
        for member, target in public_members(found).items():
            yield from _member_lines(f"{name}.{member}", target)
    else:
        yield f"{name} = {found.value if found.value is not None else found.annotation}"


def _member_lines(name: str, member: Any) -> Iterator[str]:
    if member.is_function:
        yield f"{'async ' if 'async' in member.labels else ''}{name}{_signature(member)}{_deprecations(member)}"
    elif member.is_attribute:
        read_only = " (read-only)" if "property" in member.labels else ""
        value = f" = {member.value}" if member.value is not None else ""
        yield f"{name}: {member.annotation}{value}{read_only}{_deprecations(member)}"


def _deprecations(found: Any) -> str:
    """Return the deprecation marker for a name or for its arguments."""
    decorators = [str(each.value) for each in getattr(found, "decorators", ())]
    if any(re.match(r"(?:[\w.]+\.)?deprecated\(", each) for each in decorators):
        return DEPRECATED
    text = found.docstring.value if found.docstring is not None else ""
    names = re.findall(r"^ {4}(\w+): Deprecated\b", text, re.MULTILINE)
    return f"{DEPRECATED}: {', '.join(names)}" if names else ""


def removals(released: list[str], now: list[str]) -> list[str]:
    """Return names and arguments removed since a release that were not deprecated in it."""
    known = {name: arguments for name, arguments, _ in map(_parts, now)}
    gone: list[str] = []
    for line in released:
        name, arguments, deprecated = _parts(line)
        if deprecated is None:
            continue
        if name not in known:
            gone.append(name)
        else:
            missing = arguments - known[name] - deprecated
            gone += [f"{name}({each}=)" for each in sorted(missing)]
    return gone


def _parts(line: str) -> tuple[str, set[str], set[str] | None]:
    """Parse a line of client.txt into a name, arguments and deprecated arguments (None if the name itself is)."""
    text, mark, names = line.partition(DEPRECATED)
    deprecated = None if mark and not names else set(re.findall(r"\w+", names))
    start = re.match(r"(?:class |async )?([\w.]+)", text)
    assert start is not None, line
    if text.startswith("class ") or text[start.end() : start.end() + 1] != "(":
        return start[1], set(), deprecated
    function = ast.parse(f"def function{text[start.end() :]}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    return start[1], {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}, deprecated


def _signature(function: Any) -> str:
    parts: list[str] = []
    marked = False
    for parameter in function.parameters:
        if parameter.name.startswith("_"):
            continue
        kind = str(parameter.kind.value)
        if kind == "keyword-only" and not marked:
            parts, marked = [*parts, "*"], True
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        marked = marked or stars == "*"
        annotation = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = f" = {parameter.default}" if parameter.default is not None and not stars else ""
        parts.append(f"{stars}{parameter.name}{annotation}{default}")
    return f"({', '.join(parts)}) -> {function.returns}"


def command_lines(command: click.Command = cli, path: str = "stepflow") -> list[str]:
    """Return a line for each command, argument and flag, including hidden ones."""
    lines = [path]
    for parameter in command.params:
        names = "/".join(sorted([*parameter.opts, *parameter.secondary_opts]))
        kind = _kind_of(parameter)
        required = " required" if parameter.required else ""
        repeated = " repeatable" if parameter.multiple or parameter.nargs == -1 else ""
        lines.append(f"{path} {names} {kind}{required}{repeated}")
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            lines += command_lines(below, f"{path} {name}")
    return lines


def _kind_of(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return "flag"
    if isinstance(parameter.type, click.Choice):
        return "|".join(str(choice) for choice in parameter.type.choices)
    return parameter.type.name


SURFACES: dict[str, Callable[[], list[str]]] = {
    "client.txt": client_lines,
    "command.txt": command_lines,
}
REWRITE = ".venv/bin/python scripts/public_surface.py --rewrite"
WHO_BREAKS = {
    "client.txt": "programs that use these names stop working",
    "command.txt": "scripts that use these flags stop working",
}


def differences(name: str, now: list[str]) -> str:
    """Return the differences from a snapshot and how to resolve them, or "" if there are none."""
    before = (SNAPSHOTS / name).read_text("utf-8").splitlines()
    gone = [f"  - {line}" for line in before if line not in set(now)]
    new = [f"  + {line}" for line in now if line not in set(before)]
    parts: list[str] = []
    if gone:
        parts += [f"tests/surface/{name}: gone or changed; {WHO_BREAKS[name]}:", *gone]
        parts += ["Restore them, or keep the old form working. If the break is intended, say so in CHANGELOG.md."]
    if new:
        parts += [f"tests/surface/{name}: new:", *new]
    if parts:
        parts += [f"If this is intended, run `{REWRITE}` and commit tests/surface."]
    return "\n".join(parts)


def undeprecated() -> str:
    """Return a message about anything removed since the last release without deprecation, or "" if nothing was."""
    gone = removals((RELEASED / "client.txt").read_text("utf-8").splitlines(), client_lines())
    if not gone:
        return ""
    told = ["gone since the last release, in which they were not deprecated:", *(f"  - {each}" for each in gone)]
    return "\n".join([*told, "Restore them and deprecate them: see docs/stability.md."])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rewrite", action="store_true", help="write the snapshots anew")
    parser.add_argument("--release", action="store_true", help="write the snapshots anew, also as those of a release")
    asked = parser.parse_args()
    told: list[str] = []
    for name, lines in SURFACES.items():
        if asked.rewrite or asked.release:
            content = "".join(f"{line}\n" for line in lines())
            (SNAPSHOTS / name).write_text(content, encoding="utf-8")
            if asked.release and name == "client.txt":
                (RELEASED / name).write_text(content, encoding="utf-8")
        elif text := differences(name, lines()):
            told.append(text)
    told += filter(None, [undeprecated()])
    print(*told, sep="\n", end="\n" if told else "", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
