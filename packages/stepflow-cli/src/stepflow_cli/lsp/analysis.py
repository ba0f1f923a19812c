"""What is known about one version of a document: its tree, its findings, its names and its types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from stepflow_client._command import FlowModel, FlowTypes, collector_paused, find_in_config, type_flow
from stepflow_client._data.flow_declarations import fields_of
from stepflow_client.flows import schema
from stepflow_client.flows.components import Catalogue
from stepflow_client.flows.findings import Finding
from stepflow_client.flows.folders import is_config_name, is_flow_text, top_level_keys
from stepflow_client.flows.json_types import UNKNOWN
from stepflow_client.flows.source import FlowText, Node

from stepflow_cli.lsp.cursor import mended
from stepflow_cli.lsp.flow_names import Mention, mentions_in

from ..validation.checks import Rules, find
from .text import Text

MAX_LENGTH = 2**20
"""Maximum number of characters of a document that is analysed, which takes a few seconds."""

_FLOW_KEYS = {*fields_of(schema()["$defs"]["flow"])[0]}
_FOREIGN = re.compile(r"""^(?!["'{}\s#]|---)(?![\w-]*[ \t]*(?:$|:))""", re.MULTILINE)
"""The beginning of a line at the top of a YAML text that is neither a key nor the beginning of one."""

Kind = Literal["flow", "config"]


def kind_of(name: str, text: str) -> Kind | None:
    """Return what a document is; None for one that the server leaves alone."""
    if is_config_name(name):
        return "config"
    return "flow" if is_flow_text(text) else None


def is_completed(analysis: Analysis, text: Text) -> bool:
    """Return whether there are completions for a text: for a flow, a configuration, and what may become a flow.

    It may become one if it is empty, or has only keys that flows have.
    """
    if analysis.kind is not None or len(text.text) > MAX_LENGTH:
        return analysis.kind is not None
    return is_flow_text(text.text) or (top_level_keys(text.text) <= _FLOW_KEYS and not _FOREIGN.search(text.text))


@dataclass
class Analysis:
    """One version of a document."""

    kind: Kind | None
    text: Text
    name: str
    rules: Rules
    findings: Sequence[Finding] = ()
    root: Node | None = None
    """The tree; of a text that is not valid, without the lines that are not; None if there is none."""
    is_mended: bool = False
    """Whether the tree is that of a text that is not valid."""
    types: FlowTypes | None = None
    of_server: Sequence[Mapping[str, Any]] = ()
    """The findings of a server, once it has checked this version."""

    @cached_property
    def catalogue(self) -> Catalogue:
        """The components, with their types."""
        return Catalogue(self.rules.components)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The schema of the document."""
        return schema(self.kind or "flow")

    @cached_property
    def mentions(self) -> list[Mention]:
        """The places where steps, variables, input fields and components are named."""
        if self.types is None:
            return []
        return list(mentions_in(self.types.model, self.text.text))

    @collector_paused()
    def infer(self) -> Analysis:
        """Infer the types of a flow, and return the analysis."""
        if self.kind == "flow" and self.root is not None and isinstance(self.root.value, dict):
            self.types = type_flow(self.root, UNKNOWN, self.catalogue)
        return self

    def knows_more_than(self, other: Analysis | None) -> bool:
        """Return whether completions use it in place of an earlier analysis: not if it lacks steps behind a fault."""
        if self.types is None or other is None or other.types is None:
            return self.types is not None or self.kind != "flow"
        return not self.is_mended or len(self.types.steps) >= len(other.types.steps)

    @property
    def model(self) -> FlowModel | None:
        """The steps and their references."""
        return self.types.model if self.types is not None else None


@collector_paused()
def analyse(name: str, text: Text, rules: Rules) -> Analysis:
    """Return the tree and the findings of a version of a document; its types are inferred by `infer`.

    Args:
        name: The path of the file.
        text: The text.
        rules: How the file is checked.
    """
    found = Analysis(kind_of(name.replace("\\", "/").rpartition("/")[2], text.text), text, name, rules)
    if found.kind is None:
        return found
    if len(text.text) > MAX_LENGTH:
        what = f"the document has more than {MAX_LENGTH:,} characters and is not checked here"
        hint = "stepflow validate checks files of any size"
        return replace(found, kind=None, findings=[Finding("too-large", "warning", what, "$", 1, 1, hint)])
    flow = FlowText(text.text, name)
    found.is_mended = flow.error is not None
    tree = mended(flow) if found.is_mended else flow
    found.root = tree.root if tree.error is None else None
    if found.kind == "config":
        found.findings = find_in_config(flow)
    else:
        # Types are always checked: what only they show is a note, unless the settings want more.
        faults = [each for each in find(flow, replace(rules, type_check=True)) if rules.keeps(each.rule)]
        noisy = () if rules.type_check else ("untyped-output",)
        found.findings = [each for each in faults if each.rule not in noisy]
    return found
