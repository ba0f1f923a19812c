"""Import rules: client modules import from lower layers, without cycles; the command imports listed modules only.

Every import counts: at module level, in a function (for a fast start), and for type checkers. Modules that
`lazy_module` looks up by name count too, except in a cycle: an object looks up the module that displays it, and that
module imports the object's. All other exceptions are listed here, with the reason.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import stepflow_cli
import stepflow_client
from stepflow_client import _command

ROOT = Path(stepflow_client.__file__).parent
PACKAGE = "stepflow_client"

LAYERS = (
    # From the lowest to the highest. A module imports from its own layer and from lower ones.
    "_base",
    "flows.expressions",
    "_data",
    "types",
    "errors",
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
    "executor_protocol",
    "runtime",
    "authoring",
    "flow_models",
    "drawing",
    "evaluation",
    "testing",
)
WORKBENCH = {"_editing", "_checks", "_cases", "authoring", "flow_models", "drawing", "evaluation", "testing"}
"""Packages around the core; the core calls flows and reads their runs."""
EXCEPTIONS = {
    # Objects of lower layers look up their notebook display by name.
    ("_base.error_classes", "_display.short_traceback"), ("types.model_base", "drawing.notebook_html"),
    # Methods of the client that belong to the workbench: `check`, and flows as tools.
    ("_async.flow_store", "_checks.checker"), ("_sync.flow_store", "_checks.checker"),
    ("_codec.flow_tools", "_checks.inferred_flow"),
}  # fmt: skip


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def layer(module: str) -> str | None:
    parts = module.split(".")[1:]
    if parts in (["flows"], ["_command"]):
        return None  # names of several packages, like the root of the client
    if ".".join(parts) in LAYERS:
        return ".".join(parts)
    if parts[:1] in (["_async"], ["_sync"]):
        return "transport" if parts[1:2] == ["transport"] else "facade"
    return parts[0] if parts else None


def short(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call))
    ]


def imports_of(path: Path, module: str, *, by_name: bool = True) -> set[str]:
    """Return the modules that a module imports or looks up by name; for other names, the module that has them."""
    base = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    modules = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif by_name and isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_module":
            modules |= {str(each.value) for each in node.args if isinstance(each, ast.Constant)}
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                source = ".".join([*base[: len(base) - node.level + 1], *([source] if source else [])])
            for name in node.names:
                inner = f"{source}.{name.name}"
                modules.add(inner if inner in MODULES else source)
    return modules


@cache
def graph(*, by_name: bool = True) -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    return {
        module: {
            each
            for each in imports_of(path, module, by_name=by_name) - {module}
            if each in MODULES and (short(module), short(each)) not in EXCEPTIONS
        }
        for module, path in MODULES.items()
    }


def test_the_import_graph_is_not_empty() -> None:
    assert len(graph()) > 100
    assert f"{PACKAGE}._http.http1_format" in graph()[f"{PACKAGE}._rules.retries"]


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
        wrong += ["Move what is needed to a lower layer, or look it up by name, as `types.model_base` does."]
        pytest.fail("\n".join(wrong), pytrace=False)


def test_the_core_does_not_import_the_workbench() -> None:
    wrong = [
        f"{short(module)} imports {short(other)}"
        for module, others in graph().items()
        for other in others
        if layer(module) not in {None, *WORKBENCH} and layer(other) in WORKBENCH
    ]
    assert wrong == []


def test_each_exception_is_needed() -> None:
    pairs = {(short(module), short(each)) for module in MODULES for each in imports_of(MODULES[module], module)}
    assert pairs >= EXCEPTIONS


def shared_with_the_command() -> set[str]:
    """Return the private modules in the list of CONTRIBUTING.md."""
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text("utf-8")
    (listed,) = re.findall(r"The command may only import these private client modules: (.*?)\.\s", text, re.S)
    return {
        f"{PACKAGE}.{name.removesuffix('.py').strip('/').replace('/', '.')}" for name in re.findall(r"`(.*?)`", listed)
    }


def test_the_command_imports_only_listed_private_modules() -> None:
    root, shared = Path(stepflow_cli.__file__).parent, shared_with_the_command()
    imports = {path: imports_of(path, ".".join(path.relative_to(root.parent).parts)) for path in root.rglob("*.py")}
    private = {
        each for modules in imports.values() for each in modules if each.startswith(f"{PACKAGE}.") and "._" in each
    }
    assert private == shared
    assert len(shared) <= 10


def test_the_command_uses_every_name_offered_to_it() -> None:
    root = Path(stepflow_cli.__file__).parent
    used = {
        name.name
        for path in root.rglob("*.py")
        for node in nodes_of(path)
        if isinstance(node, ast.ImportFrom) and node.module == f"{PACKAGE}._command"
        for name in node.names
    }
    assert used == set(dir(_command))
    assert all(hasattr(_command, name) for name in used)


def test_the_top_of_the_package_is_public_and_short() -> None:
    modules = [path.stem for path in ROOT.glob("*.py")]
    assert len(modules) <= 12
    assert [name for name in modules if name.startswith("_")] == ["__init__"]


def test_there_are_no_import_cycles() -> None:
    imports = graph(by_name=False)

    def reachable(start: str) -> set[str]:
        visited: set[str] = set()
        pending = [start]
        while pending:
            for each in imports[pending.pop()] - visited:
                visited.add(each)
                pending.append(each)
        return visited

    cycles = sorted(short(module) for module in imports if module in reachable(module))
    assert not cycles, f"these import each other, directly or not: {cycles}"


def test_the_rules_do_no_input_or_output() -> None:
    forbidden = {"asyncio", "socket", "ssl", "httpx", "subprocess", "urllib.request"}
    for module, path in MODULES.items():
        if layer(module) in ("_base", "_data", "_rules", "_codec"):
            tree = ast.parse(path.read_text("utf-8"))
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not names & forbidden, f"{module} does I/O: move that to _async/ or _http/"
