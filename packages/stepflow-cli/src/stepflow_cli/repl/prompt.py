"""The prompt on a terminal, with a history and with completion of commands, options and file names."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from click.shell_completion import ShellComplete
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import create_output
from stepflow_client._stores.folders import user_folder

from ..inputs.flow import load_flow_file, step_ids

if TYPE_CHECKING:
    import click

    from ..context import Session


def make_prompt(group: click.Group, context: Session) -> Callable[[], str]:
    """Return a function that prompts for a line. It raises KeyboardInterrupt on Ctrl-C and EOFError on Ctrl-D.

    Args:
        group: All commands.
        context: The session that all commands share.
    """
    session: PromptSession[str] = PromptSession(
        "stepflow> ",
        history=_history(),
        completer=_Completer(group, context),
        # Run ids are requested from the server.
        complete_in_thread=True,
        complete_while_typing=False,
        # The prompt is shown on the terminal even if standard output is redirected.
        output=create_output(always_prefer_tty=True),
    )
    return session.prompt


def _history() -> History:
    path = user_folder("state") / "repl_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Lines may contain secrets, so only the user may read the file.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


class _Completer(Completer):
    """Completion by the same code as in the shell."""

    def __init__(self, group: click.Group, session: Session) -> None:
        self._session = session
        self._complete = ShellComplete(group, {}, "", "")
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return the completions of the word at the cursor."""
        if document.text_before_cursor.lstrip().startswith("{"):
            yield from self._steps(document.text_before_cursor)
            return
        before, raw = _last_word(document.text_before_cursor)
        try:
            words, incomplete = shlex.split(before), _unquoted(raw)
        except ValueError:
            return
        words = words[1:] if words[:1] == ["stepflow"] else words
        if words[:1] == ["rerun"] and self._session.flow is not None:
            words = ["run", self._session.flow, *words[1:]]
        if (words or [incomplete])[0].startswith("/"):
            words = ["components", "call", *words]
        # A copy, because parsing the options on the line would change the session, possibly in another thread.
        self._complete.ctx_args = {"obj": replace(self._session)}
        items = self._complete.get_completions(words, incomplete)
        # In `--flow=par`, only the part after the equals sign is completed.
        start, value = "", incomplete
        if incomplete.startswith("--") and "=" in incomplete:
            name, _, value = incomplete.partition("=")
            start = f"{name}="
        if any(item.type in ("file", "dir") for item in items):
            for found in self._files.get_completions(Document(value), complete_event):
                whole = start + shlex.quote(value + found.text)
                yield Completion(whole, -len(raw), display=found.display)
            return
        for item in items:
            whole = start + shlex.quote(item.value)
            yield Completion(whole, -len(raw), display=item.value, display_meta=item.help or "")

    def _steps(self, text: str) -> Iterable[Completion]:
        """Return the steps of the current flow, within an expression that names one."""
        named = re.search(r"\$step\W*([\w.-]*)$", text)
        if named is None or self._session.flow is None:
            return
        with suppress(Exception):
            for step in step_ids(load_flow_file(self._session.flow)):
                if step.startswith(named[1]):
                    yield Completion(step, -len(named[1]))


def _last_word(text: str) -> tuple[str, str]:
    """Split a line before its last word, which may be empty or have an unclosed quote."""
    start, quote, escaped = 0, "", False
    for place, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            start = place + 1
    return text[:start], text[start:]


def _unquoted(raw: str) -> str:
    for end in ("", '"', "'"):
        try:
            return "".join(shlex.split(raw + end))
        except ValueError:
            continue
    return raw
