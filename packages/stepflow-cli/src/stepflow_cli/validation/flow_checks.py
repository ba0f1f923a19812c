"""The checks behind `stepflow validate`, both offline and with a server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stepflow_client import ServerConnectionError, StepflowClientError
from stepflow_client._command import check_source, make_excerpt, make_suppression_check
from stepflow_client.flows.components import convert_to_components
from stepflow_client.flows.expressions import PathError, parse_path
from stepflow_client.flows.project import find_flow_files as files_in, require_existing_file
from stepflow_client.flows.reading import is_flow_id, load_file

from ..errors import usage
from ..inputs.flow_loading import load_project_settings, read_flow_text
from ..output.messages import note
from ..records.diagnostics import diagnostic_records
from ..server.connect import describe_plugins_without_worker, fetch_components
from ..settings.server_choice import get_target_release_setting

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.flows.findings import Finding
    from stepflow_client.flows.project import Project
    from stepflow_client.flows.syntax_tree import FlowText, Node

    from ..server.connect import Target

# The offline rules that report the same problem as a server diagnostic, keyed by the diagnostic's kind.
_EQUIVALENT_RULES = {
    "undefinedVariable": ("undeclared-variable",),
    "undefinedRequiredVariable": ("undeclared-variable",),
    "invalidComponent": ("component-slash",),
    "duplicateStepId": ("duplicate-id",),
    "emptyStepId": ("empty-id",),
    "selfReference": ("self-reference",),
    "unvalidatedFieldAccess": ("unknown-output-path", "unknown-input", "variable-path"),
    "undefinedStepReference": ("undefined-step", "later-step", "cycle"),
}


@dataclass(frozen=True)
class CheckRules:
    """The rules and settings for checking a flow offline."""

    components: Any = None
    """The available components, or None if only the builtin ones are known."""
    type_check: bool = False
    """Whether to check that the types of the values passed between steps match."""
    target: str | None = None
    """The server release that the flow targets, or None for all releases."""
    select: Sequence[str] = ()
    """The rules to report. If empty, all rules are reported."""
    ignore: Sequence[str] = ()
    """The rules to leave out."""
    fail_on: str = "error"
    """The lowest level at which a finding makes the flow invalid."""

    def is_rule_reported(self, rule: str) -> bool:
        """Return whether a rule's findings are reported."""
        return (not self.select or rule in self.select) and rule not in self.ignore


@dataclass
class CheckOptions:
    """The command-line options for checks. Defaults come from the flow's project."""

    components: str | None = None
    """The file that lists the available components."""
    reads_components: bool = True
    """Whether to fall back to the component file specified in the project."""
    type_check: bool = False
    target: str | None = None
    select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    fail_on: str | None = None
    _read: dict[str, Any] = field(default_factory=dict, init=False)
    """The components read so far, by file."""
    _projects: dict[str, Project] = field(default_factory=dict, init=False)
    """The projects read so far, by folder."""

    def get_flow_rules(self, flow: str) -> CheckRules:
        """Return the rules for a flow.

        Raises:
            Problem: If a component file contains no components, or if the target release is invalid.
            FlowFileError: If the project file is invalid, or if its component file can't be read.
        """
        folder = os.path.dirname(flow)
        if folder not in self._projects:
            self._projects[folder] = load_project_settings(flow)
        return self.get_project_rules(self._projects[folder])

    def get_project_rules(self, project: Project) -> CheckRules:
        """Return the rules for a project's flows.

        Raises:
            Problem: If a component file contains no components, or if the target release is invalid.
            FlowFileError: If the component file can't be read.
        """
        defaults = project.rules
        return CheckRules(
            self.load_components_for_project(project),
            type_check=self.type_check or defaults.type_check,
            target=get_target_release_setting(flag=self.target, project=project).value,
            select=self.select or defaults.select,
            ignore=[*self.ignore, *defaults.ignore],
            fail_on=self.fail_on or defaults.fail_on or "error",
        )

    def load_components_for_project(self, project: Project) -> Any:
        """Return the components available to a project's flows, or None if there is no file that lists them.

        Raises:
            Problem: If the file contains no components.
            FlowFileError: If it can't be read.
        """
        path = self.components
        if path is None and self.reads_components and project.components is not None:
            path = str(require_existing_file(project, "components", project.components))
        if path is not None and path not in self._read:
            self._read[path] = convert_to_components(read_component_file(path))
        return None if path is None else self._read[path]


