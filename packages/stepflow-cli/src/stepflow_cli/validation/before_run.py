"""Check a flow offline before running it, just like `stepflow validate --offline`.

Importing the checks takes about half as long as starting Python, so digests of valid flows are cached to let the next
run skip the check.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from stepflow_client import StepflowClientError
from stepflow_client._command import get_stepflow_user_folder
from stepflow_client.flows.reading import require_flow

from .._version import VERSION
from ..errors import current_session
from ..inputs.flow_loading import is_python_flow, list_step_ids, load_project_settings, read_flow_text
from ..output.messages import note
from ..settings.server_choice import get_target_release_setting

if TYPE_CHECKING:
    from stepflow_client.flows.findings import Finding
    from stepflow_client.flows.syntax_tree import FlowText

_STEP_PATH = re.compile(r"\$\.steps\[(\d+)\]")
_CASES_PATH = re.compile(r"\$\.(test|examples)\b")
_OUTPUT_PATH = re.compile(r"\$\.(output|schemas\.properties\.output)\b")
# The rules that look for text that resembles an expression.
_NOTED_RULES = ("unknown-keyword", "template")
_MAX_REMEMBERED_FLOWS = 1000


def read_mapping_flow_text(name: str) -> FlowText:
    """Return the text of a flow.

    Raises:
        Problem, FlowFileError: If the flow can't be read or isn't a mapping.
    """
    text = read_flow_text(name)
    value = text.copy_without_positions.root.value
    # All other errors are reported by the checks, along with their positions.
    if not isinstance(value, dict):
        require_flow(value, text.name)
    return text


def check_before_run(
    text: FlowText, name: str, run: Mapping[str, Any], *, changed: Collection[str] = (), is_part: bool = False
) -> None:
    """Check the flow. If it has errors that would make the run fail, print them and raise an error.

    The only warnings printed are about text that looks like an expression, since the run would complete with the wrong
    data.

    Args:
        text: The flow.
        name: The flow's name on the command line.
        run: The flow to run, which may have had steps removed.
        changed: The steps that have overrides. Their errors are ignored, because an override might fix them.
        is_part: Whether only part of the flow is run, which means that the output is different.

    Raises:
        FlowProblem: If the flow has errors.
        Problem: If the target release is invalid.
        FlowFileError: If the project file is invalid.
    """
    import json
    from binascii import crc32

    project = load_project_settings(name)
    target = get_target_release_setting(project=project).value
    is_json = text.name.lower().endswith(".json")
    # A Python flow can consist of several files, and the text is only one of them.
    content = json.dumps(text.root.value) if is_python_flow(name) else text.text
    key = f"{VERSION} {target} {is_json} {content}".encode()
    # Use a checksum, because a cryptographic hash would load OpenSSL. If checksums collide, the server still reports
    # the errors.
    digest = f"{len(key)}-{crc32(key):08x}"
    clean: list[str] = []
    with suppress(OSError, UnicodeError, StepflowClientError):
        clean = (get_stepflow_user_folder("cache") / "checked").read_text("utf-8").split()
    if digest in clean:
        return
    from stepflow_client._command import check_source

    kept = {*list_step_ids(run)} - {*changed}
    flow = text.copy_without_positions.root.value
    every = check_source(text.copy_without_positions, target=target)
    if all(finding.level == "warning" and finding.rule not in _NOTED_RULES for finding in every):
        # If two commands write at the same time, at worst one digest is lost.
        with suppress(OSError, StepflowClientError):
            cache = get_stepflow_user_folder("cache")
            cache.mkdir(parents=True, exist_ok=True)
            (cache / "checked").write_text("\n".join([*clean[1 - _MAX_REMEMBERED_FLOWS :], digest]), "utf-8")
    if not any(_filter_relevant_findings(every, flow, kept, is_part=is_part)):
        return
    from ..records.diagnostics import FlowProblem, finding_records, flow_label, format_counts, format_like_compiler

    chosen, ignored = project.rules.select, project.rules.ignore
    reported = [
        finding
        for finding in _filter_relevant_findings(check_source(text, target=target), flow, kept, is_part=is_part)
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
        click.echo(format_like_compiler(records), err=True, nl=False)
    message = f"{flow_label(name)} is invalid: {format_counts(records)}"
    raise FlowProblem(message, records if as_json else [], hint="use --no-check to send it anyway")


def _filter_relevant_findings(
    findings: Collection[Finding], flow: Mapping[str, Any], kept: Collection[str], *, is_part: bool
) -> Iterator[Finding]:
    """Yield the findings that affect the run. Skips test cases, steps with overrides and steps that aren't run.

    Also skips unknown components, because a newer server might have more components.
    """
    for finding in findings:
        is_elsewhere = _CASES_PATH.match(finding.path) or (is_part and _OUTPUT_PATH.match(finding.path))
        is_minor = finding.level == "warning" and finding.rule not in _NOTED_RULES
        if is_minor or finding.rule == "unknown-component" or is_elsewhere:
            continue
        match = _STEP_PATH.match(finding.path)
        step = flow["steps"][int(match[1])] if match is not None else None
        step_id = step.get("id") if isinstance(step, Mapping) else None
        if step_id is None or str(step_id) in kept:
            yield finding
