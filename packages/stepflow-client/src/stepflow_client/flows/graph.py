"""The graph of a flow: what its steps read, which of them run, and flows made of a part of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from .._base.text import suggest_nearest
from .._data.arguments import check_text
from .._data.flow_declarations import get_declared_schema
from .._data.values import merge_overrides
from ..errors import InvalidArgumentError
from .expressions import Path, Reference, is_expression, references
from .reading import FlowSource, load_flow

SUBFLOW_INPUTS = {"/builtin/map": "workflow", "/builtin/iterate": "flow", "/builtin/put_blob": "data"}
"""The field of the input that contains a flow, by component; for `put_blob`, only with `blob_type: flow`."""


class InnerFlow(NamedTuple):
    """A flow in the input of a step."""

    flow: Any
    at: Path
    """Where it is in the step."""
    is_escaped: bool
    """Whether its steps and its output are below `$literal`. Otherwise they are evaluated in the outer flow."""
    escaped: tuple[str, ...] = ()
    """The keys whose values are each below a `$literal`, instead of one around the whole flow."""

    @property
    def is_as_written(self) -> bool:
        """Whether its runs get it as it is written: below `$literal`, or without any expression."""
        return self.is_escaped or not _has_expression(self.flow)


def _has_expression(value: Any) -> bool:
    if isinstance(value, Mapping):
        return is_expression(value) or any(map(_has_expression, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_expression, value))


def inner_flow(step: Mapping[str, Any]) -> InnerFlow | None:
    """Return the flow in a step's input, which it runs for each element or iteration, or stores; None without one.

    If only its steps and its output are below `$literal`, the rest is evaluated in the outer flow: the defaults of its
    variables can be values of that.
    """
    component, given = step.get("component"), step.get("input")
    key = SUBFLOW_INPUTS.get(component) if isinstance(component, str) else None
    if key is None or not isinstance(given, Mapping) or (key == "data" and given.get("blob_type") != "flow"):
        return None
    inner = given.get(key)
    if isinstance(inner, Mapping) and "$literal" in inner:
        return InnerFlow(inner["$literal"], ("input", key, "$literal"), True)
    if not isinstance(inner, Mapping) or ("steps" not in inner and "output" not in inner):
        return None
    own = {part: inner[part] for part in ("steps", "output") if part in inner}
    if all(isinstance(value, Mapping) and "$literal" in value for value in own.values()):
        flow = {**inner, **{part: literal["$literal"] for part, literal in own.items()}}
        return InnerFlow(flow, ("input", key), True, tuple(own))
    return InnerFlow(inner, ("input", key), False)


def iter_steps(flow: Any, *, needed: bool = False) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of a flow and of the flows in their inputs; with `needed`, only steps that may run."""
    if not isinstance(flow, Mapping):
        return
    steps = FlowSteps(flow)
    chosen = steps.needed() if needed else steps.by_id.keys()
    for step in steps.all:
        if step.id in chosen:
            yield step.value
            inner = inner_flow(step.value)
            if inner is not None:
                yield from iter_steps(inner.flow, needed=needed)


