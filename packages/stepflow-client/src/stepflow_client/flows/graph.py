"""A flow's dependency graph: which outputs each step reads, which steps run, and how to extract part of a flow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from .._base.suggestions import suggest_nearest
from .._data.arguments import check_text
from .._data.flow_declarations import get_declared_schema, iter_mappings
from .._data.wire import unify_overrides
from ..errors import InvalidArgumentError
from .expressions import Path, Reference, find_references, is_expression
from .reading import FlowSource, load_flow

SUBFLOW_INPUTS = {"/builtin/map": "workflow", "/builtin/iterate": "flow", "/builtin/put_blob": "data"}
"""Maps components to the input field that holds a flow (for `put_blob`, only if its `blob_type` is `flow`)."""


class InnerFlow(NamedTuple):
    """A flow inside a step's input."""

    flow: Any
    at: Path
    """Path to the flow within the step."""
    is_escaped: bool
    """Whether its steps and output are below `$literal`. If not, the outer flow evaluates them."""
    escaped: tuple[str, ...] = ()
    """The keys that each have their own `$literal`, if there isn't one around the whole flow."""

    @property
    def runs_as_written(self) -> bool:
        """Whether the flow runs exactly as written, either because it's below `$literal` or has no expressions."""
        return self.is_escaped or not any(map(is_expression, iter_mappings(self.flow)))


def find_inner_flow(step: Mapping[str, Any]) -> InnerFlow | None:
    """Return the flow in a step's input that the step stores or runs (e.g. once per element), or None if the input
    contains no flow.

    If only the inner flow's steps and output are below `$literal`, the outer flow evaluates everything else, so the
    inner flow's variable defaults can use the outer flow's values.
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
    """Yield the steps of a flow and its inner flows. If `needed` is True, skip steps that can't run."""
    if not isinstance(flow, Mapping):
        return
    steps = FlowSteps(flow)
    chosen = steps.find_steps_to_run() if needed else steps.by_id.keys()
    for step in steps.all:
        if step.id in chosen:
            yield step.value
            inner = find_inner_flow(step.value)
            if inner is not None:
                yield from iter_steps(inner.flow, needed=needed)


