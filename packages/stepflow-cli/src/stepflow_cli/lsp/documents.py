"""The open documents. Each version is analysed in a thread, so that nothing waits for it that can do without."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lsprotocol import types
from pygls.uris import to_fs_path

from ..validation.checks import Rules
from .analysis import Analysis, analyse
from .project import Projects
from .server_checks import ServerChecks
from .text import Text

log = logging.getLogger(__name__)
_PAUSES = (0.05, 0.2)
"""Seconds without an edit after which a document is analysed: half as many as that takes, within these limits."""

Publish = Callable[["Document", Analysis], None]


class Document:
    """An open document: its text, and what is known about its newest analysed version."""

    def __init__(self, uri: str, text: Text, version: int) -> None:
        self.uri, self.text, self.version = uri, text, version
        self.name = to_fs_path(uri) or uri.rpartition("/")[2]
        self.latest: Analysis | None = None
        self.typed: Analysis | None = None
        """The newest analysis with types: that of a text with a fault that hides the flow has none."""
        self.task: asyncio.Task[None] | None = None
        self.is_checked = False
        """Whether a check has begun that has not ended."""
        self.pause = 0.0
        """The pause before the check that begins next."""
        self.seconds = 0.0
        """The duration of the last check."""
        self.is_published = False
        """Whether the client shows diagnostics of it."""
        self.saved: Text | None = None
        """The text that was saved last."""
        self.asking: asyncio.Task[None] | None = None
        """Waits for a server's check of the saved text."""


class Documents:
    """The open documents.

    Args:
        projects: The settings of the files.
        publish: Called with a document and its analysis once its diagnostics are known.
        server: Checks what is saved.
    """

    def __init__(self, projects: Projects, publish: Publish, server: ServerChecks) -> None:
        self._projects, self._publish, self._server = projects, publish, server
        self._documents: dict[str, Document] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stepflow-checks")

    def open(self, uri: str, text: Text, version: int) -> None:
        """Add a document, and analyse it at once."""
        self._documents[uri] = document = Document(uri, text, version)
        self._start(document, 0)

    def change(self, uri: str, changes: Iterable[types.TextDocumentContentChangeEvent], version: int) -> None:
        """Change the text of a document, and analyse it after the last of several changes."""
        document = self._documents.get(uri)
        if document is not None:
            document.text, document.version = document.text.changed(changes), version
            self._start(document, _pause(document))

    def save(self, uri: str) -> None:
        """Have the server check a document that was saved; analyse all again, because the settings may have changed."""
        self.recheck()
        document = self._documents.get(uri)
        if document is not None:
            document.saved = document.text

    def recheck(self) -> None:
        """Analyse all documents again, because files that they depend on have changed."""
        for document in self._documents.values():
            # What is known of the text so far is not about this object.
            document.text = Text(document.text.text, document.text.encoding)
            self._start(document, 0)

    def close(self, uri: str) -> Document | None:
        """Remove a document, and return it."""
        document = self._documents.pop(uri, None)
        if document is not None and document.task is not None:
            document.task.cancel()
            if document.asking is not None:
                document.asking.cancel()
        return document

    def stop(self) -> None:
        """End the thread of the checks, and forget the documents."""
        self._documents.clear()
        self._server.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def current(self, uri: str) -> Analysis | None:
        """Return the analysis of a document's text as it is now; None if it is not open."""
        while (document := self._documents.get(uri)) is not None:
            if document.latest is not None and document.latest.text is document.text:
                return document.latest
            if document.pause:
                # A request does not wait for the end of the pause.
                self._start(document, 0)
            await self._settled(document)
        return None

    async def recent(self, uri: str) -> tuple[Analysis, Text] | None:
        """Return the newest analysis with types if there is one, of an earlier text perhaps, and the text as it is."""
        while (document := self._documents.get(uri)) is not None:
            if document.latest is not None:
                return document.typed or document.latest, document.text
            await self._settled(document)
        return None

    async def _settled(self, document: Document) -> None:
        if document.task is not None:
            await asyncio.wait([document.task])

    def _start(self, document: Document, pause: float) -> None:
        if document.is_checked:
            # The check that runs goes on with the new text, or completions would know nothing new while someone types.
            return
        if document.task is not None:
            document.task.cancel()
        document.pause = pause
        document.task = asyncio.get_running_loop().create_task(self._check(document, pause))

    async def _check(self, document: Document, pause: float) -> None:
        run = partial(asyncio.get_running_loop().run_in_executor, self._thread)
        text = None
        while text is not document.text:
            await asyncio.sleep(pause)
            text, document.is_checked, started = document.text, True, time.perf_counter()
            analysis = await run(self._analyse, document, text)
            if text is document.text:
                self._publish(document, analysis)
            document.latest = await run(_infer, analysis)
            document.seconds = time.perf_counter() - started
            if analysis.knows_more_than(document.typed):
                document.typed = analysis
            if text is document.saved and text is document.text:
                document.asking = asyncio.get_running_loop().create_task(self._ask(document, analysis))
            pause = _pause(document)
        document.is_checked = False

    async def _ask(self, document: Document, analysis: Analysis) -> None:
        checked = await asyncio.to_thread(self._server.check, analysis)
        if checked is not None and document.text is analysis.text:
            analysis.findings, analysis.of_server = checked.findings, checked.records
            self._publish(document, analysis)

    def _analyse(self, document: Document, text: Text) -> Analysis:
        name = document.name
        try:
            return analyse(name, text, self._projects.rules(name))
        except Exception:
            log.exception("%s could not be checked", name)
            return Analysis(None, text, name, Rules())


def _pause(document: Document) -> float:
    shortest, longest = _PAUSES
    return min(max(document.seconds / 2, shortest), longest)


def _infer(analysis: Analysis) -> Analysis:
    try:
        return analysis.infer()
    except Exception:
        log.exception("the types in %s could not be inferred", analysis.name)
        return analysis
