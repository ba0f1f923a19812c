"""The language server, which passes an editor's requests on to the code that handles them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from .._version import VERSION
from ..signals import using_stop_signal_handler
from . import navigation
from .completion import TRIGGER_CHARACTERS, list_completions
from .cursor import DocumentText
from .diagnostics_and_fixes import FIX_ALL_KIND, build_diagnostics, list_code_actions
from .document_analysis import Analysis, Document, OpenDocuments, ProjectRulesCache, ServerChecker
from .navigation import build_hover

log = logging.getLogger(__name__)


class _DocumentlessProtocol(LanguageServerProtocol):
    """A protocol that, unlike the one in pygls, doesn't keep its own copy of each document.

    pygls splits lines at more characters than the protocol does, so it would apply edits in the wrong place.
    """

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Any:
        """Pass the change on to the handler."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None


class StepflowLanguageServer(LanguageServer):
    """A language server for flows and server configurations."""

    def __init__(self, projects: ProjectRulesCache) -> None:
        super().__init__("stepflow", VERSION, protocol_cls=_DocumentlessProtocol)
        self.server_checks = ServerChecker()
        self.can_run_cases = False
        """Whether the editor has a command to run test cases."""
        self.documents = OpenDocuments(projects, self._publish_analysis, self.server_checks)
        _add_document_handlers(self)
        _add_request_handlers(self)

    @property
    def supports_snippets(self) -> bool:
        """Whether the client supports snippets."""
        document = self.client_capabilities.text_document
        item = document.completion.completion_item if document is not None and document.completion is not None else None
        return item is not None and item.snippet_support is True

    def _publish_analysis(self, document: Document, analysis: Analysis) -> None:
        diagnostics = build_diagnostics(analysis)
        # For a file that is neither a flow nor a configuration, publish only if there are old diagnostics to clear.
        if diagnostics or document.is_published or analysis.kind is not None:
            self.publish_diagnostics(document.uri, diagnostics, document.version)
        document.is_published = bool(diagnostics)

    def publish_diagnostics(self, uri: str, diagnostics: list[types.Diagnostic], version: int | None = None) -> None:
        """Send a document's diagnostics to the client."""
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics, version))


def serve_editor(components: str | None = None, *, type_check: bool = False) -> None:
    """Serve an editor over stdin and stdout until the editor ends the session.

    Args:
        components: A file listing the components that flows may use. By default, each flow's project says which file to
            use.
        type_check: Whether to check types even if the settings don't enable type checks.
    """
    server = StepflowLanguageServer(ProjectRulesCache(components, type_check=type_check))
    # Checks run in other threads while this one handles requests. At the default switch interval of 5 ms, users would
    # notice the delay.
    sys.setswitchinterval(0.001)
    # A rejected request isn't a server error, so don't log it as one.
    logging.getLogger("pygls.protocol.json_rpc").addFilter(
        lambda record: record.exc_info is None or not isinstance(record.exc_info[1], JsonRpcInvalidParams)
    )
    # Exit at once on a stop signal, because pygls would wait for the thread that reads stdin. Duplicate the streams,
    # because pygls closes them, but the command flushes stdout on exit.
    stopping = using_stop_signal_handler(lambda *_: os._exit(0))
    with stopping, os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as responses:
        server.start_io(requests, responses)


def _add_document_handlers(server: StepflowLanguageServer) -> None:
    documents = server.documents

    @server.feature(types.INITIALIZE)
    async def apply_editor_options(params: types.InitializeParams) -> None:
        options = params.initialization_options
        options = options if isinstance(options, dict) else getattr(options, "__dict__", {})
        server.can_run_cases = options.get("runCases") is True
        url = options.get("server")
        if url is not None and not isinstance(url, str):
            log.warning("the setting 'server' must be a URL, not %r", url)
        elif url:
            server.server_checks.url = url

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def open_document(params: types.DidOpenTextDocumentParams) -> None:
        document, encoding = params.text_document, server.workspace.position_encoding
        text = DocumentText(document.text, str(getattr(encoding, "value", encoding)))
        documents.open(document.uri, text, document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def change_document(params: types.DidChangeTextDocumentParams) -> None:
        documents.change(params.text_document.uri, params.content_changes, params.text_document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def save_document(params: types.DidSaveTextDocumentParams) -> None:
        documents.check_saved_on_server(params.text_document.uri)

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def reanalyze_documents(params: types.DidChangeWatchedFilesParams) -> None:
        documents.reanalyze_all()

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def close_document(params: types.DidCloseTextDocumentParams) -> None:
        document = documents.close(params.text_document.uri)
        if document is not None and document.is_published:
            server.publish_diagnostics(document.uri, [])

    @server.feature(types.SHUTDOWN)
    async def shut_down(params: Any) -> None:
        documents.stop()


def _add_request_handlers(server: StepflowLanguageServer) -> None:
    documents = server.documents

    def register_handler(method: str, respond: Callable[[Analysis, Any], Any], options: Any = None) -> None:
        """Respond to requests based on the document's current text, or with null if the document isn't open."""

        @server.feature(method, options)
        async def handle(params: Any) -> Any:
            analysis = await documents.get_current_analysis(params.text_document.uri)
            return respond(analysis, params) if analysis is not None else None

    register_handler(types.TEXT_DOCUMENT_HOVER, lambda analysis, params: build_hover(analysis, params.position))
    register_handler(types.TEXT_DOCUMENT_DEFINITION, navigation.find_definition)
    register_handler(types.TEXT_DOCUMENT_REFERENCES, navigation.find_references)
    register_handler(types.TEXT_DOCUMENT_PREPARE_RENAME, navigation.prepare_rename)
    register_handler(types.TEXT_DOCUMENT_RENAME, navigation.build_rename, types.RenameOptions(prepare_provider=True))
    register_handler(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, lambda analysis, params: navigation.list_symbols(analysis))
    register_handler(
        types.TEXT_DOCUMENT_CODE_LENS,
        lambda analysis, params: navigation.list_test_case_lenses(analysis) if server.can_run_cases else [],
    )

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=TRIGGER_CHARACTERS))
    async def complete_text(params: types.CompletionParams) -> types.CompletionList | None:
        recent = await documents.get_recent_analysis(params.text_document.uri)
        if recent is None:
            return None
        return await asyncio.to_thread(
            list_completions, *recent, params.position, has_snippets=server.supports_snippets
        )

    action_kinds = [types.CodeActionKind.QuickFix, FIX_ALL_KIND]

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=action_kinds))
    async def list_actions(params: types.CodeActionParams) -> list[types.CodeAction] | None:
        analysis = await documents.get_current_analysis(params.text_document.uri)
        return await asyncio.to_thread(list_code_actions, analysis, params) if analysis is not None else None
