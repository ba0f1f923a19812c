"""Who may import whom inside of the client: imports go downwards only.

Imports for type checkers count as well, and so do those inside of functions, which keep the start fast.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
import stepflow_client

ROOT = Path(stepflow_client.__file__).parent
PACKAGE = "stepflow_client"

LAYERS = (
    # From the lowest to the highest. A module imports from its own layer and from lower ones.
    "_base",
    "errors",
    "flows.expressions",
    "_data",
    "types",
    "events",
    "progress",
    "logs",
    "_http",
    "_rules",
    "_concurrency",
    "_display",
    "flows",
    "_editing",
    "_checks",
    "_runs",
    "_cases",
    "_records",
    "_codec",
    "_stores",
    "history",
    "result_cache",
    "_telemetry",
    "_calls",
    "transport",
    "facade",
    "web",
    "tools",
    "_embedded",
    "executor",
    "runtime",
    "authoring",
    "flow_models",
    "drawing",
    "evaluation",
    "testing",
)
TYPES_ONLY = {("errors", "types.flows"), ("errors", "types.results")}
"""An error carries the result it is about, and a result raises it: the one import upwards, for type checkers."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def layer(module: str) -> str | None:
    parts = module.split(".")[1:]
    if parts == ["flows"]:
        return None  # public names of several packages, like those of the root
    if ".".join(parts) in LAYERS:
        return ".".join(parts)
    if parts[:1] in (["_async"], ["_sync"]):
        return "transport" if parts[1:2] == ["transport"] else "facade"
    return parts[0] if parts else None


def short(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


def imported(module: str) -> set[str]:
    path = MODULES[module]
    base = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            source = ".".join([*base[: len(base) - node.level + 1], *([node.module] if node.module else [])])
        else:
            source = node.module or ""
        for name in node.names:
            inner = f"{source}.{name.name}"
            found.add(inner if inner in MODULES else source)
    return {
        each for each in found if each in MODULES and each != module and (short(module), short(each)) not in TYPES_ONLY
    }


@cache
def graph() -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    return {module: imported(module) for module in MODULES}


def test_there_is_something_to_look_at() -> None:
    assert len(graph()) > 100
    assert f"{PACKAGE}._http.messages" in graph()[f"{PACKAGE}._rules.request_retries"]


def test_each_module_has_a_layer() -> None:
    assert {layer(module) for module in MODULES} == {None, *LAYERS}


def test_imports_go_downwards() -> None:
    wrong = [
        f"{short(module)} ({own}) imports {short(other)} ({its})"
        for module, others in graph().items()
        for other in others
        if (own := layer(module)) and (its := layer(other)) and LAYERS.index(its) > LAYERS.index(own)
    ]
    if wrong:
        wrong += ["Move what is needed to a lower layer, or look it up by name, as `types.shown` looks up notebooks."]
        pytest.fail("\n".join(wrong), pytrace=False)


def test_the_top_of_the_package_is_public_and_short() -> None:
    modules = [path.stem for path in ROOT.glob("*.py")]
    assert len(modules) <= 12
    assert [name for name in modules if name.startswith("_")] == ["__init__"]


def test_nothing_imports_in_a_circle() -> None:
    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        open_ones = [start]
        while open_ones:
            for each in graph()[open_ones.pop()] - seen:
                seen.add(each)
                open_ones.append(each)
        return seen

    circles = sorted(short(module) for module in graph() if module in reached(module))
    assert not circles, f"these import each other, directly or not: {circles}"


def test_the_rules_do_no_input_or_output() -> None:
    forbidden = {"asyncio", "socket", "ssl", "httpx", "subprocess", "urllib.request"}
    for module, path in MODULES.items():
        if layer(module) in ("_base", "_data", "_rules", "_codec"):
            tree = ast.parse(path.read_text("utf-8"))
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not names & forbidden, f"{module} does I/O: move that to _async/ or _http/"
