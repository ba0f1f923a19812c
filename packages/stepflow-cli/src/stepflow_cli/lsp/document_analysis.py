"""The documents open in the editor and their analyses.

A background thread analyzes each version, so a request only waits for the analysis that it needs.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from lsprotocol import types
from pygls.uris import to_fs_path
from stepflow_client import StepflowClientError, SyncStepflowClient
from stepflow_client._command import (
    FlowAnalysis,
    FlowTypes,
    add_hints_and_fixes,
    infer_flow_types,
    pause_garbage_collector,
)
from stepflow_client._data.flow_declarations import get_fields
from stepflow_client.flows import schema
from stepflow_client.flows.components import ComponentCatalog
from stepflow_client.flows.findings import Finding, Findings, make_syntax_finding
from stepflow_client.flows.json_schema import find_mismatches
from stepflow_client.flows.project import Project, find_top_level_keys, is_flow_text, is_server_config_name
from stepflow_client.flows.syntax_tree import FlowText, Node
from stepflow_client.flows.type_system import UNKNOWN

from ..errors import Problem
from ..inputs.file_io import get_file_signature
from ..inputs.flow_loading import load_project_settings
from ..server.connect import Target, build_client_arguments
from ..settings.run_history import LazyRunHistory
from ..settings.server_choice import ServerOptions, choose_server
from ..validation.flow_checks import (
    CheckedFlow,
    CheckOptions,
    CheckRules,
    add_server_findings,
    find_offline_findings,
    recheck_with_components,
)
from .cursor import DocumentText, blank_invalid_lines
from .mentions import Mention, find_mentions

MAX_CHECKED_LENGTH = 2**20
"""Documents with more characters than this aren't checked. Analyzing a document of this length takes a few seconds."""

_FLOW_KEYS = {*get_fields(schema()["$defs"]["flow"])[0]}
# The start of an unindented YAML line that isn't a key and can't become a key.
_NON_KEY = re.compile(r"""^(?!["'{}\s#]|---)(?![\w-]*[ \t]*(?:$|:))""", re.MULTILINE)

Kind = Literal["flow", "config"]


def is_completable_document(analysis: Analysis, text: DocumentText) -> bool:
    """Return True if a document should offer completions: if it's a flow or configuration, or could become a flow.

    Text could become a flow if it's empty or all of its keys are flow keys.
    """
    if analysis.kind is not None or len(text.text) > MAX_CHECKED_LENGTH:
        return analysis.kind is not None
    return is_flow_text(text.text) or (find_top_level_keys(text.text) <= _FLOW_KEYS and not _NON_KEY.search(text.text))


@dataclass
class Analysis:
    """The analysis of one version of a document."""

    kind: Kind | None
    text: DocumentText
    name: str
    rules: CheckRules
    findings: Sequence[Finding] = ()
    root: Node | None = None
    """The syntax tree without any invalid lines, or None if the text can't be parsed."""
    has_skipped_lines: bool = False
    """Whether any invalid lines were left out of the tree."""
    types: FlowTypes | None = None
    server_findings: Sequence[Mapping[str, Any]] = ()
    """The server's findings. Empty until the server has checked this version."""

    @cached_property
    def catalog(self) -> ComponentCatalog:
        """The known components and their types."""
        return ComponentCatalog(self.rules.components)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema for this kind of document."""
        return schema(self.kind or "flow")

    @cached_property
    def mentions(self) -> list[Mention]:
        """All mentions of steps, variables, input fields and components."""
        return list(find_mentions(self.model, self.text.text)) if self.model is not None else []

    @pause_garbage_collector()
    def infer_types(self) -> Analysis:
        """Infer the flow's types, store them in the analysis, and return the analysis."""
        if self.kind == "flow" and self.root is not None and isinstance(self.root.value, dict):
            self.types = infer_flow_types(self.root, UNKNOWN, self.catalog)
        return self

    def can_replace_previous(self, other: Analysis | None) -> bool:
        """Return False if a syntax error hides some steps, so that completions keep using the previous analysis."""
        if self.types is None or other is None or other.types is None:
            return self.types is not None or self.kind != "flow"
        return not self.has_skipped_lines or len(self.types.steps) >= len(other.types.steps)

    @property
    def model(self) -> FlowAnalysis | None:
        """The flow's steps and references."""
        return self.types.model if self.types is not None else None


