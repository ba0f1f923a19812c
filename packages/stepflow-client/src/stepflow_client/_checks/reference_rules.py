"""The graph: references to steps, ids, steps that are never needed, and runs that stall."""

from __future__ import annotations

from .._base.text import near
from ..flows.findings import Findings
from .flow_model import FlowModel, Read, Step

# Maximum number of steps of a cycle that a message names.
_MAX_SHOWN = 12
# Rules whose findings may be references to a step that seems to be unused.
_HIDING = ("undefined-step", "unknown-keyword", "from-expression", "template")


def check_references(model: FlowModel, findings: Findings, *, is_subflow: bool = False) -> None:
    """Find faults in the graph of a flow, or of a flow inside a step."""
    for step in model.steps:
        # Steps of a flow that servers do not check may have any id.
        if not step.id.strip() and not findings.in_unchecked:
            findings.add("empty-id", "fatal", step.node.items["id"], "a step's id is empty", "give it a name")
        elif (first := model.by_id[step.id]) is not step:
            level, line = "warning" if findings.in_unchecked else "fatal", first.node.items["id"].line
            findings.add("duplicate-id", level, step.node.items["id"], f"two steps are called {step.id!r}; the first "
                         f"is in line {line}", "rename one of them")  # fmt: skip
    ids = [step.id for step in model.steps]
    for user, reads, known in (
        *((step, step.reads, ids[: step.index]) for step in model.steps),
        (None, model.output_reads, ids),
    ):
        for read in reads:
            if read.step is not None and read.step not in model.by_id:
                where = f"step {user.id!r}" if user is not None else "the output"
                findings.add("undefined-step", "fatal", read.target, f"{where} refers to step {read.step!r}, which "
                             "does not exist", near(read.step, known, "steps are"))  # fmt: skip
            elif read.step is not None and user is not None:
                _check_order(model, user, model.by_id[read.step], read, findings)
    # A step that only a default refers to has a finding of its own.
    defaults = {read.step for read in model.reads if read.step and read.reference.in_default}
    needed, root = model.graph.needed() | model.graph.upstream(defaults), model.root.path
    if not any(rule in _HIDING and path.startswith(root) for rule, _, _, path in findings.all):
        for step in model.steps:
            if step.id not in needed and step.id.strip():
                findings.add("unused-step", "warning", step.node.items["id"], f"step {step.id!r} never runs: neither "
                             "the output nor a step that runs needs it", "refer to it in the output, set mustExecute: "
                             "true, or remove it")  # fmt: skip
    certain = model.graph.needed(certainly=True)
    _check_stalls(model, None, model.output_reads, certain, is_subflow, findings)
    for step in model.steps:
        _check_stalls(model, step, step.reads, certain, is_subflow, findings)


def _check_order(model: FlowModel, step: Step, other: Step, read: Read, findings: Findings) -> None:
    if other is step:
        findings.add("self-reference", "fatal", read.target, f"step {step.id!r} reads its own output")
    elif other.index >= step.index:
        cyclic = model.graph.cyclic
        is_cycle = other.id in cyclic and step.id in cyclic and not read.reference.in_default
        if is_cycle and (path := model.graph.shortest_path(other.id, step.id)):
            shown = [step.id, *path] if len(path) < _MAX_SHOWN else [step.id, *path[:5], "...", *path[-5:]]
            findings.add("cycle", "fatal", read.target, f"steps wait for each other: {' -> '.join(shown)}",
                         "remove one of these references")  # fmt: skip
        elif not findings.in_unchecked:
            findings.add("later-step", "fatal", read.target, f"step {step.id!r} refers to {other.id!r}, which is "
                         "defined later", f"move {other.id!r} before {step.id!r}")  # fmt: skip


def _check_stalls(
    model: FlowModel, step: Step | None, reads: list[Read], certain: set[str], is_subflow: bool, findings: Findings
) -> None:
    own = {read.step for read in reads if read.reference.is_certain}
    plain = {read.step for read in reads if not read.reference.in_default}
    for read in reads:
        if read.step not in model.by_id or read.step in own:
            continue
        hint = f"refer to {read.step!r} outside of the default too"
        if read.reference.in_default and step is not None:
            if read.step not in model.graph.upstream(each for each in plain if each):
                findings.add("default-step", "warning", read.target, f"step {step.id!r} does not wait for step "
                             f"{read.step!r} in the default of a variable: without a value for the variable, it may "
                             "fail with 'not completed'", hint)  # fmt: skip
        elif read.step in certain:
            continue
        elif read.reference.in_default:
            if read.step not in plain:
                findings.add("default-step", "warning", read.target, f"the default of a variable does not make step "
                             f"{read.step!r} run: without a value for the variable, it fails with 'not completed'",
                             hint)  # fmt: skip
        elif (after := read.reference.after) and read.step not in after:
            effect = "hangs for 30 s or forever"
            if step is None:
                effect = "fails with 'not completed'"
            elif is_subflow:
                effect = "never ends"
            steps = " and ".join(f"step {each!r}" for each in sorted(after))
            branch = next((each for each in reversed(read.reference.branches) if each.kind in ("then", "else")), None)
            if branch is None:
                condition = f"if {steps} {'returns' if len(after) == 1 else 'return'} null"
            else:
                condition = f"if the condition on {steps} is {'true' if branch.kind == 'then' else 'false'}"
            findings.add("conditional-stall", "warning", read.target, f"{condition}, the run {effect}, because nothing "
                         f"else makes step {read.step!r} run", f"set mustExecute: true on {read.step!r}, or refer to "
                         "it outside of the condition")  # fmt: skip
