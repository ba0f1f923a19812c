"""Where the steps and variables of a flow are named: their definitions, and everything that reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from stepflow_client._command import FlowModel, edit_of
from stepflow_client._editing.text_edits import Edit
from stepflow_client.flows.findings import Fix
from stepflow_client.flows.source import Node

_NAME = re.compile(r"[^\W\d][\w-]*")


class Mention(NamedTuple):
    """A place where a step or a variable is named."""

    kind: Literal["step", "variable"]
    name: str
    start: int
    end: int
    """The characters of the file: the whole value or key, with its quotes."""
    written: str
    """The value: the name, or the path that begins with it."""
    flow: Node
    """The flow that has the step or the variable."""
    is_definition: bool = False
    user: str | None = None
    """The step that reads it; None for the output and outside of steps."""
    is_read: bool = False


def mentions_in(model: FlowModel) -> Iterator[Mention]:
    """Yield the places where steps and variables are named in a flow, and in the flows inside its steps."""
    for each in model.flows:
        found = (*_of_steps(each), *_of_variables(each))
        # What is merged into a mapping stands somewhere else.
        yield from {(mention.start, mention.end): mention for mention in found if mention.start >= 0}.values()


def _of_steps(model: FlowModel) -> Iterator[Mention]:
    flow = model.root
    for step in model.steps:
        at = step.node.items["id"]
        yield Mention("step", step.id, at.start, at.end, step.id, flow, is_definition=True)
    yield from _reads(model)
    mocks = [case.get("mocks") for case in model.cases]
    for node in (model.schema("steps", "properties"), *mocks):
        for name, key in node.keys.items() if node is not None else ():
            yield Mention("step", name, key.start, key.end, name, flow)


def _reads(model: FlowModel) -> Iterator[Mention]:
    for user, reads in (*((step.id, step.reads) for step in model.steps), (None, model.output_reads)):
        for read in reads:
            name = read.step if read.kind == "step" else read.reference.variable
            if name is not None and read.kind != "input":
                kind: Literal["step", "variable"] = "step" if read.kind == "step" else "variable"
                at = read.target
                yield Mention(kind, name, at.start, at.end, str(at.value), model.root, user=user, is_read=True)


def _of_variables(model: FlowModel) -> Iterator[Mention]:
    declared, required = model.schema("variables", "properties"), model.schema("variables", "required")
    for name, key in declared.keys.items() if declared is not None else ():
        yield Mention("variable", name, key.start, key.end, name, model.root, is_definition=True)
    for each in required.elements if required is not None else ():
        if isinstance(each.value, str):
            yield Mention("variable", each.value, each.start, each.end, each.value, model.root)


def mention_at(mentions: Iterable[Mention], offset: int) -> Mention | None:
    """Return what is named at an offset; None if that is neither a step nor a variable."""
    return next((each for each in mentions if each.start <= offset <= each.end), None)


def of_same(mentions: Iterable[Mention], one: Mention) -> list[Mention]:
    """Return the places that name the same step or variable."""
    return [each for each in mentions if each[:2] == one[:2] and each.flow is one.flow]


def renamed(text: str, mentions: Iterable[Mention], one: Mention, name: str) -> list[Edit]:
    """Return the edits that give a step or a variable another name.

    Raises:
        ValueError: If the name cannot be written everywhere, or is taken. The message says why.
    """
    mentions = list(mentions)
    if not _NAME.fullmatch(name):
        raise ValueError("a name consists of letters, digits, _ and -, and begins with a letter")
    if name != one.name and any(each[:2] == (one.kind, name) and each.flow is one.flow for each in mentions):
        raise ValueError(f"there is a {one.kind} {name!r} already")
    edits = []
    for each in of_same(mentions, one):
        # A variable is the first part of its path: v, $.v[0], $['v'].
        begin = each.written.index(each.name)
        new = each.written[:begin] + name + each.written[begin + len(each.name) :]
        edit = edit_of(text, Fix(each.start, each.end, each.written, new))
        if edit is None:
            raise ValueError(f"the name is written with escapes or as an alias: {text[each.start : each.end]}")
        edits.append(edit)
    return edits
