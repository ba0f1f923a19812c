"""A small language client that starts the real command and talks to it over its standard input and output."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cli.command import FORKED

_DEADLINE = 60.0
Json = dict[str, Any]


class ResponseError(Exception):
    """The server responded to a request with an error."""


class Editor:
    """An editor with one language server. Positions are in UTF-16 code units, as in most editors.

    Args:
        folder: The project folder.
        encodings: The position encodings offered to the server.
        options: The initialization options sent to the server.
        has_snippets: Whether the editor supports snippets.
        args: Further arguments for `stepflow lsp`.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *args: str,
        encodings: list[str] | None = None,
        options: Json | None = None,
        has_snippets: bool = False,
    ) -> None:
        self.folder = folder
        self.errors = (folder / "server.log").open("w+")
        self._process = subprocess.Popen(
            [str(FORKED), "lsp", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=folder,
            env=dict(environment),
        )
        self._received: queue.Queue[Json | None] = queue.Queue()
        self._reader = threading.Thread(target=self._receive, daemon=True)
        self._reader.start()
        self._id = 0
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.published: dict[str, list[Json]] = {}
        """The latest published diagnostics by URI, in a list with one element."""
        self.publish_count = 0
        capabilities: Json = {"general": {"positionEncodings": encodings}} if encodings else {}
        if has_snippets:
            capabilities["textDocument"] = {"completion": {"completionItem": {"snippetSupport": True}}}
        params = {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities}
        self.initialized = self.request("initialize", params | ({"initializationOptions": options} if options else {}))
        self.notify("initialized", {})

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> None:
        uri = self.uri(name)
        self.texts[uri], self.versions[uri] = text, 1
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def edit(self, name: str, start: int, end: int, new: str) -> None:
        """Replace a range of the text, and send only the change, as an editor does."""
        uri = self.uri(name)
        text = self.texts[uri]
        # An editor's cursor is never between CR and LF.
        start, end = (each + (text[each - 1 : each + 1] == "\r\n") for each in (start, end))
        change = {"range": {"start": position(text, start), "end": position(text, end)}, "text": new}
        self.texts[uri] = text[:start] + new + text[end:]
        self._change(uri, change)

    def replace(self, name: str, text: str) -> None:
        uri = self.uri(name)
        self.texts[uri] = text
        self._change(uri, {"text": text})

    def _change(self, uri: str, change: Json) -> None:
        self.versions[uri] += 1
        document = {"uri": uri, "version": self.versions[uri]}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def save(self, name: str) -> list[Json]:
        """Save a file, which triggers a check, and return the diagnostics of that check."""
        number = self.publish_count
        self.notify("textDocument/didSave", {"textDocument": {"uri": self.uri(name)}})
        while self.publish_count == number:
            self.handle_next()
        return self.diagnostics(name)

    def request_at(self, method: str, name: str, target: int | str, **more: Any) -> Any:
        """Send a request for a position, which is an offset or the text that starts there."""
        uri = self.uri(name)
        offset = target if isinstance(target, int) else self.texts[uri].index(target)
        place = position(self.texts[uri], offset)
        return self.request(f"textDocument/{method}", {"textDocument": {"uri": uri}, "position": place, **more})

    def request_for(self, method: str, name: str, **more: Any) -> Any:
        return self.request(f"textDocument/{method}", {"textDocument": {"uri": self.uri(name)}, **more})

    def labels(self, name: str, target: int | str) -> list[str]:
        return [each["label"] for each in self.request_at("completion", name, target)["items"]]

    def accept(self, name: str, target: int, label: str) -> None:
        """Accept a completion. A snippet is inserted with its placeholder texts and indented like the line."""
        uri = self.uri(name)
        items = self.request_at("completion", name, target)["items"]
        labels = [each["label"] for each in items]
        assert label in labels, (labels, self.texts[uri][:target])
        item = items[labels.index(label)]
        text, new = self.texts[uri], item["textEdit"]["newText"]
        start, end = (offset(text, item["textEdit"]["range"][each]) for each in ("start", "end"))
        if item.get("insertTextFormat") == 2:
            line = text[text.rfind("\n", 0, start) + 1 : start]
            new = new.replace("\n", "\n" + " " * (len(line) - len(line.lstrip(" "))))
            new = re.sub(r"\$(?:\d|\{\d:([^}]*)\})|\\(\$)", lambda match: match[1] or match[2] or "", new)
        self.edit(name, start, end, new)

    def diagnostics(self, name: str) -> list[Json]:
        """Wait for the diagnostics of the current version and return them."""
        uri = self.uri(name)
        while (latest := self.published.get(uri)) is None or latest[0]["version"] != self.versions[uri]:
            self.handle_next()
        return list(latest[0]["diagnostics"])

    def rules(self, name: str) -> list[str]:
        return [each["code"] for each in self.diagnostics(name)]

    def request(self, method: str, params: Json | None) -> Any:
        self._id += 1
        number = self._id
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == number and "method" not in message:
                if "error" in message:
                    raise ResponseError(message["error"]["message"])
                return message["result"]
            self._handle(message)

    def notify(self, method: str, params: Json | None) -> None:
        self._send({"method": method, "params": params})

    def handle_next(self) -> None:
        """Wait for the server's next message and handle it."""
        self._handle(self._next())

    def _handle(self, message: Json) -> None:
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.published[params["uri"]] = [params]
            self.publish_count += 1
        elif message.get("method") == "window/showMessage":
            raise AssertionError(message["params"]["message"])

    def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _next(self) -> Json:
        message = self._received.get(timeout=_DEADLINE)
        assert message is not None, f"the server has ended: {self.log()}"
        return message

    def _receive(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while line := stream.readline():
            length = 0
            while line.strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
                line = stream.readline()
            self._received.put(json.loads(stream.read(length)))
        self._received.put(None)

    def log(self) -> str:
        self.errors.seek(0)
        return self.errors.read()

    def wait(self) -> None:
        """End the session and wait until the server exits."""
        self.request("shutdown", None)
        self.notify("exit", None)
        assert self._process.wait(_DEADLINE) == 0, self.log()

    def stop(self, signal_number: int) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(signal_number)
        return self._process.wait(_DEADLINE)

    def close(self) -> None:
        self.wait()
        assert self.log() == ""

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(_DEADLINE)
        for stream in (self._process.stdin, self._process.stdout, self.errors):
            assert stream is not None
            stream.close()


def position(text: str, offset: int) -> Json:
    """Return the UTF-16 position of an offset. A line ends with CR, LF or both."""
    before = re.split("\r\n|\r|\n", text[:offset])
    return {"line": len(before) - 1, "character": len(before[-1].encode("utf-16-le")) // 2}


def offset(text: str, place: Json) -> int:
    """Return the offset of a UTF-16 position."""
    starts = [0, *(each.end() for each in re.finditer("\r\n|\r|\n", text)), len(text), len(text)]
    line = text[starts[place["line"]] : starts[place["line"] + 1]]
    return starts[place["line"]] + len(line.encode("utf-16-le")[: place["character"] * 2].decode("utf-16-le"))


def apply_edits(text: str, edits: list[Json]) -> str:
    """Apply text edits as an editor does."""
    for edit in sorted(edits, key=lambda each: offset(text, each["range"]["start"]), reverse=True):
        start, end = (offset(text, edit["range"][each]) for each in ("start", "end"))
        text = text[:start] + edit["newText"] + text[end:]
    return text


def texts_of_ranges(text: str, ranges: list[Json]) -> list[str]:
    return [text[offset(text, each["start"]) : offset(text, each["end"])] for each in ranges]


@contextmanager
def started(
    folder: Path,
    environment: Mapping[str, str],
    *args: str,
    encodings: list[str] | None = None,
    options: Json | None = None,
    has_snippets: bool = False,
) -> Iterator[Editor]:
    """Start an editor; on exit, check that the server stops cleanly and has logged nothing."""
    editor = Editor(folder, environment, *args, encodings=encodings, options=options, has_snippets=has_snippets)
    try:
        yield editor
        editor.close()
    finally:
        editor.kill()