@pause_garbage_collector()
def analyze_document(name: str, text: DocumentText, rules: CheckRules) -> Analysis:
    """Parse and check one version of a document. Call `infer_types` on the result to add types.

    Args:
        name: The file's path.
        text: The document's text.
        rules: The rules for the file.
    """
    kind: Kind | None = None
    if is_server_config_name(name.replace("\\", "/").rpartition("/")[2]):
        kind = "config"
    elif is_flow_text(text.text):
        kind = "flow"
    if kind is not None and len(text.text) > MAX_CHECKED_LENGTH:
        message = f"the document has more than {MAX_CHECKED_LENGTH:,} characters, so it is not checked here"
        hint = "to check files of any size, use stepflow validate"
        return Analysis(None, text, name, rules, [Finding("too-large", "warning", message, "$", 1, 1, hint)])
    analysis = Analysis(kind, text, name, rules)
    if kind is None:
        return analysis
    flow = FlowText(text.text, name)
    analysis.has_skipped_lines = flow.error is not None
    tree = blank_invalid_lines(flow)
    analysis.root = tree.root if tree.error is None else None
    if kind == "config":
        analysis.findings = _check_server_config(flow)
    else:
        # Always check types. Type findings are only shown as information unless the settings enable type checks.
        omitted = () if rules.type_check else ("untyped-output",)
        findings = find_offline_findings(flow, replace(rules, type_check=True))
        analysis.findings = [
            each for each in findings if rules.is_rule_reported(each.rule) and each.rule not in omitted
        ]
    return analysis


log = logging.getLogger(__name__)


class ProjectRulesCache:
    """Caches each project's rules, reloading them only if the project file or its component list changes.

    Args:
        components: The file passed with `--components`, which is used instead of the project's own.
        type_check: Whether to check types even if the project doesn't enable it.
    """

    def __init__(self, components: str | None = None, *, type_check: bool = False) -> None:
        self._components, self._type_check = components, type_check
        self._cache: dict[Path | None, tuple[object, CheckRules]] = {}

    def get_rules(self, path: str) -> CheckRules:
        """Return the rules for a file. Settings that can't be used are logged and ignored."""
        try:
            project = load_project_settings(path)
        except StepflowClientError as error:
            log.warning("%s", error)
            project = Project()
        files = [str(file) for file in (project.file, self._components or project.components) if file is not None]
        state = [(file, get_file_signature(file)) for file in files]
        cached_state, rules = self._cache.get(project.file, (None, CheckRules()))
        if cached_state != state:
            rules = CheckRules(type_check=self._type_check)
            for reads_components in (True, False):
                components = self._components if reads_components else None
                options = CheckOptions(components, reads_components=reads_components, type_check=self._type_check)
                try:
                    rules = options.get_project_rules(project)
                    break
                except (Problem, StepflowClientError) as error:
                    log.warning("%s", error)
            self._cache[project.file] = (state, rules)
        return rules


