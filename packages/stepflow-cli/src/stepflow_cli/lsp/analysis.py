"""The analysis of one version of a document: its tree, findings, names and types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from stepflow_client._command import FlowModel, FlowTypes, check_config, collector_paused, infer_flow_types
from stepflow_client._data.flow_declarations import fields_of
from stepflow_client.flows import schema
from stepflow_client.flows.components import Catalogue
from stepflow_client.flows.findings import Finding
from stepflow_client.flows.folders import find_top_level_keys, is_config_name, is_flow_text
from stepflow_client.flows.json_types import UNKNOWN
from stepflow_client.flows.source import FlowText, Node

from ..validation.flow_checks import CheckRules, find_offline
from .cursor import blank_invalid_lines
from .flow_names import Mention, find_mentions
from .text import DocumentText

MAX_LENGTH = 2**20
"""Maximum number of characters of a document that is analysed; it takes a few seconds."""

_FLOW_KEYS = {*fields_of(schema()["$defs"]["flow"])[0]}
# The start of an unindented line of YAML that is not a key and cannot become one.
_FOREIGN = re.compile(r"""^(?!["'{}\s#]|---)(?![\w-]*[ \t]*(?:$|:))""", re.MULTILINE)

Kind = Literal["flow", "config"]


def has_completions(analysis: Analysis, text: DocumentText) -> bool:
    """Return whether a text gets completions: a flow, a configuration, or a text that may become a flow.

    A text may become a flow if it is empty or has only keys of flows.
    """
    if analysis.kind is not None or len(text.text) > MAX_LENGTH:
        return analysis.kind is not None
    return is_flow_text(text.text) or (find_top_level_keys(text.text) <= _FLOW_KEYS and not _FOREIGN.search(text.text))


@dataclass
class Analysis:
    """One version of a document."""

    kind: Kind | None
    text: DocumentText
    name: str
    rules: CheckRules
    findings: Sequence[Finding] = ()
    root: Node | None = None
    """The tree, without the invalid lines of the text; None if the text cannot be parsed."""
    is_mended: bool = False
    """Whether invalid lines were left out of the tree."""
    types: FlowTypes | None = None
    server_findings: Sequence[Mapping[str, Any]] = ()
    """The findings of a server, after it has checked this version."""

    @cached_property
    def catalogue(self) -> Catalogue:
        """The components and their types."""
        return Catalogue(self.rules.components)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The schema of the document."""
        return schema(self.kind or "flow")

    @cached_property
    def mentions(self) -> list[Mention]:
        """The mentions of steps, variables, input fields and components."""
        return list(find_mentions(self.model, self.text.text)) if self.model is not None else []

    @collector_paused()
    def infer(self) -> Analysis:
        """Infer the types of a flow, and return the analysis."""
        if self.kind == "flow" and self.root is not None and isinstance(self.root.value, dict):
            self.types = infer_flow_types(self.root, UNKNOWN, self.catalogue)
        return self

    def replaces(self, other: Analysis | None) -> bool:
        """Return whether completions use this analysis from now on: not if a syntax error hides steps in it."""
        if self.types is None or other is None or other.types is None:
            return self.types is not None or self.kind != "flow"
        return not self.is_mended or len(self.types.steps) >= len(other.types.steps)

    @property
    def model(self) -> FlowModel | None:
        """The steps and their references."""
        return self.types.model if self.types is not None else None


@collector_paused()
def analyse(name: str, text: DocumentText, rules: CheckRules) -> Analysis:
    """Return the tree and the findings of a version of a document; `infer` adds its types.

    Args:
        name: The path of the file.
        text: The text.
        rules: The rules for the file.
    """
    kind: Kind | None = None
    if is_config_name(name.replace("\\", "/").rpartition("/")[2]):
        kind = "config"
    elif is_flow_text(text.text):
        kind = "flow"
    if kind is not None and len(text.text) > MAX_LENGTH:
        message = f"the document has more than {MAX_LENGTH:,} characters and is not checked here"
        hint = "stepflow validate checks files of any size"
        return Analysis(None, text, name, rules, [Finding("too-large", "warning", message, "$", 1, 1, hint)])
    analysis = Analysis(kind, text, name, rules)
    if kind is None:
        return analysis
    flow = FlowText(text.text, name)
    analysis.is_mended = flow.error is not None
    tree = blank_invalid_lines(flow)
    analysis.root = tree.root if tree.error is None else None
    if kind == "config":
        analysis.findings = check_config(flow)
    else:
        # Types are always checked; their findings are notes unless the settings ask for type checks.
        omitted = () if rules.type_check else ("untyped-output",)
        findings = find_offline(flow, replace(rules, type_check=True))
        analysis.findings = [
            finding for finding in findings if rules.reports(finding.rule) and finding.rule not in omitted
        ]
    return analysis
