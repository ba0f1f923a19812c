"""The language server: what the protocol's requests are answered with."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from .._version import VERSION
from . import navigation
from .actions import FIX_ALL, actions_for
from .analysis import Analysis
from .completion import TRIGGERS, complete
from .diagnostics import diagnostics_of
from .documents import Document, Documents
from .hover import hover
from .project import Projects
from .server_checks import ServerChecks
from .text import Text

log = logging.getLogger(__name__)


class _Protocol(LanguageServerProtocol):
    """The protocol without a copy of the texts, which `Documents` keeps.

    pygls takes other characters for line breaks than the protocol does, and then changes the positions of edits.
    """

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Any:
        """Pass a change on."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None


class StepflowServer(LanguageServer):
    """The language server of flows and server configurations."""

    def __init__(self, projects: Projects) -> None:
        super().__init__("stepflow", VERSION, protocol_cls=_Protocol)
        self.server_checks = ServerChecks()
        self.runs_cases = False
        """Whether the editor has the command that runs a test case."""
        self.documents = Documents(projects, self._publish, self.server_checks)

    def text(self, text: str) -> Text:
        """Return the text of a document, with positions as agreed with the client."""
        return Text(text, str(getattr(self.workspace.position_encoding, "value", self.workspace.position_encoding)))

    @property
    def has_snippets(self) -> bool:
        """Whether the client inserts snippets."""
        about = self.client_capabilities.text_document
        item = about.completion.completion_item if about is not None and about.completion is not None else None
        return item is not None and item.snippet_support is True

    def _publish(self, document: Document, analysis: Analysis) -> None:
        found = diagnostics_of(analysis)
        # Nothing is said about files that are neither flows nor configurations.
        if found or document.is_published or analysis.kind is not None:
            self.publish(document.uri, found, document.version)
        document.is_published = bool(found)

    def publish(self, uri: str, found: list[types.Diagnostic], version: int | None = None) -> None:
        """Send the diagnostics of a document to the client."""
        params = types.PublishDiagnosticsParams(uri=uri, diagnostics=found, version=version)
        self.text_document_publish_diagnostics(params)


def serve(components: str | None = None, *, type_check: bool = False) -> None:
    """Serve an editor over standard input and output until it ends the session.

    Args:
        components: The file with the components that flows may use; None for those that the project of each flow names.
        type_check: Whether to check types even if the settings do not ask for it.
    """
    server = StepflowServer(Projects(components, type_check=type_check))
    _add_settings(server)
    _add_documents(server)
    _add_completion(server)
    _add_navigation(server)
    _add_actions(server)
    _add_lenses(server)
    # A request waits for this long for a check that runs in another thread, several times.
    sys.setswitchinterval(0.001)
    logging.getLogger("pygls.protocol.json_rpc").addFilter(_is_fault)
    # pygls closes the streams, which the command still flushes.
    with os.fdopen(os.dup(0), "rb") as given, os.fdopen(os.dup(1), "wb") as sent:
        server.start_io(given, sent)


def _is_fault(record: logging.LogRecord) -> bool:
    """Return whether a message of the log is about more than a request that is answered with an error."""
    return record.exc_info is None or not isinstance(record.exc_info[1], JsonRpcInvalidParams)


def _add_settings(server: StepflowServer) -> None:
    @server.feature(types.INITIALIZE)
    async def initialized(params: types.InitializeParams) -> None:
        given = params.initialization_options
        options = given if isinstance(given, dict) else getattr(given, "__dict__", {})
        url = options.get("server")
        server.runs_cases = options.get("runCases") is True
        if url is not None and not isinstance(url, str):
            log.warning("the setting server is a URL, not %r", url)
        elif url:
            server.server_checks.url = url


def _add_documents(server: StepflowServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        server.documents.open(document.uri, server.text(document.text), document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: types.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        server.documents.change(document.uri, params.content_changes, document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: types.DidSaveTextDocumentParams) -> None:
        server.documents.save(params.text_document.uri)

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        server.documents.recheck()

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: types.DidCloseTextDocumentParams) -> None:
        document = server.documents.close(params.text_document.uri)
        if document is not None and document.is_published:
            server.publish(document.uri, [])

    @server.feature(types.SHUTDOWN)
    async def stopped(params: Any) -> None:
        server.documents.stop()


def _add_completion(server: StepflowServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=TRIGGERS))
    async def completed(params: types.CompletionParams) -> types.CompletionList:
        found = await server.documents.recent(params.text_document.uri)
        if found is None:
            return types.CompletionList(is_incomplete=False, items=[])
        return await asyncio.to_thread(complete, *found, params.position, has_snippets=server.has_snippets)

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def hovered(params: types.HoverParams) -> types.Hover | None:
        found = await server.documents.current(params.text_document.uri)
        return hover(found, params.position) if found is not None else None


def _add_navigation(server: StepflowServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    async def defined(params: types.DefinitionParams) -> list[types.Location]:
        uri = params.text_document.uri
        found = await server.documents.current(uri)
        ranges = navigation.definition(found, params.position) if found is not None else []
        return [types.Location(uri, each) for each in ranges]

    @server.feature(types.TEXT_DOCUMENT_REFERENCES)
    async def referred(params: types.ReferenceParams) -> list[types.Location]:
        uri, with_definition = params.text_document.uri, params.context.include_declaration
        found = await server.documents.current(uri)
        if found is None:
            return []
        ranges = navigation.references(found, params.position, with_definition=with_definition)
        return [types.Location(uri, each) for each in ranges]

    @server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    async def renameable(params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder | None:
        found = await server.documents.current(params.text_document.uri)
        named = navigation.name_at(found, params.position) if found is not None else None
        return types.PrepareRenamePlaceholder(*named) if named is not None else None

    @server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    async def renamed(params: types.RenameParams) -> types.WorkspaceEdit | None:
        uri = params.text_document.uri
        found = await server.documents.current(uri)
        if found is None:
            return None
        try:
            edits = navigation.rename(found, params.position, params.new_name)
        except ValueError as error:
            raise JsonRpcInvalidParams(str(error)) from None
        return types.WorkspaceEdit(changes={uri: edits})

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def outlined(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        found = await server.documents.current(params.text_document.uri)
        return navigation.symbols(found) if found is not None else []


def _add_lenses(server: StepflowServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_CODE_LENS)
    async def lenses(params: types.CodeLensParams) -> list[types.CodeLens]:
        found = await server.documents.current(params.text_document.uri) if server.runs_cases else None
        return navigation.lenses(found) if found is not None else []


def _add_actions(server: StepflowServer) -> None:
    options = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix, FIX_ALL])

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)
    async def acted(params: types.CodeActionParams) -> list[types.CodeAction]:
        uri = params.text_document.uri
        found = await server.documents.current(uri)
        if found is None:
            return []
        return await asyncio.to_thread(lambda: list(actions_for(found, uri, params.range, params.context.only)))