class ServerChecker:
    """Checks flows on the server set in the environment, a profile or the editor's settings (never in a project)."""

    def __init__(self) -> None:
        self.url: str | None = None
        """The server URL from the editor's settings."""
        self._is_stopped = False
        self._clients: set[SyncStepflowClient] = set()
        self._failure = ""
        """The last failure that was logged, remembered so that it isn't logged again on every save."""

    def check_flow(self, analysis: Analysis) -> CheckedFlow | None:
        """Return a flow with the server's findings, or None if there is no server or the check fails (which is logged).

        Blocks until the server responds, so call it in a thread.
        """
        if analysis.kind != "flow" or analysis.root is None:
            return None
        # Parse the text again, because other threads are using the analysis's tree.
        flow = FlowText(analysis.text.text, analysis.name)
        checked = CheckedFlow(analysis.name, analysis.rules, flow, list(analysis.findings))
        try:
            choice = choose_server(ServerOptions(url=self.url))
            if choice.is_embedded or not checked.is_parseable:
                return None
            settings = build_client_arguments(choice)
            with SyncStepflowClient(**settings) as client:
                self._clients.add(client)
                try:
                    recheck_with_components([checked], Target(client, choice, LazyRunHistory(), arguments=settings))
                    add_server_findings(checked, client)
                finally:
                    self._clients.discard(client)
        except (Problem, StepflowClientError) as error:
            message = f"the server does not check saved flows: {error}"
            if message != self._failure and not self._is_stopped:
                self._failure = message
                log.warning("%s", message)
            return None
        self._failure = ""
        checked.findings = [finding for finding in checked.findings if checked.rules.is_rule_reported(finding.rule)]
        checked.records = [dict(record) for record in checked.filter_reported_records(checked.records)]
        return checked

    def abort_requests(self) -> None:
        """Abort pending requests."""
        self._is_stopped = True
        for client in [*self._clients]:
            client.close()


# Seconds to wait after the last edit before analyzing a document.
_EDIT_PAUSE_SECONDS = 0.1

Publish = Callable[["Document", Analysis], None]


class Document:
    """An open document and its analyses."""

    def __init__(self, uri: str, text: DocumentText, version: int) -> None:
        self.uri, self.text, self.version = uri, text, version
        self.name = to_fs_path(uri) or uri.rpartition("/")[2]
        self.latest: Analysis | None = None
        self.typed: Analysis | None = None
        """The latest analysis that has types. (A syntax error can hide the flow, and all types with it.)"""
        self.task: asyncio.Task[None] | None = None
        self.is_being_checked = False
        self.is_pausing = False
        """Whether the next analysis is waiting for the user to stop typing."""
        self.is_published = False
        """Whether the editor is currently showing diagnostics for the document."""
        self.saved: DocumentText | None = None
        """The text that was last saved."""
        self.server_task: asyncio.Task[None] | None = None
        """The task that waits while the server checks the saved text."""


