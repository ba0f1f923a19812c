"""The references in the expressions of a flow, and the order in which servers evaluate them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .placed import Node

__all__ = ["FlowModel", "Read", "Step", "certain_steps", "reads_of"]


@dataclass(frozen=True, slots=True)
class Read:
    """A `$step`, `$input` or `$variable` reference in an expression."""

    kind: str
    node: Node
    """The expression: a mapping with the keyword."""
    path: str
    waits_for: frozenset[str] = frozenset()
    """The steps that are read before this reference is reached: by conditions and by earlier alternatives."""
    in_default: bool = False
    """Whether the reference is in the default of a variable, which does not make a step run."""
    lenient: bool = False

    @property
    def target(self) -> Node:
        """The value of the keyword."""
        return self.node.items[self.kind]

    @property
    def name(self) -> str | None:
        """The step's id or the path; None if it is not a string."""
        return self.target.value if isinstance(self.target.value, str) else None


def reads_of(node: Node, path: str, waits: frozenset[str] = frozenset(), in_default: bool = False) -> Iterator[Read]:
    """Yield all references that an expression may read, in the order of the file."""
    items = node.items
    if "$literal" in items:
        return
    if "$if" in items:
        yield from reads_of(items["$if"], f"{path}.$if", waits, in_default)
        later = waits | _named(items["$if"])
        for key in ("then", "else"):
            if key in items:
                yield from reads_of(items[key], f"{path}.{key}", later, in_default)
    elif "$coalesce" in items:
        later = waits
        for index, each in enumerate(items["$coalesce"].elements):
            yield from reads_of(each, f"{path}.$coalesce[{index}]", later, in_default)
            later = later | _named(each)
    elif "$step" in items:
        yield Read("$step", node, path, waits, in_default)
    elif "$input" in items:
        yield Read("$input", node, path, waits, in_default)
    elif "$variable" in items:
        yield Read("$variable", node, path, waits, in_default)
        if "default" in items:
            yield from reads_of(items["default"], f"{path}.default", waits, True)
    elif "$from" not in items:
        for key, child in items.items():
            yield from reads_of(child, f"{path}.{key}", waits, in_default)
        for index, child in enumerate(node.elements):
            yield from reads_of(child, f"{path}[{index}]", waits, in_default)


def _named(node: Node) -> frozenset[str]:
    return frozenset(
        read.name for read in reads_of(node, "") if read.kind == "$step" and read.name and not read.in_default
    )


def certain_steps(node: Node | None) -> set[str]:
    """Return the steps that an expression needs regardless of its conditions."""
    if node is None or "$literal" in node.items:
        return set()
    items = node.items
    if "$if" in items:
        return certain_steps(items["$if"])
    if "$coalesce" in items:
        first = items["$coalesce"].elements[:1]
        return certain_steps(first[0]) if first else set()
    if "$step" in items:
        name = items["$step"].value
        return {name} if isinstance(name, str) else set()
    if "$input" in items or "$variable" in items or "$from" in items:
        return set()
    return {name for child in [*items.values(), *node.elements] for name in certain_steps(child)}


@dataclass(slots=True)
class Step:
    """A step and the references in its input."""

    index: int
    id: str
    node: Node
    path: str
    reads: list[Read]

    @property
    def must_execute(self) -> bool:
        """Whether the step runs even if nothing needs it."""
        must = self.node.get("mustExecute")
        return must is not None and must.value is True


class FlowModel:
    """The steps and the output of a flow, with their references.

    Args:
        root: The node of the flow.
        path: The path of the flow: `$`, or the path of a sub-flow.
    """

    def __init__(self, root: Node, path: str = "$") -> None:
        """Collect the steps. Invalid steps are skipped."""
        self.root, self.path = root, path
        self.steps: list[Step] = []
        self.by_id: dict[str, Step] = {}
        listed = root.get("steps")
        for index, node in enumerate(listed.elements if listed else ()):
            name = node.get("id")
            if name is None or not isinstance(name.value, str):
                continue
            where = f"{path}.steps[{index}]"
            given = node.get("input")
            reads = list(reads_of(given, f"{where}.input")) if given else []
            step = Step(index, name.value, node, where, reads)
            self.steps.append(step)
            self.by_id.setdefault(step.id, step)
        output = root.get("output")
        self.output_reads = list(reads_of(output, f"{path}.output")) if output else []

    def needed(self, *, certainly: bool) -> set[str]:
        """Return the steps that run.

        Args:
            certainly: True for the steps that run regardless of conditions; False for all steps that may run.
        """
        output = self.root.get("output")
        if certainly:
            waiting = certain_steps(output)
        else:
            waiting = {read.name for read in self.output_reads if read.kind == "$step" and read.name}
        waiting |= {step.id for step in self.steps if step.must_execute}
        seen = set[str]()
        while waiting:
            name = waiting.pop()
            step = self.by_id.get(name)
            if name in seen or step is None:
                continue
            seen.add(name)
            if certainly:
                waiting |= certain_steps(step.node.get("input"))
            else:
                waiting |= {read.name for read in step.reads if read.kind == "$step" and read.name}
        return seen

    def schema(self, name: str) -> Node | None:
        """Return the schema of `input`, `output`, `variables` or `steps`, or None."""
        return self.root.walk("schemas", "properties", name)
