"""`stepflow validate`."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from stepflow_client._command import suggest_or_list

from .._version import VERSION
from ..errors import Problem, convert_to_problem, current_session, usage
from ..inputs.file_io import read_bytes, write_bytes
from ..inputs.flow_loading import is_python_flow
from ..output.colors_and_escaping import escape
from ..output.messages import note, print_problem
from ..output.printing import Output
from ..params.click_commands import Command
from ..params.flow_run_options import flows_argument, rounds_option
from ..params.options import (
    Choice,
    components_option,
    excludes,
    group_options,
    make_table_output_options,
    offline_option,
    option,
    server_options,
)
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from ..validation.flow_checks import CheckedFlow, CheckOptions

_LEVELS = ("fatal", "error", "warning")


def _build_check_options(
    fail_on: str | None, strict: bool, select: Sequence[str], ignore: Sequence[str], **more: Any
) -> dict[str, Any]:
    level = "warning" if strict else fail_on
    return {"fail_on": level, "select": _split_rule_names(select), "ignore": _split_rule_names(ignore), **more}


@click.command(
    "validate",
    cls=Command,
    conflicts=[excludes("--watch", "--fix", "to get fixes as you type, use the language server in your editor")],
)
@flows_argument(of_project=True)
@offline_option
@group_options(
    "rules",
    _build_check_options,
    components_option,
    option("--type-check", "Follow types from step to step and report mismatches."),
    option("--target RELEASE", "Check flows only for this server release, for example 0.13."),
    option("--select RULE,...", "Report only these rules. Repeatable.", multiple=True),
    option("--ignore RULE,...", "Ignore these rules. Repeatable.", multiple=True),
    option(
        "--fail-on LEVEL",
        "Fail on findings at or above this level: fatal, error or warning. [default: error]",
        type=Choice(_LEVELS),
    ),
    # The upstream `stepflow` command has this option.
    option("--strict", "Same as --fail-on warning.", hidden=True),
)
@option("--fix", "Fix only problems whose solution is clear.", is_risky=True)
@server_options(default="embedded")
@rounds_option
@make_table_output_options(sarif="sarif", github="github")
def command(
    flows: list[str],
    offline: bool,
    rules: dict[str, Any],
    fix: bool,
    server: ServerOptions,
    watch: bool,
    output: Output,
) -> None:
    """FLOW can be a YAML or JSON file, a folder of flow files, MODULE:FUNCTION for a flow in Python, - to read standard
    input, or the ID of a flow on the server. By default, the project's flows are checked. Nothing is stored or run.

    Servers reject flows with fatal errors. Flows with other errors are accepted but will likely fail. In both cases,
    the flow is invalid (exit code 3). Warnings are allowed. To suppress a rule on a line, add the comment # stepflow:
    ignore[RULE] to it. Defaults come from the project's stepflow.toml or pyproject.toml: components, target, and (in
    the validate table) select, ignore, fail-on and type-check. STEPFLOW_TARGET and 'stepflow config set target' also
    apply to other commands that check flows.
    """
    from ..validation.flow_checks import CheckOptions

    options = CheckOptions(reads_components=offline or not server.has_server_option, **rules)
    named_server = None if offline else server
    if not watch:
        _check_and_print_findings(flows, options, output, named_server, fix=fix)
        return
    from ..file_watching import check_no_stdin, iter_watched_files, keeping_embedded_server, rerun_on_changes

    check_no_stdin(flows)
    own = [] if options.components is None else [options.components]
    with keeping_embedded_server(server, flows[0]) as open_round:

        def validate_round() -> None:
            if offline:
                _check_and_print_findings(flows, replace(options), output, None)
                return
            with open_round() as session_options:
                _check_and_print_findings(flows, replace(options), output, session_options)

        rerun_on_changes(
            validate_round, lambda: [*own, *(file for flow in flows for file in iter_watched_files(flow, named_server))]
        )


def _check_and_print_findings(
    flows: list[str], options: CheckOptions, output: Output, server: ServerOptions | None, *, fix: bool = False
) -> None:
    """Check flows and print the findings.

    Args:
        flows: Flows, or folders of flows.
        options: How to check them.
        output: Where to print the findings.
        server: The server to query, if any.
        fix: Whether to fix the files.

    Raises:
        Problem: If a flow is invalid, or if the server can't be queried.
    """
    from stepflow_client.flows.findings import RULES

    from ..records.diagnostics import finding_records
    from ..validation.flow_checks import add_server_findings, check_offline, expand_folders, recheck_with_components

    rules = {name: options.get_flow_rules(name) for name in expand_folders(flows)}
    for rule in (rule for flow_rules in rules.values() for rule in (*flow_rules.select, *flow_rules.ignore)):
        # The server's rule names are spelled differently, e.g. unreachableStep, so they aren't checked here.
        if rule not in RULES and rule == rule.lower():
            raise usage(f"unknown rule {rule!r}", suggest_or_list(rule, sorted(RULES), "the rules are"))
    checked = [check_offline(name, each) for name, each in rules.items()]
    if server is None and any(flow.flow is None for flow in checked):
        raise usage("--offline cannot check flows on a server", "pass their files, or leave out --offline")
    if fix:
        checked = [_correct_flow_file(flow) for flow in checked]
    failure = None
    if server is not None and any(flow.is_parseable for flow in checked):
        try:
            with connect(server, flow=checked[0].name) as target:
                recheck_with_components(checked, target)
                for flow in checked:
                    add_server_findings(flow, target.client)
        except Exception as error:
            failure = convert_to_problem(error)
    findings: dict[str, list[Mapping[str, Any]]] = {}
    order = {level: place for place, level in enumerate(_LEVELS)}
    for flow in checked:
        records = flow.filter_reported_records([*finding_records(flow.name, flow.findings), *flow.records])
        findings[flow.name] = sorted(records, key=lambda record: order.get(record["level"], len(order)))
    _print_findings([record for records in findings.values() for record in records], output, len(findings))
    if unchecked := sum(flow.unchecked for flow in checked):
        note(f"the server did not check {unchecked} field access{'es' * (unchecked != 1)}")
    _print_verdicts_and_raise(findings, {flow.name: flow.rules.fail_on for flow in checked}, failure, output)


def _split_rule_names(values: Sequence[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _correct_flow_file(checked: CheckedFlow) -> CheckedFlow:
    """Fix a flow's file in place and return the flow with the remaining findings."""
    from ..validation.flow_checks import find_offline_findings
    from ..validation.flow_corrections import correct_flow

    if checked.flow is None:
        return checked
    if checked.name == "-":
        raise usage("--fix changes files, not standard input")
    if is_python_flow(checked.name):
        raise usage(f"--fix changes flow files, not flows in Python: {checked.name}")
    done = correct_flow(checked.flow, lambda flow: find_offline_findings(flow, checked.rules))
    if done.number:
        before, after = checked.flow.text.encode(), done.flow.text.encode()
        if read_bytes(checked.name).startswith(BOM_UTF8):
            before, after = BOM_UTF8 + before, BOM_UTF8 + after
        write_bytes(checked.name, after, expected_content=before)
    if checked.findings:
        left = "" if not done.remaining_findings else f", {_format_count(len(done.remaining_findings), 'finding')} left"
        click.echo(f"{checked.name}: {_format_count(done.number, 'correction')}{left}", err=True)
    return replace(checked, flow=done.flow, findings=list(done.remaining_findings))


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print_findings(records: list[Mapping[str, Any]], output: Output, flows: int) -> None:
    from ..records.diagnostics import DIAGNOSTICS, format_github_diagnostics, format_like_compiler, format_sarif_log

    match output.format:
        case None if not output.fields:
            output.write(format_like_compiler(records))
        case "github":
            output.write(format_github_diagnostics(records))
        case "sarif":
            output.write(format_sarif_log(records, VERSION))
        case _ if records or output.fields or output.format not in (None, "table"):
            # If there's just one flow, don't repeat its name on every line.
            columns = DIAGNOSTICS.columns[1:] if flows == 1 else DIAGNOSTICS.columns
            output.print_records(records, DIAGNOSTICS._replace(columns=columns))