class OpenDocuments:
    """The documents that are open in the editor.

    Args:
        projects: Provides the rules for checking files.
        publish: Called with a document and its analysis as soon as its diagnostics are ready.
        server: Checks documents when they are saved.
    """

    def __init__(self, projects: ProjectRulesCache, publish: Publish, server: ServerChecker) -> None:
        self._projects, self._publish, self._server = projects, publish, server
        self._documents: dict[str, Document] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stepflow-checks")

    def open(self, uri: str, text: DocumentText, version: int) -> None:
        """Add a document and analyze it right away."""
        self._documents[uri] = document = Document(uri, text, version)
        self._schedule_analysis(document)

    def change(self, uri: str, changes: Iterable[types.TextDocumentContentChangeEvent], version: int) -> None:
        """Change a document's text. It is analyzed once the user has stopped typing for a moment."""
        document = self._documents.get(uri)
        if document is not None:
            document.text, document.version = document.text.apply_changes(changes), version
            self._schedule_analysis(document, _EDIT_PAUSE_SECONDS)

    def check_saved_on_server(self, uri: str) -> None:
        """Check a saved document on the server.

        This also reanalyzes all documents, because the saved one could be a settings file.
        """
        self.reanalyze_all()
        document = self._documents.get(uri)
        if document is not None:
            document.saved = document.text

    def reanalyze_all(self) -> None:
        """Reanalyze every document, for example because a file that they depend on has changed."""
        for document in self._documents.values():
            # Replacing the text object marks the current analysis as outdated.
            document.text = DocumentText(document.text.text, document.text.encoding)
            self._schedule_analysis(document)

    def close(self, uri: str) -> Document | None:
        """Remove a document and return it, or None if it wasn't open."""
        document = self._documents.pop(uri, None)
        for task in (document.task, document.server_task) if document is not None else ():
            if task is not None:
                task.cancel()
        return document

    def stop(self) -> None:
        """Stop all checks and close all documents."""
        self._documents.clear()
        self._server.abort_requests()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def get_current_analysis(self, uri: str) -> Analysis | None:
        """Return the analysis of a document's current text, or None if the document isn't open."""
        while (document := self._documents.get(uri)) is not None:
            if document.latest is not None and document.latest.text is document.text:
                return document.latest
            if document.is_pausing:
                # Start right away, so that the request doesn't wait for the user to stop typing.
                self._schedule_analysis(document)
            if document.task is not None:
                await asyncio.wait([document.task])
        return None

    async def get_recent_analysis(self, uri: str) -> tuple[Analysis, DocumentText] | None:
        """Return the latest analysis with types (possibly of an older version), along with the current text."""
        while (document := self._documents.get(uri)) is not None:
            if document.latest is not None:
                return document.typed or document.latest, document.text
            if document.task is not None:
                await asyncio.wait([document.task])
        return None

    def _schedule_analysis(self, document: Document, pause: float = 0) -> None:
        if document.is_being_checked:
            # Let the running analysis finish. Otherwise, completions would get no new types while the user keeps
            # typing. The new text is analyzed right after that.
            return
        if document.task is not None:
            document.task.cancel()
        document.is_pausing = pause > 0
        document.task = asyncio.get_running_loop().create_task(self._analyze_until_current(document, pause))

    async def _analyze_until_current(self, document: Document, pause: float) -> None:
        loop = asyncio.get_running_loop()
        run = partial(loop.run_in_executor, self._thread)
        text = None
        while text is not document.text:
            await asyncio.sleep(pause)
            text, document.is_being_checked = document.text, True
            analysis = await run(self._analyze_or_log, document, text)
            if text is document.text:
                self._publish(document, analysis)
            document.latest = await run(_infer_types_or_log, analysis)
            if analysis.can_replace_previous(document.typed):
                document.typed = analysis
            if text is document.saved and text is document.text:
                document.server_task = loop.create_task(self._check_on_server(document, analysis))
            pause = _EDIT_PAUSE_SECONDS
        document.is_being_checked = False

    async def _check_on_server(self, document: Document, analysis: Analysis) -> None:
        checked = await asyncio.to_thread(self._server.check_flow, analysis)
        if checked is not None and document.text is analysis.text:
            analysis.findings, analysis.server_findings = checked.findings, checked.records
            self._publish(document, analysis)

    def _analyze_or_log(self, document: Document, text: DocumentText) -> Analysis:
        name = document.name
        try:
            return analyze_document(name, text, self._projects.get_rules(name))
        except Exception:
            log.exception("%s could not be checked", name)
            return Analysis(None, text, name, CheckRules())


def _infer_types_or_log(analysis: Analysis) -> Analysis:
    try:
        return analysis.infer_types()
    except Exception:
        log.exception("the types in %s could not be inferred", analysis.name)
        return analysis


def _check_server_config(config: FlowText) -> list[Finding]:
    """Check a server configuration against its schema."""
    error = config.error
    if error is not None:
        # Servers are more lenient: they accept duplicate keys, as well as objects as keys (used for mock inputs).
        is_accepted = "a key must be a string" in error.message or "appears twice" in error.message
        return [] if is_accepted else [make_syntax_finding(config.name, error)]
    config_schema, findings = schema("config"), Findings()
    for mismatch in find_mismatches(config.root.value, config_schema, config_schema["$defs"]):
        # Servers ignore unknown keys, so only report a warning.
        findings.add_mismatch("configuration", "warning" if mismatch.key else "error", config.root, mismatch)
    return add_hints_and_fixes(config, list(findings.all.values()))
