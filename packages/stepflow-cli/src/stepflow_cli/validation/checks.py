"""The checks of `stepflow validate`: offline ones, and the server's additional ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import usage
from ..inputs.flow import flow_content
from ..output.messages import note
from ..server.connect import listed_components
from ..settings.target import check_target, target_setting

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.flows.findings import Finding
    from stepflow_client.flows.source import FlowText

    from ..server.connect import Target

__all__ = [
    "LOCK_FILE",
    "SETTINGS_FILES",
    "Checked",
    "Rules",
    "ask_server",
    "check_components",
    "check_flow",
    "components_of_server",
    "find",
    "flow_content",
    "flow_files",
    "read_components",
    "read_rules",
    "saved_components",
    "target_of",
]

_SAME = {
    "unreachableStep": ("unused-step",),
    "undefinedVariable": ("undeclared-variable",),
    "undefinedRequiredVariable": ("undeclared-variable",),
    "invalidComponent": ("component-slash",),
    "duplicateStepId": ("duplicate-id",),
    "emptyStepId": ("empty-id",),
    "selfReference": ("self-reference",),
    "unvalidatedFieldAccess": ("unknown-output-path", "unknown-input", "variable-path"),
    "undefinedStepReference": ("undefined-step", "later-step", "cycle"),
}
"""The server's findings that the offline checks also report, by the server's kind."""
SETTINGS_FILES = {"stepflow.toml": ("validate",), "pyproject.toml": ("tool", "stepflow", "validate")}
"""The files with the settings of a project, each with the keys of the table in it."""
LOCK_FILE = "stepflow-components.json"
"""The file that `components lock` writes by default."""
_LISTING = 15.0
"""Seconds that a server may take to list its components, for which it queries all its workers."""


@dataclass
class Checked:
    """A flow and its findings."""

    name: str
    """The file, `-`, or the id of a stored flow."""
    flow: FlowText | None = None
    """The text of the file; None for a stored flow."""
    findings: list[Finding] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    unchecked: int = 0
    """The number of accesses that the server says it does not check."""

    @property
    def is_readable(self) -> bool:
        """Whether the text can be parsed."""
        return self.flow is None or self.flow.error is None


@dataclass(frozen=True)
class Rules:
    """The settings of the offline checks."""

    components: Any = None
    """The available components; None if only the builtin ones are known."""
    type_check: bool = False
    """Whether to check types from step to step."""
    target: str | None = None
    """The release of the servers that the flows are for; None for all releases."""


def flow_files(names: Sequence[str]) -> list[str]:
    """Return the named flow files; folders are replaced with the flow files in them.

    Raises:
        Problem: If a folder contains none.
    """
    from stepflow_client.flows.folders import flow_files as files_in

    found: list[str] = []
    for name in names:
        if not os.path.isdir(name):
            found.append(name)
            continue
        inside = sorted(map(str, files_in(name)))
        if not inside:
            raise usage(f"{name} holds no flow", "a flow is a .yaml, .yml or .json file with steps or an output")
        found += inside
    return list(dict.fromkeys(found))


def check_flow(name: str, rules: Rules) -> Checked:
    """Check a flow offline; a stored flow is not checked before the server is queried.

    Raises:
        Problem, FlowFileError: If the file cannot be read.
    """
    from stepflow_client.flows.file import is_flow_id

    if is_flow_id(name):
        return Checked(name)
    from stepflow_client.flows.source import FlowText

    content, source = flow_content(name)
    flow = FlowText.read(content, source)
    return Checked(name, flow, find(flow, rules))


def find(flow: FlowText, rules: Rules) -> list[Finding]:
    """Return the findings of the offline checks."""
    from stepflow_client.flows.checker import find_in

    return find_in(flow, rules.components, type_check=rules.type_check, target=rules.target)


def check_components(checked: Sequence[Checked], target: Target, rules: Rules) -> None:
    """Check flows again with the components of a server. If it cannot list them, print a note."""
    from stepflow_client.flows.checker import find_in

    read = [each for each in checked if each.is_readable and each.flow is not None]
    components = components_of_server(target) if read else None
    for each in read if components is not None else ():
        if each.flow is not None:
            each.findings = find_in(each.flow, components, type_check=rules.type_check, target=rules.target)


def components_of_server(target: Target) -> Any:
    """Return a server's components in the form that the checks use; None, with a note, if it cannot list them.

    A note also reports plugins that do not respond: components that may belong to them are not checked.

    Raises:
        ServerConnectionError: If the server cannot be reached.
    """
    from stepflow_client import ServerConnectionError, StepflowClientError
    from stepflow_client.flows.components import components_of

    try:
        listed = listed_components(target, timeout=_LISTING)
    except ServerConnectionError:
        raise
    except StepflowClientError as error:
        note(f"the server's components are not known, and were not checked: {error.message}")
        return None
    for failed in listed.failed_plugins:
        note(f"the plugin {failed.plugin} could not be asked for its components: {failed.error}")
    return components_of(listed)


def ask_server(checked: Checked, client: SyncStepflowClient) -> None:
    """Add the server's findings that the offline checks do not have."""
    from stepflow_client.flows.checker import excerpt_of
    from stepflow_client.flows.source import locate

    from ..records.diagnostics import diagnostic_records

    if not checked.is_readable:
        return
    flow = checked.flow
    if flow is not None and not isinstance(flow.root.value, dict):
        return
    diagnostics = client.validate(checked.name if flow is None else flow.root.value).diagnostics
    if any(each.level == "fatal" for each in checked.findings):
        # The server gives no position for what it cannot parse; the offline checks do.
        diagnostics = [each for each in diagnostics if each.kind != "unreadableFlow"]
    for record in diagnostic_records(checked.name, diagnostics):
        if record["is_experimental"]:
            checked.unchecked += 1
            continue
        if flow is not None:
            node = locate(flow.root, record["path"])
            line, column = node.line or 1, node.column or 1
            if _is_known(record, line, checked.findings):
                continue
            record |= {"file": checked.name, "line": line, "column": column}
            record["excerpt"] = excerpt_of(flow.lines, line, column)
        checked.records.append(record)


