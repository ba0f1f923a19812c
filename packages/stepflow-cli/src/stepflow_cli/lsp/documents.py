"""The open documents. Each version is analysed in a thread, so that requests wait only for what they need."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lsprotocol import types
from pygls.uris import to_fs_path

from ..validation.flow_checks import CheckRules
from .analysis import Analysis, analyse
from .project_rules import ProjectRules
from .server_checks import ServerChecks
from .text import DocumentText

log = logging.getLogger(__name__)
# Seconds without an edit after which a document is analysed.
_PAUSE = 0.1

Publish = Callable[["Document", Analysis], None]


class Document:
    """An open document: its text, and the analyses of it."""

    def __init__(self, uri: str, text: DocumentText, version: int) -> None:
        self.uri, self.text, self.version = uri, text, version
        self.name = to_fs_path(uri) or uri.rpartition("/")[2]
        self.latest: Analysis | None = None
        self.typed: Analysis | None = None
        """The newest analysis with types: a syntax error can hide the flow, and with it all types."""
        self.task: asyncio.Task[None] | None = None
        self.is_being_checked = False
        self.is_pausing = False
        """Whether the next check waits for the end of the pause."""
        self.is_published = False
        """Whether the client shows diagnostics of it."""
        self.saved: DocumentText | None = None
        """The text that was saved last."""
        self.server_task: asyncio.Task[None] | None = None
        """Waits for a server's check of the saved text."""


class Documents:
    """The open documents.

    Args:
        projects: The rules by which files are checked.
        publish: Called with a document and its analysis once its diagnostics are known.
        server: Checks saved documents.
    """

    def __init__(self, projects: ProjectRules, publish: Publish, server: ServerChecks) -> None:
        self._projects, self._publish, self._server = projects, publish, server
        self._documents: dict[str, Document] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stepflow-checks")

    def open(self, uri: str, text: DocumentText, version: int) -> None:
        """Add a document and analyse it at once."""
        self._documents[uri] = document = Document(uri, text, version)
        self._start_check(document)

    def change(self, uri: str, changes: Iterable[types.TextDocumentContentChangeEvent], version: int) -> None:
        """Change the text of a document, and analyse it after a pause without further changes."""
        document = self._documents.get(uri)
        if document is not None:
            document.text, document.version = document.text.apply_changes(changes), version
            self._start_check(document, _PAUSE)

    def save(self, uri: str) -> None:
        """Let the server check a saved document; analyse all others again because the settings may have changed."""
        self.recheck()
        document = self._documents.get(uri)
        if document is not None:
            document.saved = document.text

    def recheck(self) -> None:
        """Analyse all documents again because files that they depend on have changed."""
        for document in self._documents.values():
            # A new object has no analysis yet.
            document.text = DocumentText(document.text.text, document.text.encoding)
            self._start_check(document)

    def close(self, uri: str) -> Document | None:
        """Remove a document and return it."""
        document = self._documents.pop(uri, None)
        for task in (document.task, document.server_task) if document is not None else ():
            if task is not None:
                task.cancel()
        return document

    def stop(self) -> None:
        """Stop all checks and close all documents."""
        self._documents.clear()
        self._server.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def get_current_analysis(self, uri: str) -> Analysis | None:
        """Return the analysis of a document's current text; None if it is not open."""
        while (document := self._documents.get(uri)) is not None:
            if document.latest is not None and document.latest.text is document.text:
                return document.latest
            if document.is_pausing:
                # Requests do not wait for the end of the pause.
                self._start_check(document)
            if document.task is not None:
                await asyncio.wait([document.task])
        return None

    async def get_recent_analysis(self, uri: str) -> tuple[Analysis, DocumentText] | None:
        """Return the newest analysis with types, possibly of an earlier text, and the current text."""
        while (document := self._documents.get(uri)) is not None:
            if document.latest is not None:
                return document.typed or document.latest, document.text
            if document.task is not None:
                await asyncio.wait([document.task])
        return None

    def _start_check(self, document: Document, pause: float = 0) -> None:
        if document.is_being_checked:
            # Do not cancel it: it continues with the new text, and completions would get no new types during typing.
            return
        if document.task is not None:
            document.task.cancel()
        document.is_pausing = pause > 0
        document.task = asyncio.get_running_loop().create_task(self._check(document, pause))

    async def _check(self, document: Document, pause: float) -> None:
        loop = asyncio.get_running_loop()
        run = partial(loop.run_in_executor, self._thread)
        text = None
        while text is not document.text:
            await asyncio.sleep(pause)
            text, document.is_being_checked = document.text, True
            analysis = await run(self._analyse, document, text)
            if text is document.text:
                self._publish(document, analysis)
            document.latest = await run(_infer_types, analysis)
            if analysis.replaces(document.typed):
                document.typed = analysis
            if text is document.saved and text is document.text:
                document.server_task = loop.create_task(self._check_on_server(document, analysis))
            pause = _PAUSE
        document.is_being_checked = False

    async def _check_on_server(self, document: Document, analysis: Analysis) -> None:
        checked = await asyncio.to_thread(self._server.check, analysis)
        if checked is not None and document.text is analysis.text:
            analysis.findings, analysis.server_findings = checked.findings, checked.records
            self._publish(document, analysis)

    def _analyse(self, document: Document, text: DocumentText) -> Analysis:
        name = document.name
        try:
            return analyse(name, text, self._projects.rules(name))
        except Exception:
            log.exception("%s could not be checked", name)
            return Analysis(None, text, name, CheckRules())


def _infer_types(analysis: Analysis) -> Analysis:
    try:
        return analysis.infer()
    except Exception:
        log.exception("the types in %s could not be inferred", analysis.name)
        return analysis
