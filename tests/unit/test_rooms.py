"""Who may import whom inside of the client: imports go downwards only.

Imports for type checkers count as well; those inside of functions do not: they are what keeps the start fast.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import stepflow_client

ROOT = Path(stepflow_client.__file__).parent
PACKAGE = "stepflow_client"

ROOMS = {
    # Room: the rooms below it. Modules at the top of the package are no room of their own.
    "_http": set(),
    "_rules": {"_http"},
    "_codec": {"_rules", "flows"},
    "flows": {"_codec", "_rules"},
    "_stores": {"_codec", "_rules", "flows"},
    "_display": {"_rules"},
    "transport": {"_http", "_rules", "_codec"},
    "parts": {"transport", "_http", "_rules", "_codec", "flows", "_stores", "_display"},
    "_embedded": {"parts", "_codec", "_rules", "flows"},
    "drawing": {"parts", "_rules", "_codec", "flows"},
    "testing": {"parts", "flows"},
}
PAIRS = [{"errors", "types"}]
"""An error carries the result it is about, and a result raises it."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def room(module: str) -> str | None:
    parts = module.split(".")[1:]
    if parts[:1] in (["_async"], ["_sync"]):
        return "transport" if parts[1:2] == ["transport"] else "parts"
    return parts[0] if parts and parts[0] in ROOMS else None


def statements(body: list[ast.stmt]) -> Iterator[ast.ImportFrom]:
    for node in body:
        if isinstance(node, ast.ImportFrom):
            yield node
        elif isinstance(node, (ast.If, ast.Try)):
            yield from statements([*node.body, *node.orelse])


def imported(module: str) -> set[str]:
    path = MODULES[module]
    base = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in statements(ast.parse(path.read_text("utf-8")).body):
        if node.level:
            source = ".".join([*base[: len(base) - node.level + 1], *([node.module] if node.module else [])])
        else:
            source = node.module or ""
        for name in node.names:
            inner = f"{source}.{name.name}"
            found.add(inner if inner in MODULES else source)
    return {each for each in found if each in MODULES and each != module}


GRAPH = {module: imported(module) for module in MODULES}


def test_there_is_something_to_look_at() -> None:
    assert len(GRAPH) > 100
    assert f"{PACKAGE}._http.messages" in GRAPH[f"{PACKAGE}._rules.transient"]


def allowed(own: str) -> str:
    return f"only {', '.join(sorted(ROOMS[own]))}" if ROOMS[own] else "no other room"


def test_rooms_import_only_what_lies_below() -> None:
    wrong = [
        f"{module} imports {other}, but {own} may import {allowed(own)}"
        for module, others in GRAPH.items()
        for other in others
        if (own := room(module)) and (its := room(other)) and own != its and its not in ROOMS[own]
    ]
    if wrong:
        wrong += ["Move what is needed to a lower room, or import it inside the function that needs it."]
        pytest.fail("\n".join(wrong), pytrace=False)


def test_nothing_imports_in_a_circle() -> None:
    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        open_ones = [start]
        while open_ones:
            for each in GRAPH[open_ones.pop()] - seen:
                seen.add(each)
                open_ones.append(each)
        return seen

    # The package itself imports all that is public, lazily.
    circles = {
        module.removeprefix(f"{PACKAGE}.")
        for module in GRAPH
        if module != PACKAGE and module in {each for each in reached(module) if each != PACKAGE}
    }
    assert circles <= set().union(*PAIRS), f"these import each other, directly or not: {sorted(circles)}"


def test_the_rules_do_no_input_or_output() -> None:
    forbidden = {"asyncio", "socket", "ssl", "httpx", "subprocess", "urllib.request"}
    for module, path in MODULES.items():
        if room(module) in ("_rules", "_codec"):
            tree = ast.parse(path.read_text("utf-8"))
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not names & forbidden, f"{module} does I/O: move that to _async/ or _http/"
