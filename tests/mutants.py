"""Mutation testing of the pure modules: `python -m tests.mutants --count 30`.

Each mutant is written to a copy of the client that shadows the installed one. The module's own tests run first, then
the tests of its callers. The exit code is 1 if the tests kill less than 95 % of the mutants.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "packages/stepflow-client/src"
PACKAGE = SOURCE / "stepflow_client"
TESTS = {
    "_rules": ("tests/unit/rules", "tests/unit/client", "tests/unit/transport"),
    "_codec": ("tests/unit/codec", "tests/unit/types", "tests/unit/client"),
    "_stores": ("tests/unit/stores", "tests/unit/client"),
    "flows": (
        "tests/unit/flows",
        "tests/flows",
        "tests/unit/authoring",
        "tests/unit/testing",
        "tests/cli/lsp",
        "tests/unit/lsp",
    ),
    "_checks": ("tests/flows", "tests/cli/lsp"),
    "_editing": ("tests/flows", "tests/cli/validation", "tests/unit/cases", "tests/cli/lsp"),
    "_runs": ("tests/unit/runs", "tests/unit/client"),
    "_cases": ("tests/unit/cases", "tests/unit/testing"),
    "evaluation/statistics.py": ("tests/unit/evaluation",),
}
"""The pure modules and their tests, nearest first."""
TIME_LIMIT = 1200
KILLED = 0.95
PAIRS = ((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn))
SWAPPED: dict[type[ast.AST], Any] = {
    **{one: other for pair in (*PAIRS, (ast.And, ast.Or), (ast.Add, ast.Sub)) for one, other in (pair, pair[::-1])},
    **dict.fromkeys((ast.Mult, ast.Div, ast.FloorDiv), ast.Add),
}
UNTESTED = {
    "__repr__",
    "__rich_repr__",
    "__all__",
    "__slots__",
    "TYPE_CHECKING",
    "_log",
    "fsync",
    "stacklevel",
    "strict",
}
"""Names whose definitions, calls and arguments are not mutated, because no test should depend on them."""


@dataclass(frozen=True)
class Mutant:
    file: Path
    node: ast.expr | ast.stmt
    replacement: str

    def __str__(self) -> str:
        return f"{self.file}:{self.node.lineno}: {ast.unparse(self.node).splitlines()[0]}  ->  {self.replacement}"

    def text(self) -> str:
        """Return the source of the mutated module."""
        # The column offsets of a syntax tree count bytes.
        text, node = (PACKAGE / self.file).read_bytes(), self.node
        places = ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        start, end = (sum(map(len, text.splitlines(True)[: line - 1])) + column for line, column in places)
        return (text[:start] + self.replacement.encode() + text[end:]).decode()


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes to mutate, without annotations, decorators, docstrings, logging or formatted strings."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.JoinedStr) or not isinstance(child, ast.AST) or names(child) & UNTESTED:
                continue
            yield from nodes(child)


def names(node: ast.AST) -> set[str | None]:
    match node:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(of), name))):
            return {of, name}
        case (
            ast.FunctionDef(name=name)
            | ast.AsyncFunctionDef(name=name)
            | ast.keyword(arg=name)
            | ast.If(test=ast.Name(name))
            | ast.Assign(targets=[ast.Name(name)])
        ):
            return {name}
    return set()


def changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    match node:
        case ast.Compare(left, [op], [right]) if type(op) in SWAPPED:
            yield node, f"({ast.unparse(ast.Compare(left, [SWAPPED[type(op)]()], [right]))})"
        case ast.BoolOp(op, values) if type(op) in SWAPPED:
            yield node, f"({ast.unparse(ast.BoolOp(SWAPPED[type(op)](), values))})"
        case ast.BinOp(left, op, right) if type(op) in SWAPPED:
            yield node, f"({ast.unparse(ast.BinOp(left, SWAPPED[type(op)](), right))})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield node, str(value + 1)
        case ast.Return(value=ast.expr() as value) if not is_like_none(value):
            yield node, "return None"
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break():
            yield node, "pass"
        case ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield node.test, f"(not ({ast.unparse(node.test)}))"


def is_like_none(node: ast.expr) -> bool:
    """Return whether `return None` is no useful mutant: the value is falsy, or a boolean, which is flipped instead."""
    match node:
        case ast.Constant(value):
            return not value or value is True
    return isinstance(node, ast.Tuple) and not node.elts


def check_paths() -> None:
    """Raise FileNotFoundError if a module or test was moved, because it would otherwise be skipped."""
    for part, tests in TESTS.items():
        for path in (PACKAGE / part, *(ROOT / test for test in tests)):
            path.stat()
            if path.is_dir() and not any(path.rglob("*.py")):
                raise FileNotFoundError(f"{path} contains no Python files")


def all_mutants() -> list[Mutant]:
    check_paths()
    files = [file for part in TESTS for file in sorted((PACKAGE / part).rglob("*.py")) or [PACKAGE / part]]
    return [
        Mutant(file.relative_to(PACKAGE), *change)
        for file in files
        for node in nodes(ast.parse(file.read_bytes()))
        for change in changes(node)
    ]


def group_tests(file: Path) -> list[list[str]]:
    """Return groups of tests: those that import the module, its folder, then its callers and tests with its name."""
    folder, *callers = next(tests for part, tests in TESTS.items() if file.is_relative_to(part))
    name = file.stem.strip("_")
    imported = re.compile(rf"\bimport .*\b{file.stem}\b|\.{file.stem} import")
    tests = (ROOT / "tests/unit").rglob("test_*.py")
    near = [path for path in tests if name in path.stem or imported.search(path.read_text("utf-8"))]
    named = [path for path in (ROOT / "tests").glob(f"*/test_*{name}.py") if folder not in str(path)]
    groups = [near, [ROOT / folder], [ROOT / caller for caller in callers] + named]
    return [sorted(str(path.relative_to(ROOT)) for path in group) for group in groups if group]


def run_tests(copy: Path, tests: list[str], limit: float | None = TIME_LIMIT) -> tuple[str, list[str]]:
    """Return "survived", "killed" or "timeout", and the tests or files that failed."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    cache = copy.with_name(f"{copy.name}-cache")
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-o", f"cache_dir={cache}", "--hypothesis-profile", "ci"]
    try:
        run = subprocess.run(
            [*command, "-m", "not exhaustive", *tests],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "timeout", []
    if run.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(run.stdout)
    if run.returncode == pytest.ExitCode.OK:
        return "survived", []
    failed = cache / "v/cache/lastfailed"
    # The file is missing if pytest could not start.
    return "killed", list(json.loads(failed.read_text("utf-8"))) if failed.exists() else tests


def examine(mutant: Mutant, copies: SimpleQueue[Path]) -> tuple[str, list[str]]:
    copy = copies.get()
    result, failed = "survived", list[str]()
    original, changed = PACKAGE / mutant.file, copy / "stepflow_client" / mutant.file
    changed.write_text(mutant.text(), encoding="utf-8")
    try:
        for tests in group_tests(mutant.file):
            result, failed = run_tests(copy, tests)
            if result != "survived":
                break
    finally:
        shutil.copy2(original, changed)
        copies.put(copy)
    print(f"{result:8}  {mutant}  {' '.join(failed)}", flush=True)
    return result, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30, help="mutants to try")
    parser.add_argument("--seed", type=int, default=0, help="choose other mutants")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at once")
    options = parser.parse_args()
    chosen = random.Random(options.seed).sample(all_mutants(), options.count)
    copies: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        for number in range(options.jobs):
            copies.put(Path(shutil.copytree(SOURCE, Path(folder, str(number)))))
        results, failed = zip(*pool.map(lambda mutant: examine(mutant, copies), chosen), strict=True)
        # A test that also fails on the original modules would kill every mutant.
        killers = sorted({test for tests in failed for test in tests})
        unchanged, failing = run_tests(copies.get(), killers, limit=None) if killers else ("survived", [])
    if unchanged != "survived":
        print(f"mutants: the unchanged modules fail, too: {' '.join(failing)}", file=sys.stderr)
        return 2
    # A hanging test fails at its own time limit; the whole suite only times out on a busy machine.
    share = results.count("killed") / len(results)
    counts = ", ".join(f"{results.count(result)} {result}" for result in ("killed", "survived", "timeout"))
    print(f"{counts}: {share:.0%} killed (--seed {options.seed})")
    return share < KILLED


if __name__ == "__main__":
    sys.exit(main())