def _print_verdicts_and_raise(
    findings: Mapping[str, Sequence[Mapping[str, Any]]],
    lowest: Mapping[str, str],
    failure: Problem | None,
    output: Output,
) -> None:
    """Print a verdict on each flow, then raise a problem if a flow is invalid or the server couldn't be queried."""
    from ..records.diagnostics import FlowProblem, flow_label, format_counts

    is_shown = output.format in (None, "table") and not current_session().quiet
    levels = {flow: _LEVELS[: _LEVELS.index(level) + 1] for flow, level in lowest.items()}
    invalid = [flow for flow, records in findings.items() if any(record["level"] in levels[flow] for record in records)]
    # Without the server's checks, even a flow with no findings could be invalid.
    shown = [flow for flow in findings if flow in invalid or failure is None]
    if is_shown and len(findings) > 1:
        from ..output.record_views import View, columns
        from ..output.tables import format_aligned_text_table

        rows = [
            {"flow": flow_label(flow), "verdict": "invalid" if flow in invalid else "valid"}
            | {level: sum(record["level"] == level for record in findings[flow]) or "" for level in _LEVELS}
            for flow in shown
        ]
        view = View(columns("flow", "verdict", *(f"{level}:number" for level in _LEVELS)))
        click.echo(format_aligned_text_table(rows, view) if rows else "", err=True, nl=False)
    elif is_shown and not invalid:
        for flow in shown:
            counts = format_counts(findings[flow])
            # Depending on --fail-on, a flow can pass even though it has errors.
            has_errors = any(record["level"] in ("fatal", "error") for record in findings[flow])
            verdict = f"{'passes' if has_errors else 'is valid'}{f': {counts}' if counts else ''}"
            click.echo(f"{escape(flow_label(flow))} {verdict}", err=True)
    if invalid:
        if failure is not None:
            print_problem(failure)
        only_warned = all(finding["level"] == "warning" for flow in invalid for finding in findings[flow])
        hint = "to allow warnings, use --fail-on error" if only_warned else None
        if len(findings) > 1:
            be = "is" if len(invalid) == 1 else "are"
            raise FlowProblem(f"{len(invalid)} of {len(findings)} flows {be} invalid", hint=hint)
        raise FlowProblem(f"{flow_label(invalid[0])} is invalid: {format_counts(findings[invalid[0]])}", hint=hint)
    if failure is not None:
        raise failure