def get_steps_by_id(flow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return a flow's steps keyed by ID, in order."""
    return {name: step.value for name, step in FlowSteps(flow).by_id.items()}


def find_reachable_names(starts: Iterable[str], following: Mapping[str, Collection[str]]) -> set[str]:
    """Return the starting points and everything reachable from them."""
    reached, waiting = set[str](), list(starts)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += following.get(name, ())
    return reached


@dataclass(eq=False, repr=False)
class Step:
    """A step in a flow."""

    index: int
    """The step's index in the flow."""
    id: str
    value: Mapping[str, Any]

    @cached_property
    def reads(self) -> list[Reference]:
        """The references in the step's input."""
        return find_references(self.value.get("input"))

    @property
    def must_execute(self) -> bool:
        """Whether the step runs even if nothing depends on it."""
        return self.value.get("mustExecute") is True


class FlowSteps:
    """A flow's steps, along with the references in their inputs and in the flow's output. Steps without an ID are
    skipped."""

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
            # Keep the first step with this ID (servers reject duplicate IDs anyway).
            self.by_id.setdefault(step.id, step)

    @cached_property
    def output_reads(self) -> list[Reference]:
        """The references in the flow's output."""
        return find_references(self.flow.get("output"))

    @cached_property
    def dependencies_by_step(self) -> dict[str, set[str]]:
        """The steps that each step may read, including in variable defaults."""
        return {name: {read.step for read in step.reads if read.step} for name, step in self.by_id.items()}

    @cached_property
    def inner_flows(self) -> list[tuple[InnerFlow, FlowSteps]]:
        """The flows inside step inputs."""
        inner_flows = (find_inner_flow(step.value) for step in self.all)
        return [(inner, FlowSteps(inner.flow)) for inner in inner_flows if inner and isinstance(inner.flow, Mapping)]

    @cached_property
    def inner_step_ids(self) -> set[str]:
        """The step IDs of all inner flows, at any depth."""
        return {name for _, within in self.inner_flows for name in (*within.by_id, *within.inner_step_ids)}

    def find_steps_to_run(
        self,
        *,
        certainly: bool = False,
        may_read: Callable[[Reference], bool] | None = None,
        unread: Collection[str] = (),
    ) -> set[str]:
        """Return the steps that run: `mustExecute` steps, plus every step that they or the output need, directly or
        indirectly.

        Args:
            certainly: Whether to return only the steps that run no matter how conditions turn out. Defaults to False.
            may_read: A function that returns whether a reference might be evaluated. By default, any reference might
                be.
            unread: Steps whose inputs aren't evaluated. Defaults to none.
        """

        def needed_by(reads: Iterable[Reference]) -> set[str]:
            # If `may_read` is None, `filter` keeps all references.
            reads = filter(may_read, reads)
            followed = (read for read in reads if (read.is_certain if certainly else not read.is_in_default))
            return {read.step for read in followed if read.step}

        needs = {name: needed_by(step.reads) for name, step in self.by_id.items() if name not in unread}
        starts = {name for name, step in self.by_id.items() if step.must_execute}
        return find_reachable_names(starts | needed_by(self.output_reads), needs) & self.by_id.keys()

    def find_components(self) -> set[str]:
        """Return the components used by the steps that run, including the steps of inner flows."""
        components = (step.get("component") for step in iter_steps(self.flow, needed=True))
        return {component for component in components if isinstance(component, str)}

    def find_upstream_steps(self, names: Iterable[str]) -> set[str]:
        """Return these steps and all their direct or indirect dependencies."""
        return find_reachable_names(names, self.dependencies_by_step)

    def find_downstream_steps(self, names: Iterable[str]) -> set[str]:
        """Return these steps and every step that may read them, directly or indirectly."""
        return find_reachable_names(names, _invert_edges(self.dependencies_by_step))

    @cached_property
    def _awaited_steps_by_step(self) -> dict[str, list[str]]:
        """The steps that each step waits for, in input order. Steps don't wait for variable defaults."""
        return {
            name: [read.step for read in step.reads if read.step in self.by_id and not read.is_in_default]
            for name, step in self.by_id.items()
        }

    @cached_property
    def cyclic_steps(self) -> set[str]:
        """Steps on a cycle, or on a path from one cycle to another."""
        left = _find_names_leading_to_cycles(self._awaited_steps_by_step)
        return left and left & _find_names_leading_to_cycles(_invert_edges(self._awaited_steps_by_step))

    def find_shortest_path(self, start: str, goal: str) -> list[str]:
        """Return the shortest chain of dependencies from one step to another, or an empty list if there isn't one."""
        before: dict[str, str] = {}
        waiting = [start]
        for name in waiting:
            for dependency in self._awaited_steps_by_step[name]:
                if dependency not in before:
                    before[dependency] = name
                    waiting.append(dependency)
                if dependency == goal:
                    path = [goal, before[goal]]
                    while path[-1] != start:
                        path.append(before[path[-1]])
                    return path[::-1]
        return []

    def find_cycle(self) -> list[str]:
        """Return the steps of a cycle, repeating the first at the end, or an empty list if there isn't one."""
        paths = (self.find_shortest_path(name, name) for name in self.by_id if name in self.cyclic_steps)
        return next(filter(None, paths), [])


def _invert_edges(following: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    preceding: dict[str, list[str]] = {name: [] for name in following}
    for name, successors in following.items():
        for successor in successors:
            preceding.setdefault(successor, []).append(name)
    return preceding


def _find_names_leading_to_cycles(following: Mapping[str, Collection[str]]) -> set[str]:
    """Repeatedly remove names that have no successors left and return the names that remain."""
    counts, before = {name: len(successors) for name, successors in following.items()}, _invert_edges(following)
    free = [name for name, count in counts.items() if not count]
    for name in free:
        for preceding in before[name]:
            counts[preceding] -= 1
            if not counts[preceding]:
                free.append(preceding)
    return {*following}.difference(free)


def check_step_exists(flow: Mapping[str, Any], step: str) -> dict[str, Mapping[str, Any]]:
    """Check that a step is in the flow, then return the flow's steps keyed by ID.

    Raises:
        InvalidArgumentError: If the step doesn't exist. The hint suggests the closest step ID, or lists them all.
    """
    steps = get_steps_by_id(flow)
    if check_text(step, "step") not in steps:
        hint = suggest_nearest(step, steps) or f"it has {', '.join(steps) or 'no steps'}"
        raise InvalidArgumentError(f"the flow has no step {step!r}", hint=hint)
    return steps


def cut_flow_to_step(flow: Mapping[str, Any], step: str, overrides: Any = None) -> tuple[dict[str, Any], Any]:
    """Cut a flow down to a step and its dependencies, along with the overrides that apply to them.

    The step's output becomes the flow's output. Overrides can add dependencies.

    Raises:
        InvalidArgumentError: If the flow has no such step, or if the overrides are malformed.
    """
    steps, changes = check_step_exists(flow, step), unify_overrides(overrides) or {}
    reads = dict(FlowSteps(flow).dependencies_by_step)
    for name, change in changes.items():
        patch = change.get("value")
        reads_of_patch = find_references(patch.get("input")) if isinstance(patch, Mapping) else []
        reads[name] = reads.get(name, set()) | {read.step for read in reads_of_patch if read.step}
    needed = find_reachable_names([step], reads)
    kept_steps = [definition for name, definition in steps.items() if name in needed]
    cut = {**flow, "steps": kept_steps, "output": {"$step": step}}
    if isinstance(properties := get_declared_schema(flow), Mapping):
        # Drop the output schema, because it describes the whole flow's output.
        kept = {name: schema for name, schema in properties.items() if name != "output"}
        cut["schemas"] = {**flow["schemas"], "properties": kept}
    # Keep overrides for unknown steps, so that they're rejected later.
    left = {name: change for name, change in changes.items() if name in needed or name not in steps}
    return cut, left or None


def flow_of_step(flow: FlowSource, step_id: str) -> dict[str, Any]:
    """Return a flow that runs a single step in isolation, passing it the flow's input.

    The flow's output is the step's output, and the step's own input expression is ignored. If the flow has a name, it
    becomes `NAME/STEP`, so that you can tell the runs apart.

    Example:
        ```python
        result = await client.run(flow_of_step("hello.yaml", "greeting"), {"user_prompt": "Hi"})
        ```

    Args:
        flow: A flow, or the path to its file.
        step_id: The step's ID.

    Raises:
        FlowFileError: If the file can't be read.
        InvalidArgumentError: If the flow has no such step.
    """
    content = load_flow(flow)
    alone = {**check_step_exists(content, step_id)[step_id], "input": {"$input": "$"}}
    # Omit the schemas, because they describe the whole flow's input and output.
    kept: dict[str, Any] = {key: content[key] for key in ("description", "version", "metadata") if key in content}
    named = {"name": f"{content['name']}/{step_id}"} if isinstance(content.get("name"), str) else {}
    return {**named, **kept, "steps": [alone], "output": {"$step": step_id}}
