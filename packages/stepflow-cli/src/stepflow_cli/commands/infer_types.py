"""`stepflow infer`."""

from __future__ import annotations

import os

import click

from ..errors import current_session, usage
from ..inputs.file_io import write_bytes
from ..inputs.flow_loading import import_python_flow, is_python_flow, load_project_settings, read_flow_bytes
from ..output.colors_and_escaping import escape
from ..output.printing import Output, write_document_bytes
from ..params.click_commands import Command
from ..params.flow_run_options import flow_argument
from ..params.options import (
    OUTPUT,
    components_option,
    make_table_output_options,
    offline_option,
    option,
    output_file_option,
    server_options,
)
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

# Sentinel for --output without a value: write to the default file next to the flow.
_NEXT_TO_FLOW = os.path.join(os.devnull, "")


@click.command("infer", cls=Command)
@flow_argument
@offline_option
@components_option
@option("--strict", "Report outputs without a type as errors, not warnings.", hidden=True)
@output_file_option(
    "Write the flow, with missing schemas filled in, to this file, or - for standard output. -O alone writes to a "
    "file such as hello.inferred.yaml. Comments and layout are kept.",
    "written",
    metavar="[FILE]",
    is_flag=False,
    flag_value=_NEXT_TO_FLOW,
)
@OUTPUT.option("--show-step-inputs", "Show what input each step receives and expects.")
@server_options(default="embedded")
@make_table_output_options()
def infer_command(
    flow: str,
    offline: bool,
    components: str | None,
    strict: bool,
    written: str | None,
    show_step_inputs: bool,
    server: ServerOptions,
    output: Output,
) -> None:
    """FLOW can be a YAML or JSON file, or - to read standard input. Types come from the flow's own schemas, then from
    the components (on a server, in --components or in the project), and are followed through paths, branches and nested
    flows. Nothing is run.

    A value that can't match its type is an error (exit code 3). A value that might not match, or an output without a
    type, is a warning. 'stepflow validate --type-check' also reports these problems.
    """
    from stepflow_client._command import infer_from_flow_text
    from stepflow_client.flows.reading import decode_text
    from stepflow_client.flows.syntax_tree import FlowText

    from ..records.diagnostics import FlowProblem, finding_records, flow_label, format_counts, format_like_compiler
    from ..records.flows import build_types_object, get_inferred_types_view, list_inferred_type_records
    from ..validation.flow_checks import CheckOptions, fetch_components_for_checks

    path = written
    if written == _NEXT_TO_FLOW:
        if flow == "-":
            raise usage("--output needs a file name, because the flow comes from standard input")
        stem, ending = (import_python_flow(flow).name, "") if is_python_flow(flow) else os.path.splitext(flow)
        path = f"{stem}.inferred{ending or '.yaml'}"
    Output(path=path).check_file_writable()
    content, source = read_flow_bytes(flow)
    text = import_python_flow(flow).text if is_python_flow(flow) else FlowText(decode_text(content, source), source)
    options = CheckOptions(components, reads_components=offline or not server.has_server_option)
    known = options.load_components_for_project(load_project_settings(flow))
    if known is None and not offline:
        with connect(server, flow=flow) as target:
            known = fetch_components_for_checks(target)
    inferred = infer_from_flow_text(text, known, strict=strict)
    findings = finding_records(flow, inferred._findings)
    if path is not None:
        annotated = inferred.annotated(content, source)
        if path == flow != "-":
            write_bytes(path, annotated, expected_content=content)
        else:
            write_document_bytes(annotated, path)
    if path != "-":
        if output.format in ("json", "yaml") and not output.fields:
            output.print_value(build_types_object(flow, inferred, findings))
        else:
            records = list_inferred_type_records(inferred)
            if output.format == "name":
                records = [record for record in records if record["part"] == "step"]
            output.print_records(records, get_inferred_types_view(has_inputs=show_step_inputs))
    is_read = output.format in (None, "table")
    if is_read:
        click.echo(format_like_compiler(findings), err=True, nl=False)
    if any(finding["level"] != "warning" for finding in findings):
        raise FlowProblem(f"{flow_label(flow)} is invalid: {format_counts(findings)}", [] if is_read else findings)
    if is_read and not current_session().quiet:
        typed = sum(step.source != "unknown" for step in inferred.steps)
        counts = f"; {format_counts(findings)}" if findings else ""
        message = f"{flow_label(flow)}: outputs with a type: {typed} of {len(inferred.steps)}{counts}"
        click.echo(escape(message), err=True)
