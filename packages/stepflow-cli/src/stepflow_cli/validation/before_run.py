"""Checks a flow offline before it is run, as `stepflow validate --offline` does.

Importing the checks takes about half as long as starting Python. The cache folder therefore has the digests of texts
without errors, which are not checked again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from stepflow_client import StepflowClientError
from stepflow_client._command import user_folder
from stepflow_client.flows.reading import flow_in

from .._version import VERSION
from ..errors import current_session
from ..inputs.flow import find_flow_project, is_python_flow, list_step_ids, load_flow_text
from ..output.messages import note
from ..settings.server_choice import get_target_setting

if TYPE_CHECKING:
    from stepflow_client.flows.findings import Finding
    from stepflow_client.flows.source import FlowText

_STEP = re.compile(r"\$\.steps\[(\d+)\]")
_CASES = re.compile(r"\$\.(test|examples)\b")
_OUTPUT = re.compile(r"\$\.(output|schemas\.properties\.output)\b")
# The rules for text that looks like an expression.
_NOTED = ("unknown-keyword", "template")
_MAX_REMEMBERED = 1000


def read_flow_text(name: str) -> FlowText:
    """Return the text of a flow.

    Raises:
        Problem, FlowFileError: If it cannot be read or is not a mapping.
    """
    text = load_flow_text(name)
    value = text.unplaced.root.value
    # Other errors have a position in the file.
    if not isinstance(value, dict):
        flow_in(value, text.name)
    return text


def check_before_run(
    text: FlowText, name: str, run: Mapping[str, Any], *, changed: Collection[str] = (), is_part: bool = False
) -> None:
    """Raise if a run of the flow would fail, after printing the errors in it.

    Warnings are printed only for text that looks like an expression: the run completes, but with unintended data.

    Args:
        text: The flow.
        name: Its name on the command line.
        run: The flow to run, which may lack steps.
        changed: The steps with overrides, which may correct their faults.
        is_part: Whether only a part of the flow is run, with a different output.

    Raises:
        InvalidFlow: If there are errors.
        Problem: If a setting is not a release.
        FlowFileError: If the project file is invalid.
    """
    import json
    from hashlib import sha256

    project = find_flow_project(name)
    target = get_target_setting(project=project).value
    is_json = text.name.lower().endswith(".json")
    # The text of a Python flow is only one of its files.
    content = json.dumps(text.root.value) if is_python_flow(name) else text.text
    digest = sha256(f"{VERSION} {target} {is_json} {content}".encode()).hexdigest()
    clean: list[str] = []
    with suppress(OSError, UnicodeError, StepflowClientError):
        clean = (user_folder("cache") / "checked").read_text("utf-8").split()
    if digest in clean:
        return
    from stepflow_client._command import check_source

    kept = {*list_step_ids(run)} - {*changed}
    flow = text.unplaced.root.value
    every = check_source(text.unplaced, target=target)
    if all(finding.level == "warning" and finding.rule not in _NOTED for finding in every):
        # Two commands that write at the same time lose a digest at worst.
        with suppress(OSError, StepflowClientError):
            cache = user_folder("cache")
            cache.mkdir(parents=True, exist_ok=True)
            (cache / "checked").write_text("\n".join([*clean[1 - _MAX_REMEMBERED :], digest]), "utf-8")
    if not any(_filter_relevant(every, flow, kept, is_part=is_part)):
        return
    from ..records.diagnostics import InvalidFlow, display_name, finding_records, format_counts, format_source_text

    chosen, ignored = project.rules.select, project.rules.ignore
    reported = [
        finding
        for finding in _filter_relevant(check_source(text, target=target), flow, kept, is_part=is_part)
        if (not chosen or finding.rule in chosen) and finding.rule not in ignored
    ]
    errors = [finding for finding in reported if finding.level != "warning"]
    if not errors:
        for record in finding_records(name, reported):
            note(f"{record['file']}:{record['line']}:{record['column']}: {record['message']}; {record['hint']}")
        return
    records = finding_records(name, errors)
    as_json = current_session().json_errors
    if not as_json:
        click.echo(format_source_text(records), err=True, nl=False)
    message = f"{display_name(name)} is invalid: {format_counts(records)}"
    raise InvalidFlow(message, records if as_json else [], hint="use --no-check to send it anyway")


def _filter_relevant(
    findings: Collection[Finding], flow: Mapping[str, Any], kept: Collection[str], *, is_part: bool
) -> Iterator[Finding]:
    """Yield the findings that affect the run: not in test cases, nor in steps that are changed or not run.

    Unknown components are not reported, because a server of a newer release may have more.
    """
    for finding in findings:
        is_elsewhere = _CASES.match(finding.path) or (is_part and _OUTPUT.match(finding.path))
        is_minor = finding.level == "warning" and finding.rule not in _NOTED
        if is_minor or finding.rule == "unknown-component" or is_elsewhere:
            continue
        match = _STEP.match(finding.path)
        step = flow["steps"][int(match[1])] if match is not None else None
        step_id = step.get("id") if isinstance(step, Mapping) else None
        if step_id is None or str(step_id) in kept:
            yield finding