def _is_known(record: Mapping[str, Any], line: int, findings: Iterable[Finding]) -> bool:
    same = _SAME.get(record["kind"], ())
    return any(each.rule in same and (each.line == line or each.path == record["path"]) for each in findings)


def read_components(path: str | None) -> Any:
    """Return the components of the file that `components lock` wrote, in the form that the checks use; None for none.

    Raises:
        Problem: If the file contains no components.
        FlowFileError: If it cannot be read.
    """
    if path is None:
        return None
    from stepflow_client.flows.components import components_of

    return components_of(saved_components(path))


def saved_components(path: str) -> list[dict[str, Any]]:
    """Return the components of the file that `components lock`, or `components list -o json`, wrote.

    Raises:
        Problem: If the file contains no components.
        FlowFileError: If it cannot be read.
    """
    from stepflow_client.flows.file import load_file

    listed = load_file(path)
    listed = listed.get("components") if isinstance(listed, dict) else listed
    if not isinstance(listed, list) or not all(isinstance(each, dict) and "name" in each for each in listed):
        raise usage(f"{path} holds no components", "stepflow components lock writes them")
    return listed


def read_rules(folder: Path | None = None) -> dict[str, Any]:
    """Return the settings of `validate` in a folder, the working folder by default: stepflow.toml or pyproject.toml.

    Raises:
        Problem: If the file is not valid TOML, or a setting is wrong.
    """
    for file, keys in SETTINGS_FILES.items():
        name = file if folder is None else str(folder / file)
        if not os.path.isfile(name):
            continue
        try:
            text = Path(name).read_text(encoding="utf-8")
            if "validate" not in text:
                continue
            import tomllib

            value: Any = tomllib.loads(text)
        except (ValueError, OSError) as error:
            raise usage(f"{name} cannot be read: {error}") from None
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return _checked_rules(value, name)
    return {}


def target_of(rules: Mapping[str, Any], flag: str | None = None) -> str | None:
    """Return the release of the servers that flows are checked for; None for all.

    Args:
        rules: The settings of the project.
        flag: The value of --target.

    Raises:
        Problem: If a setting is no release.
    """
    project = (rules["target"], "the settings of the project") if "target" in rules else None
    target: str | None = target_setting(flag=flag, project=project).value
    return target


def _checked_rules(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise usage(f"{name}: validate is a table")
    for key, setting in value.items():
        if key not in ("select", "ignore", "fail-on", "type-check", "target"):
            raise usage(
                f"{name}: validate has no setting {key!r}", "it has select, ignore, fail-on, type-check and target"
            )
        if key == "type-check":
            if not isinstance(setting, bool):
                raise usage(f"{name}: type-check is true or false, not {json.dumps(setting)}")
        elif key == "target":
            check_target(setting, name)
        elif key == "fail-on":
            if setting not in ("fatal", "error", "warning"):
                raise usage(f"{name}: fail-on is fatal, error or warning, not {json.dumps(setting)}")
        elif not isinstance(setting, list) or not all(isinstance(each, str) for each in setting):
            raise usage(f"{name}: {key} is a list of rule names")
    return value
