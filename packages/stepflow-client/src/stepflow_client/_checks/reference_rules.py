"""The graph: references to steps, ids, steps that are never needed, and runs that stall."""

from __future__ import annotations

from collections.abc import Collection

from .._base.text import near
from ..flows.findings import Findings
from .flow_model import FlowModel, Read, Step

_MAX_SHOWN = 12
"""Maximum number of steps of a cycle that a message names."""
_HIDING = ("undefined-step", "unknown-keyword", "from-expression", "template")
"""Rules whose findings may be references to a step that seems to be unused."""


def check_references(model: FlowModel, found: Findings, *, is_subflow: bool = False) -> None:
    """Find faults in the graph of a flow, or of a flow inside a step."""
    _check_ids(model, found)
    ids = [each.id for each in model.steps]
    for step in model.steps:
        for read in step.reads:
            if read.step in model.by_id:
                _check_order(model, step, read, found)
            elif read.step is not None:
                _undefined(read, f"step {step.id!r}", ids[: step.index], found)
    for read in model.output_reads:
        if read.step is not None and read.step not in model.by_id:
            _undefined(read, "the output", ids, found)
    _check_needed(model, found)
    certain = model.graph.needed(certainly=True)
    _check_stalls(model, None, model.output_reads, certain, is_subflow, found)
    for step in model.steps:
        _check_stalls(model, step, step.reads, certain, is_subflow, found)


def _check_ids(model: FlowModel, found: Findings) -> None:
    for step in model.steps:
        # Steps of a flow that servers do not check may have any id.
        if not step.id.strip() and not found.in_unchecked:
            found.add("empty-id", "fatal", step.node.items["id"], "a step's id is empty", "give it a name")
        elif (first := model.by_id[step.id]) is not step:
            level, line = "warning" if found.in_unchecked else "fatal", first.node.items["id"].line
            found.add("duplicate-id", level, step.node.items["id"], f"two steps are called {step.id!r}; the first is "
                      f"in line {line}", "rename one of them")  # fmt: skip


def _undefined(read: Read, where: str, known: list[str], found: Findings) -> None:
    found.add("undefined-step", "fatal", read.target, f"{where} names step {read.step!r}, which does not exist",
              near(str(read.step), known, "steps are"))  # fmt: skip


def _check_order(model: FlowModel, step: Step, read: Read, found: Findings) -> None:
    other = model.by_id[str(read.step)]
    if other is step:
        found.add("self-reference", "fatal", read.target, f"step {step.id!r} reads its own output")
    elif other.index >= step.index:
        tangled = model.graph.tangled
        is_cycle = other.id in tangled and step.id in tangled and not read.reference.in_default
        if is_cycle and (way := model.graph.way(other.id, step.id)):
            shown = [step.id, *way] if len(way) < _MAX_SHOWN else [step.id, *way[:5], "...", *way[-5:]]
            found.add("cycle", "fatal", read.target, f"steps wait for each other: {' -> '.join(shown)}",
                      "remove one of these references")  # fmt: skip
        elif not found.in_unchecked:
            found.add("later-step", "fatal", read.target, f"step {step.id!r} names {other.id!r}, which stands behind "
                      "it", f"move {other.id!r} before {step.id!r}")  # fmt: skip


def _check_needed(model: FlowModel, found: Findings) -> None:
    # A step that only a default names has a finding of its own.
    defaults = {read.step for read in model.reads if read.step and read.reference.in_default}
    needed = model.graph.needed() | model.graph.upstream(defaults)
    unused = [step for step in model.steps if step.id not in needed and step.id.strip()]
    root = model.root.path
    if unused and any(rule in _HIDING and path.startswith(root) for rule, _, _, path in found.all):
        return
    for step in unused:
        found.add("unused-step", "warning", step.node.items["id"], f"step {step.id!r} never runs: neither the output "
                  "nor a step that runs needs it",
                  "name it in the output, set mustExecute: true, or remove it")  # fmt: skip


def _check_stalls(
    model: FlowModel, step: Step | None, reads: list[Read], certain: set[str], is_subflow: bool, found: Findings
) -> None:
    own = {read.step for read in reads if read.reference.is_certain}
    if all(read.step in own or read.step is None for read in reads):
        return
    plain = {read.step for read in reads if not read.reference.in_default}
    for read in reads:
        if read.step not in model.by_id or read.step in own:
            continue
        if read.reference.in_default and step is not None:
            if read.step not in model.graph.upstream(each for each in plain if each):
                found.add("default-step", "warning", read.target, f"step {step.id!r} does not wait for step "
                          f"{read.step!r} in the default of a variable: without a value for the variable, it may fail "
                          "with 'not completed'", f"name {read.step!r} outside of the default too")  # fmt: skip
        elif read.step in certain:
            continue
        elif read.reference.in_default:
            if read.step not in plain:
                found.add("default-step", "warning", read.target, f"the default of a variable does not make step "
                          f"{read.step!r} run: without a value for the variable, it fails with 'not completed'",
                          f"name {read.step!r} outside of the default too")  # fmt: skip
        elif (after := read.reference.after) and read.step not in after:
            effect = "stands still for 30 s or for ever"
            if step is None:
                effect = "fails with 'not completed'"
            elif is_subflow:
                effect = "never ends"
            found.add("conditional-stall", "warning", read.target, f"{_when(read, after)}, the run {effect}, because "
                      f"nothing else makes step {read.step!r} run",
                      f"set mustExecute: true on {read.step!r}, or name it outside of the condition")  # fmt: skip


def _when(read: Read, after: Collection[str]) -> str:
    """Return under which condition a branch is taken that is chosen by the outputs of steps."""
    steps = " and ".join(f"step {each!r}" for each in sorted(after))
    branch = next((each for each in reversed(read.reference.branches) if each.kind in ("then", "else")), None)
    if branch is None:
        return f"if {steps} {'gives' if len(after) == 1 else 'give'} null"
    return f"if the condition on {steps} is {'true' if branch.kind == 'then' else 'false'}"