@dataclass
class CheckedFlow:
    """A flow and its findings."""

    name: str
    """The flow's file, `-`, or the ID of a stored flow."""
    rules: CheckRules
    flow: FlowText | None = None
    """The text of the file, or None for a stored flow."""
    findings: list[Finding] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    unchecked: int = 0
    """The number of field accesses that the server reports as unchecked."""

    @property
    def is_parseable(self) -> bool:
        """Whether the text can be parsed."""
        return self.flow is None or self.flow.error is None

    def filter_reported_records(self, records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the records whose rules are selected (and not ignored)."""
        return [record for record in records if self.rules.is_rule_reported(record["kind"])]


def expand_folders(names: Sequence[str]) -> list[str]:
    """Replace folders with the flow files in them.

    Raises:
        Problem: If a folder contains no flow files.
    """
    files: list[str] = []
    for name in names:
        if not os.path.isdir(name):
            files.append(name)
            continue
        inner = sorted(map(str, files_in(name)))
        if not inner:
            hint = "a flow must be a .yaml, .yml or .json file with steps or an output"
            raise usage(f"{name} contains no flow", hint)
        files += inner
    return list(dict.fromkeys(files))


def check_offline(name: str, rules: CheckRules) -> CheckedFlow:
    """Check a flow offline. A stored flow isn't checked until the server is queried.

    Raises:
        Problem, FlowFileError: If the file can't be read.
    """
    if is_flow_id(name):
        return CheckedFlow(name, rules)
    flow = read_flow_text(name)
    return CheckedFlow(name, rules, flow, find_offline_findings(flow, rules))


def find_offline_findings(flow: FlowText, rules: CheckRules) -> list[Finding]:
    """Check a flow offline and return the findings."""
    return check_source(flow, rules.components, type_check=rules.type_check, target=rules.target)


def recheck_with_components(checked: Sequence[CheckedFlow], target: Target) -> None:
    """Recheck flows that have no component list, using the server's list. If the server has none, print a note."""
    read = [flow for flow in checked if flow.is_parseable and flow.flow is not None and flow.rules.components is None]
    components = fetch_components_for_checks(target) if read else None
    for flow in read if components is not None else ():
        if flow.flow is not None:
            flow.findings = find_offline_findings(flow.flow, replace(flow.rules, components=components))


def fetch_components_for_checks(target: Target) -> Any:
    """Return a server's components in the form that the checks use, or None (with a note) if it can't list them.

    Also prints a note about plugins that don't respond. Components that could belong to one of those plugins aren't
    checked.

    Raises:
        ServerConnectionError: If the server can't be reached.
    """
    try:
        listed = fetch_components(target)
    except ServerConnectionError:
        raise
    except StepflowClientError as error:
        note(f"the server's components are unknown and were not checked: {error.message}")
        return None
    if (missing := describe_plugins_without_worker(listed)) is not None:
        note(f"{missing}; its components are not checked")
    return convert_to_components(listed)


def add_server_findings(checked: CheckedFlow, client: SyncStepflowClient) -> None:
    """Add the server's findings, except for those already found offline."""
    if not checked.is_parseable:
        return
    flow = checked.flow
    if flow is not None and not isinstance(flow.root.value, dict):
        return
    is_suppressed = make_suppression_check(flow) if flow is not None else None
    diagnostics = client.validate(checked.name if flow is None else flow.root.value).diagnostics
    if any(finding.level == "fatal" for finding in checked.findings):
        # Leave syntax errors to the offline checks, which report their position.
        diagnostics = [diagnostic for diagnostic in diagnostics if diagnostic.kind != "unreadableFlow"]
    for record in diagnostic_records(checked.name, diagnostics):
        if record["is_experimental"]:
            checked.unchecked += 1
            continue
        if flow is not None:
            # The offline checks already find unreachable steps, and the server's check ignores mustExecute.
            if record["kind"] == "unreachableStep":
                continue
            node = locate_diagnostic_node(flow.root, record["path"])
            # A Python flow doesn't always have a file, in which case there's no line to point to.
            line, column = (node.line or 1, node.column or 1) if flow.name else (0, 0)
            rules = (record["kind"], *_EQUIVALENT_RULES.get(record["kind"], ()))
            same = [finding for finding in checked.findings if finding.rule in rules]
            is_known = any(finding.line == line or finding.path == record["path"] for finding in same)
            if is_known or (is_suppressed is not None and is_suppressed(line, rules)):
                continue
            file = checked.name if checked.name == "-" else flow.name or checked.name
            record |= {"file": file, "line": line, "column": column}
            record["excerpt"] = make_excerpt(flow.lines, line, column)
        checked.records.append(record)


def read_component_file(path: str) -> list[dict[str, Any]]:
    """Read the components from a file written by `components lock` or `components list -o json`.

    Raises:
        Problem: If the file contains no components.
        FlowFileError: If it can't be read.
    """
    listed = load_file(path)
    listed = listed.get("components") if isinstance(listed, dict) else listed
    if not isinstance(listed, list) or not all(isinstance(entry, dict) and "name" in entry for entry in listed):
        raise usage(f"{path} contains no components", "to write them, run 'stepflow components lock'")
    return listed


def locate_diagnostic_node(root: Node, path: str) -> Node:
    """Return the node that a server's diagnostic refers to, or the nearest enclosing node.

    A diagnostic's path, such as `$.steps[0].input.name`, doesn't include the keywords `$if` and `$coalesce`.
    """
    node = root
    try:
        parts = parse_path(path)
    except PathError:
        return root
    for part in parts:
        inner = node
        if isinstance(part, int):
            inner = node.items.get("$coalesce", node)
        elif part == "condition" and "$if" in node.items:
            part = "$if"
        following = inner.at(part)
        if following is None:
            return node
        node = following
    return node
