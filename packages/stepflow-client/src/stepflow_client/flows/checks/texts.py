"""Texts that look like expressions: in flows, text is never evaluated."""

from __future__ import annotations

import re

from ..findings import Findings
from ..source import Node

__all__ = ["check_text"]

_NAME = r"(?:workflow\.)?(?:inputs?|steps?|variables?|vars?)"
_PATH = r"""(?:\.[\w-]+|\[\d+\]|\[(?:'[^']*'|"[^"]*")\])"""
_READ = re.compile(
    rf"""\$?\{{\{{\s*\$?(?P<double>{_NAME}{_PATH}*)\s*(?:\|[^{{}}]*)?\}}\}}   # {{{{ input.x }}}} and ${{{{ input.x }}}}
    | \$\{{\s*(?P<single>{_NAME}{_PATH}*)\s*\}}                            # ${{input.x}}
    | (?<![\w$])\$(?P<bare>{_NAME}{_PATH}+)                              # $input.x
    """,
    re.VERBOSE,
)
_OTHER = re.compile(r"\{\{[^{}]*\$[^{}]*\}\}")
_OUTPUTS = ("output", "outputs", "result")
"""Names for the output of a step in other formats of workflows."""


def check_text(node: Node, path: str, found: Findings) -> None:
    """Find references written as text, as other formats of workflows have them."""
    text = str(node.value)
    if "$" not in text and "{{" not in text:
        return
    read = _READ.search(text)
    if read is None:
        if _OTHER.search(text):
            found.add("template", "warning", node, path, "text is never evaluated: {{ }} reaches the component "
                      "as it is",                       "put the expression in place of the text")  # fmt: skip
        return
    hint = f"write {_written(read['double'] or read['single'] or read['bare'])} in place of the text"
    if read[0] != text.strip():
        hint += ": a component can put texts together"
    found.add("template", "warning", node, path, f"text is never evaluated: {read[0]!r} reaches the component as it is",
              hint)  # fmt: skip


def _written(reference: str) -> str:
    """Return the expression for a reference such as `input.x` or `steps.a.output.x`."""
    name = re.match(_NAME, reference)
    assert name is not None
    kind, parts = name[0].rpartition(".")[2], re.findall(_PATH, reference[name.end() :])
    if kind.startswith("input"):
        return f"{{$input: {_path(parts)}}}"
    if not parts:
        return f"{{${'step' if kind.startswith('step') else 'variable'}: NAME}}"
    first, rest = parts[0].strip(".[]'\""), parts[1:]
    if not kind.startswith("step"):
        return f"{{$variable: {first if not rest else _path(parts)}}}"
    rest = rest[1:] if rest and rest[0].strip(".[]'\"") in _OUTPUTS else rest
    return f"{{$step: {first}, path: {_path(rest)}}}" if rest else f"{{$step: {first}}}"


def _path(parts: list[str]) -> str:
    path = "$" + "".join(parts)
    # Between braces, YAML takes a bracket for the beginning of a list.
    return f"'{path}'" if "[" in path and "'" not in path else path