def steps_by_id(flow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the steps of a flow by their ids, in the order of the flow."""
    return {name: step.value for name, step in FlowSteps(flow).by_id.items()}


def reachable(starts: Iterable[str], following: Mapping[str, Collection[str]]) -> set[str]:
    """Return the starts and everything that follows them, directly or through others."""
    reached, waiting = set[str](), list(starts)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += following.get(name, ())
    return reached


@dataclass
class Step:
    """A step of a flow."""

    index: int
    """Its position in the list of steps."""
    id: str
    value: Mapping[str, Any]

    @cached_property
    def reads(self) -> list[Reference]:
        """What its input reads."""
        return references(self.value.get("input"))

    @property
    def must_execute(self) -> bool:
        """Whether it runs even if nothing needs it."""
        return self.value.get("mustExecute") is True


class FlowSteps:
    """The steps of a flow, and what they and the output read. Steps without an id are left out."""

    def __init__(self, flow: Mapping[str, Any]) -> None:
        self.flow = flow
        listed = flow.get("steps")
        self.all: list[Step] = [
            Step(index, step["id"], step)
            for index, step in enumerate(listed if isinstance(listed, (list, tuple)) else ())
            if isinstance(step, Mapping) and isinstance(step.get("id"), str)
        ]
        self.by_id: dict[str, Step] = {}
        for step in self.all:
            # Servers refuse a second step with the same id.
            self.by_id.setdefault(step.id, step)

    @cached_property
    def output_reads(self) -> list[Reference]:
        """What the output reads."""
        return references(self.flow.get("output"))

    @cached_property
    def reads(self) -> dict[str, set[str]]:
        """The steps that each step may read, in defaults too."""
        return {name: {read.step for read in step.reads if read.step} for name, step in self.by_id.items()}

    @cached_property
    def inner(self) -> list[tuple[InnerFlow, FlowSteps]]:
        """The flows in the inputs of the steps."""
        inner_flows = (inner_flow(step.value) for step in self.all)
        return [(inner, FlowSteps(inner.flow)) for inner in inner_flows if inner and isinstance(inner.flow, Mapping)]

    @cached_property
    def inner_ids(self) -> set[str]:
        """The ids of the steps of the flows in the steps, at any depth."""
        return {name for _, within in self.inner for name in (*within.by_id, *within.inner_ids)}

    def needed(
        self,
        *,
        certainly: bool = False,
        may_read: Callable[[Reference], bool] | None = None,
        unread: Collection[str] = (),
    ) -> set[str]:
        """Return the steps that run because the output, a `mustExecute` step, or a step that runs needs them.

        Args:
            certainly: Whether to return only those that run whatever the conditions give. Default False.
            may_read: A function that returns whether a reference may be evaluated. None, the default: each may.
            unread: The steps whose inputs are not evaluated. Default: none.
        """

        def needed_by(reads: Iterable[Reference]) -> set[str]:
            reads = reads if may_read is None else filter(may_read, reads)
            return {
                read.step for read in reads if read.step and (read.is_certain if certainly else not read.in_default)
            }

        needs = {name: needed_by(step.reads) for name, step in self.by_id.items() if name not in unread}
        starts = {name for name, step in self.by_id.items() if step.must_execute}
        return reachable(starts | needed_by(self.output_reads), needs) & self.by_id.keys()

    def components(self) -> set[str]:
        """Return the components of the steps that run, and of those in the flows in their inputs."""
        components = (step.get("component") for step in iter_steps(self.flow, needed=True))
        return {component for component in components if isinstance(component, str)}

    def upstream(self, names: Iterable[str]) -> set[str]:
        """Return these steps and all that they may read, directly or through other steps."""
        return reachable(names, self.reads)

    def downstream(self, names: Iterable[str]) -> set[str]:
        """Return these steps and all that may read them, directly or through other steps."""
        return reachable(names, _invert_edges(self.reads))

    @cached_property
    def _waits(self) -> dict[str, list[str]]:
        """The steps that each step waits for, in the order of its input. Defaults are not waited for."""
        return {
            name: [read.step for read in step.reads if read.step in self.by_id and not read.in_default]
            for name, step in self.by_id.items()
        }

    @cached_property
    def cyclic(self) -> set[str]:
        """The steps that wait for a cycle and that a cycle waits for: at least all steps of cycles."""
        left = _drop_acyclic(self._waits)
        return left and left & _drop_acyclic(_invert_edges(self._waits))

    def shortest_path(self, start: str, goal: str) -> list[str]:
        """Return the shortest chain of steps from one step to another, each waiting for the next; empty without one."""
        before: dict[str, str] = {}
        waiting = [start]
        for name in waiting:
            for dependency in self._waits[name]:
                if dependency not in before:
                    before[dependency] = name
                    waiting.append(dependency)
                if dependency == goal:
                    path = [goal, before[goal]]
                    while path[-1] != start:
                        path.append(before[path[-1]])
                    return path[::-1]
        return []

    def cycle(self) -> list[str]:
        """Return the steps of a cycle, with the first repeated at the end; empty without a cycle."""
        return next(
            (path for name in self.by_id if name in self.cyclic and (path := self.shortest_path(name, name))), []
        )


def _invert_edges(following: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    preceding: dict[str, list[str]] = {name: [] for name in following}
    for name, successors in following.items():
        for successor in successors:
            preceding.setdefault(successor, []).append(name)
    return preceding


def _drop_acyclic(following: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names that remain after repeatedly removing names that no remaining name follows."""
    counts, before = {name: len(successors) for name, successors in following.items()}, _invert_edges(following)
    free = [name for name, count in counts.items() if not count]
    for name in free:
        for preceding in before[name]:
            counts[preceding] -= 1
            if not counts[preceding]:
                free.append(preceding)
    return {*following}.difference(free)


def steps_behind(flow: Mapping[str, Any], chosen: Iterable[str]) -> set[str]:
    """Return the chosen steps and all steps that read them, directly or through other steps."""
    return FlowSteps(flow).downstream(chosen)


def require_step(flow: Mapping[str, Any], step: str) -> None:
    """Check that the flow has a step.

    Raises:
        InvalidArgumentError: If it does not. The hint names the most similar step, or all of them.
    """
    steps = steps_by_id(flow)
    if check_text(step, "step") not in steps:
        hint = suggest_nearest(step, steps) or f"it has {', '.join(steps) or 'no steps'}"
        raise InvalidArgumentError(f"the flow has no step {step!r}", hint=hint)


def cut_flow(flow: Mapping[str, Any], step: str, overrides: Any = None) -> tuple[dict[str, Any], Any]:
    """Return a flow with a step and the steps that it reads, and the overrides of these steps.

    The output of the returned flow is the output of the step. A step that is overridden may read other steps.

    Raises:
        InvalidArgumentError: If the flow has no such step, or the overrides are malformed.
    """
    require_step(flow, step)
    steps, changes = steps_by_id(flow), merge_overrides(overrides) or {}
    reads = dict(FlowSteps(flow).reads)
    for name, change in changes.items():
        patch = change.get("value")
        reads_of_patch = references(patch.get("input")) if isinstance(patch, Mapping) else []
        reads[name] = reads.get(name, set()) | {read.step for read in reads_of_patch if read.step}
    needed = reachable([step], reads)
    cut = {
        **flow,
        "steps": [definition for name, definition in steps.items() if name in needed],
        "output": {"$step": step},
    }
    if isinstance(properties := get_declared_schema(flow), Mapping):
        # The output schema only applies to the whole flow.
        kept = {name: schema for name, schema in properties.items() if name != "output"}
        cut["schemas"] = {**flow["schemas"], "properties": kept}
    # Overrides of unknown steps are kept, so that they are rejected later.
    left = {name: change for name, change in changes.items() if name in needed or name not in steps}
    return cut, left or None


def flow_of_step(flow: FlowSource, step_id: str) -> dict[str, Any]:
    """Return a flow that executes one step alone, with the flow's input as the input of the step.

    Its output is the output of the step. The step's own input expression is not evaluated. The name differs from that
    of the given flow, so that their runs can be told apart.

    Example:
        ```python
        result = await client.run(flow_of_step("hello.yaml", "greeting"), {"user_prompt": "Hi"})
        ```

    Args:
        flow: A flow, or the path of its file.
        step_id: The id of the step.

    Raises:
        FlowFileError: If the file cannot be read.
        InvalidArgumentError: If the flow has no such step.
    """
    content = load_flow(flow)
    require_step(content, step_id)
    alone = {**steps_by_id(content)[step_id], "input": {"$input": "$"}}
    # The flow's schemas describe other inputs and outputs.
    kept: dict[str, Any] = {key: content[key] for key in ("description", "version", "metadata") if key in content}
    named = {"name": f"{content['name']}/{step_id}"} if isinstance(content.get("name"), str) else {}
    return {**named, **kept, "steps": [alone], "output": {"$step": step_id}}
