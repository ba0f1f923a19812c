"""Checking a flow offline before it is run, as `stepflow validate --offline` does.

Importing the checks takes about half as long as starting Python. Texts without errors are therefore remembered, by
their digests, and not checked again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from stepflow_client import StepflowClientError
from stepflow_client._command import user_folder
from stepflow_client.flows.flow_argument import flow_in

from .._version import VERSION
from ..context import current_session
from ..inputs.flow import flow_text, project_of, step_ids
from ..inputs.python_flow import is_python_flow
from ..output.messages import note
from ..settings.target import target_setting

if TYPE_CHECKING:
    from pathlib import Path

    from stepflow_client.flows.findings import Finding
    from stepflow_client.flows.source import FlowText

_STEP = re.compile(r"\$\.steps\[(\d+)\]")
_CASES = re.compile(r"\$\.(test|examples)\b")
_OUTPUT = re.compile(r"\$\.(output|schemas\.properties\.output)\b")
_NOTED = ("unknown-keyword", "template")
"""The rules for text that looks like an expression."""
_MAX_REMEMBERED = 1000


def read_flow_text(name: str) -> FlowText:
    """Return the text of a flow.

    Raises:
        Problem, FlowFileError: If it cannot be read, or is not a mapping.
    """
    text = flow_text(name)
    value = text.unplaced.root.value
    # What is wrong with a mapping has a place in the file.
    if not isinstance(value, dict):
        flow_in(value, text.name)
    return text


def check_before_run(
    text: FlowText, name: str, run: Mapping[str, Any], *, changed: Collection[str] = (), is_part: bool = False
) -> None:
    """Raise if a run of the flow would fail, after printing the errors in it.

    Warnings are only printed about text that looks like an expression: such a run completes, but with data that its
    author did not mean.

    Args:
        text: The flow.
        name: Its name on the command line.
        run: The flow as it is run: it may lack steps.
        changed: The steps that overrides change, whose faults may be corrected by them.
        is_part: Whether only a part of the flow is run, with another output.

    Raises:
        InvalidFlow: If there are errors.
        Problem: If a setting is no release.
        FlowFileError: If the project's file is wrong.
    """
    project = project_of(name)
    target = target_setting(project=project).value
    digest, remembered = _digest(text, name, target), _remembered()
    if digest in remembered:
        return
    from stepflow_client._command import find_in

    kept = {*step_ids(run)} - {*changed}
    flow = text.unplaced.root.value
    every = find_in(text.unplaced, target=target)
    if all(each.level == "warning" and each.rule not in _NOTED for each in every):
        _remember(digest, remembered)
    if not any(_concerning(every, flow, kept, is_part=is_part)):
        return
    from ..records.diagnostics import InvalidFlow, called, counted, finding_records, source_text

    chosen, ignored = project.rules.select, project.rules.ignore
    found = [
        each
        for each in _concerning(find_in(text, target=target), flow, kept, is_part=is_part)
        if (not chosen or each.rule in chosen) and each.rule not in ignored
    ]
    errors = [each for each in found if each.level != "warning"]
    if not errors:
        for each in finding_records(name, found):
            note(f"{each['file']}:{each['line']}:{each['column']}: {each['message']}; {each['hint']}")
        return
    records = finding_records(name, errors)
    is_json = current_session().json_errors
    if not is_json:
        click.echo(source_text(records), err=True, nl=False)
    told = f"{called(name)} is invalid: {counted(records)}"
    raise InvalidFlow(told, records if is_json else [], hint="--no-check sends it all the same")


def _concerning(
    found: Collection[Finding], flow: Mapping[str, Any], kept: Collection[str], *, is_part: bool
) -> Iterator[Finding]:
    """Yield the findings that concern the run: none in test cases, in steps that are not run, or that are changed.

    Only the server knows its components: one of a newer release may have more.
    """
    for each in found:
        is_elsewhere = _CASES.match(each.path) or (is_part and _OUTPUT.match(each.path))
        is_minor = each.level == "warning" and each.rule not in _NOTED
        if is_minor or each.rule == "unknown-component" or is_elsewhere:
            continue
        step = _STEP.match(each.path)
        if step is None or _id(flow, int(step[1])) in (None, *kept):
            yield each


def _id(flow: Mapping[str, Any], index: int) -> str | None:
    step = flow["steps"][index]
    name = step.get("id") if isinstance(step, Mapping) else None
    return str(name) if name is not None else None


def _digest(text: FlowText, name: str, target: str | None) -> str:
    """Return a digest of a text and of what else decides its errors: its kind, and the releases it is checked for."""
    import json
    from hashlib import sha256

    is_json = text.name.lower().endswith(".json")
    # The text of a Python flow is one of the files that make it.
    content = json.dumps(text.root.value) if is_python_flow(name) else text.text
    return sha256(f"{VERSION} {target} {is_json} {content}".encode()).hexdigest()


def _remembered() -> list[str]:
    """Return the digests of texts without errors, the newest last."""
    with suppress(OSError, UnicodeError, StepflowClientError):
        return _memory().read_text("utf-8").split()
    return []


def _remember(digest: str, remembered: list[str]) -> None:
    # Two commands that write at once forget a digest at worst.
    with suppress(OSError, StepflowClientError):
        _memory().parent.mkdir(parents=True, exist_ok=True)
        _memory().write_text("\n".join([*remembered[1 - _MAX_REMEMBERED :], digest]), "utf-8")


def _memory() -> Path:
    return user_folder("cache") / "checked"
