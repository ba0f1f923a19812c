"""The graph: references to steps, ids, steps that are never needed, and runs that stall."""

from __future__ import annotations

from ..findings import Findings, near
from ..model import FlowModel, Read, Step, certain_steps

__all__ = ["check_references"]


def check_references(model: FlowModel, found: Findings, *, is_subflow: bool = False) -> None:
    """Find faults in the graph of a flow."""
    _check_ids(model, found)
    for step in model.steps:
        for read in step.reads:
            if read.kind == "$step" and read.name is not None:
                _check_read(model, step, read, found)
    for read in model.output_reads:
        if read.kind == "$step" and read.name is not None and read.name not in model.by_id:
            _undefined(model, read, "the output", list(model.by_id), found)
    _check_needed(model, found)
    certain = model.needed(certainly=True)
    _check_stalls(model, None, model.output_reads, certain, is_subflow, found)
    for step in model.steps:
        _check_stalls(model, step, step.reads, certain, is_subflow, found)


def _check_ids(model: FlowModel, found: Findings) -> None:
    for step in model.steps:
        at, path = step.node.items["id"], f"{step.path}.id"
        if not step.id.strip():
            found.add("empty-id", "fatal", at, path, "a step's id is empty", "give it a name")
        elif model.by_id[step.id] is not step:
            first = model.by_id[step.id].node.items["id"]
            found.add("duplicate-id", "fatal", at, path, f"two steps are called {step.id!r}; the first is in line "
                      f"{first.line}", "rename one of them")  # fmt: skip


def _undefined(model: FlowModel, read: Read, where: str, known: list[str], found: Findings) -> None:
    found.add("undefined-step", "fatal", read.target, read.path, f"{where} names step {read.name!r}, which does not "
              "exist", near(str(read.name), known, "steps are"))  # fmt: skip


def _check_read(model: FlowModel, step: Step, read: Read, found: Findings) -> None:
    other = model.by_id.get(str(read.name))
    if other is None:
        _undefined(model, read, f"step {step.id!r}", [each.id for each in model.steps[: step.index]], found)
    elif other.id == step.id:
        found.add("self-reference", "fatal", read.target, read.path, f"step {step.id!r} reads its own output")
    elif other.index >= step.index:
        way = _way(model, other.id, step.id)
        if way:
            shown = " -> ".join([step.id, *way])
            found.add("cycle", "fatal", read.target, read.path, f"steps wait for each other: {shown}",
                      "remove one of these references")  # fmt: skip
        else:
            found.add("later-step", "fatal", read.target, read.path, f"step {step.id!r} names {other.id!r}, which "
                      "stands behind it", f"move {other.id!r} before {step.id!r}")  # fmt: skip


def _way(model: FlowModel, start: str, goal: str) -> list[str] | None:
    """Return the chain of steps from one step to another, each reading the next; None if there is none."""
    waiting, seen = [[start]], {start}
    while waiting:
        way = waiting.pop(0)
        for read in model.by_id[way[-1]].reads if way[-1] in model.by_id else ():
            if read.kind != "$step" or read.name is None or read.in_default:
                continue
            if read.name == goal:
                return [*way, goal]
            if read.name not in seen:
                seen.add(read.name)
                waiting.append([*way, read.name])
    return None


def _check_needed(model: FlowModel, found: Findings) -> None:
    needed = model.needed(certainly=False)
    for step in model.steps:
        if step.id not in needed and step.id.strip():
            found.add("unused-step", "warning", step.node.items["id"], step.path, f"step {step.id!r} never runs: "
                      "neither the output nor a step that runs needs it", "name it in the output, set mustExecute: "
                      "true, or remove it")  # fmt: skip


def _check_stalls(
    model: FlowModel, step: Step | None, reads: list[Read], certain: set[str], is_subflow: bool, found: Findings
) -> None:
    holder = model.root.get("output") if step is None else step.node.get("input")
    anyway = certain | certain_steps(holder)
    plain = {read.name for read in reads if read.kind == "$step" and not read.in_default}
    for read in reads:
        if read.kind != "$step" or read.name not in model.by_id or read.name in anyway:
            continue
        if read.in_default:
            if read.name not in plain:
                found.add("default-step", "error", read.target, read.path, f"the default of a variable does not make "
                          f"step {read.name!r} run: it fails with 'not completed'",
                          f"name {read.name!r} outside of the default too")  # fmt: skip
        elif read.waits_for and read.name not in read.waits_for:
            looked = ", ".join(sorted(map(repr, read.waits_for)))
            effect = "fails with 'not completed'" if step is None else "stands still for 30 s or for ever"
            grave = step is None or is_subflow
            found.add("conditional-stall", "error" if grave else "warning", read.target, read.path,
                      f"a condition waits for step {looked} before it is known that {read.name!r} is needed: the run "
                      f"{effect}", f"set mustExecute: true on {read.name!r}, or name it outside of the "
                      "condition")  # fmt: skip
