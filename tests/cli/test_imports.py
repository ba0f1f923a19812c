"""The command's modules have no import cycles, not even for type checking, and no mutable global state."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import stepflow_cli

ROOT = Path(stepflow_cli.__file__).parent
FILES = {
    ".".join(["stepflow_cli", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imported_modules(name: str, tree: ast.AST) -> set[str]:
    """Return the command's modules that a module imports, including in functions and for type checking."""
    modules = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        is_package = FILES[name].name == "__init__.py"
        parts = name.split(".")
        base = parts[: len(parts) - node.level + is_package]
        module = ".".join([*base, *([node.module] if node.module else [])])
        for each in node.names:
            inner = f"{module}.{each.name}"
            modules.add(inner if inner in FILES else module)
    return modules & FILES.keys() - {name}


def find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """Return a cycle of a graph, or None if it has none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


def test_no_import_cycles() -> None:
    graph = {name: imported_modules(name, ast.parse(path.read_text())) for name, path in FILES.items()}
    assert graph["stepflow_cli.runs.run_dispatch"] >= {"stepflow_cli.errors", "stepflow_cli.server.connect"}
    # The REPL runs the whole command line for each input.
    graph["stepflow_cli.commands.repl"].discard("stepflow_cli.main")
    assert find_cycle(graph) is None


def test_find_cycle() -> None:
    assert find_cycle({"a": {"b"}, "b": {"a"}}) == ["a", "b", "a"]


def test_no_mutable_global_state() -> None:
    """Module-level lists, dicts and sets must be constants, so their names must be in upper case."""
    for name, path in FILES.items():
        for node in ast.parse(path.read_text()).body:
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(value, (ast.List, ast.Dict, ast.Set)):
                for target in targets:
                    is_constant = isinstance(target, ast.Name) and (target.id.isupper() or target.id == "__all__")
                    assert is_constant, f"{name}: {ast.unparse(node)}"
        assert not any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(path.read_text()))), name
