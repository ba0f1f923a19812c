"""Checks flows offline: runs all rules, honors suppression comments and adds excerpts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from .._base.gc_pauses_and_slices import pause_garbage_collector
from .._data.arguments import argument_error, check_flag
from .._rules.operations_and_releases import TARGET_RANGE, parse_checkable_release
from ..flows.components import ComponentCatalog, Components, convert_to_components
from ..flows.findings import Finding, Findings, Release, make_syntax_finding
from ..flows.reading import FlowSource
from ..flows.syntax_tree import FlowText, Node
from . import component_rules, expression_rules, reference_rules, schema_and_case_rules, shape_rules
from .steps_and_references import FlowAnalysis

if TYPE_CHECKING:
    from ..types import ValidationResult

_IGNORE_COMMENT = r"#\s*stepflow:\s*ignore(?P<file>-file)?(?:\[(?P<rules>[^\]]*)\])?"
_LEVELS = ("fatal", "error", "warning")
_MAX_SUBFLOW_DEPTH = 20


def check(
    flow: FlowSource,
    *,
    components: Any = None,
    select: Collection[str] = (),
    ignore: Collection[str] = (),
    type_check: bool = False,
    target: str | None = None,
) -> ValidationResult:
    """Check a flow without a server.

    Example:
        result = check("flow.yaml")
        for finding in result.diagnostics:
            print(finding.file, finding.line, finding.rule, finding.message)

    Args:
        flow: The path to a YAML or JSON file, or the flow itself (in which case diagnostics have no line).
        components: The components that the flow can use, as returned by `list_components` or as JSON objects. By
            default, just the builtin components.
        select: Rules to apply. Defaults to all of them.
        ignore: Rules to skip. To skip a rule in just one place, add the comment `# stepflow: ignore[rule]` to that
            line, or put it on a line of its own above it.
        type_check: Whether to check types throughout the flow as well, by comparing component schemas with the
            expressions that read the components' outputs. Enables the rules `type-mismatch`, `possible-mismatch`,
            `input-conflict` and `untyped-output`. Defaults to False.
        target: The server release the flow targets, e.g. `0.13`. Findings that only apply to other releases are
            skipped. By default, the flow targets all supported releases.

    Returns:
        The diagnostics, most severe first. Files that aren't valid YAML or UTF-8 are reported here too.

    Raises:
        FlowFileError: If the file can't be read.
        InvalidArgumentError: If `flow` is neither a path nor a flow, or if `target` isn't a release.
    """
    check_flag(type_check, "type_check")
    text, known = FlowText.from_source(flow), convert_to_components(components)
    findings = check_source(text, known, type_check=type_check, target=target)
    chosen = [finding for finding in findings if not select or finding.rule in select]
    return make_validation_result([finding for finding in chosen if finding.rule not in ignore])


@pause_garbage_collector()
def check_source(
    flow: FlowText,
    components: Components | None = None,
    *,
    type_check: bool = False,
    strict: bool = False,
    target: str | None = None,
) -> list[Finding]:
    """Run `check` on a flow's text and return the findings. If `strict` is set, outputs of unknown type are errors.

    Raises:
        InvalidArgumentError: If `target` isn't a release.
    """
    release = parse_supported_target(target)
    if flow.error is None:
        findings = Findings(release)
        catalog = ComponentCatalog(components, release, flow.component_schemas_from_python if type_check else None)
        _add_flow_findings(flow.root, catalog, findings, 0)
        if type_check and isinstance(flow.root.value, dict):
            from .type_rules import add_type_findings

            findings.is_checking_types = True
            add_type_findings(flow.root, catalog, findings, strict=strict)
        results = list(findings.all.values())
        if results:
            from .._editing.finding_fixes import add_hints_and_fixes

            results = add_hints_and_fixes(flow, results)
    else:
        from .._editing.syntax_fixes import add_syntax_fix

        results = [add_syntax_fix(flow, make_syntax_finding(flow.name, flow.error))]
    lines, is_suppressed = flow.lines, make_suppression_check(flow)
    results = [
        finding._replace(excerpt=make_excerpt(lines, finding.line, finding.column), file=flow.name, at=None, key=None)
        for finding in results
        if not is_suppressed(finding.line, (finding.rule,))
    ]
    return sorted(results, key=lambda result: (_LEVELS.index(result.level), result.line, result.column, result.rule))


def parse_supported_target(target: str | None) -> Release | None:
    """Parse a target release and return its first two numbers. None means all releases.

    Raises:
        InvalidArgumentError: If the release isn't supported.
    """
    release = parse_checkable_release(target)
    if target is not None and release is None:
        raise argument_error("target", f"a release from {TARGET_RANGE}, such as '0.13'", target)
    return release


def _add_flow_findings(root: Node, catalog: ComponentCatalog, findings: Findings, depth: int) -> None:
    with findings.treat_as_read_at_run_time(depth > 0):
        shape_rules.check_flow_shape(root, findings)
    if not isinstance(root.value, dict):
        return
    model = FlowAnalysis(root)
    for node in root.elements_at("steps"):
        with findings.treat_as_read_at_run_time(depth > 0):
            shape_rules.check_step_shape(node, findings)
        if (step_input := node.get("input")) is not None:
            expression_rules.check_expression(step_input, findings, model.by_id)
    for step in model.steps:
        component_rules.check_component_and_input(step, catalog, findings)
    if (output := root.get("output")) is not None:
        expression_rules.check_expression(output, findings, model.by_id)
    reference_rules.check_step_dependencies(model, findings)
    schema_and_case_rules.check_schemas(model, findings)
    reference_rules.check_input_and_variable_reads(model, findings)
    component_rules.check_paths_into_step_outputs(model, catalog, findings)
    if depth == 0:
        for node in root.walk():
            if node.merges:
                findings.add("merge-key", "warning", node, "Stepflow's own tools do not merge: they treat << as an "
                             "ordinary key", "write the keys out", key="<<")  # fmt: skip
            if isinstance(node.value, int) and not -(2**63) <= node.value < 2**64:
                findings.add("large-integer", "warning", node, "servers convert an integer this large to a float, "
                             "losing digits", "put it in quotes")  # fmt: skip
    for step in model.steps if depth < _MAX_SUBFLOW_DEPTH else ():
        inner = component_rules.check_and_find_subflow(step, findings)
        if inner is not None:
            with findings.treat_as_read_at_run_time(not inner[1]):
                _add_flow_findings(inner[0], catalog, findings, depth + 1)


def make_suppression_check(flow: FlowText) -> Callable[[int, Collection[str]], bool]:
    """Return a function that checks whether a comment suppresses any of the given rules on a line."""
    # The suppressed rules, by line. Line 0 stands for the whole file, and an empty set for all rules.
    rules_by_line: dict[int, list[set[str]]] = {}
    for number, line in enumerate(flow.lines if "stepflow:" in flow.text else (), start=1):
        comment = re.search(_IGNORE_COMMENT, line) if "stepflow:" in line else None
        if comment is not None:
            rules = {rule.strip() for rule in (comment["rules"] or "").split(",")} - {""}
            is_alone = not line[: comment.start()].strip()
            for place in (number, *((number + 1,) if is_alone else ()), *((0,) if comment["file"] else ())):
                rules_by_line.setdefault(place, []).append(rules)
    for_file = rules_by_line.get(0, [])
    return lambda line, rules: any(
        not suppressed or not suppressed.isdisjoint(rules) for suppressed in (*for_file, *rules_by_line.get(line, ()))
    )


def make_excerpt(lines: Sequence[str], line: int, column: int) -> str:
    """Return a line with a caret under the column, or an empty string if there's no such line."""
    if not 1 <= line <= len(lines):
        return ""
    start = max(0, column - 60)
    shown = lines[line - 1][start : start + 100]
    # Keep tabs so that the caret lines up.
    width = column - 1 - start
    before = re.sub(r"[^\t]", " ", shown[:width]) if "\t" in shown else " " * width
    return f"{shown}\n{before}^"


def make_validation_result(findings: Sequence[Finding]) -> ValidationResult:
    """Convert findings to a `ValidationResult`."""
    from ..types import Diagnostic, DiagnosticLevel, ValidationResult

    diagnostics = []
    for finding in findings:
        more: dict[str, Any] = {name: getattr(finding, name) for name in ("message", "path", "rule", "hint")}
        more |= {name: getattr(finding, name) or None for name in ("file", "line", "column", "excerpt")}
        diagnostics.append(Diagnostic(level=DiagnosticLevel(finding.level), kind=finding.rule, **more))
    return ValidationResult(diagnostics=diagnostics)
