"""Explains why a text is not JSON: what a person did, where, and how to write it. Pure."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from .._base.text import cut

_LONGEST = 40
_CLOSERS = {"{": "}", "[": "]"}
_OTHER_WORDS = {"True": "true", "False": "false", "None": "null", "nil": "null", "undefined": "null"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_NAME = re.compile(r"[^\s,:\[\]{}\"'=]+")
_TEXT = re.compile(r"[^\s,\[\]{}\"']+(?: +[^\s,\[\]{}\"']+)*")
_NUMBER = re.compile(r"[+.]?\d[\d_.]*")
_CURLY_QUOTES = "\u201c\u201d\u201e\u2018\u2019"


class JsonFault(NamedTuple):
    """What is wrong with a JSON text. Line and column count from 1."""

    reason: str
    hint: str | None
    line: int
    column: int


def explained(error: json.JSONDecodeError) -> JsonFault:
    """Return what is wrong with the text that json refuses."""
    text, at = error.doc, error.pos
    if not text.strip():
        return JsonFault("it is empty", "write a value; {} is an object without fields", 1, 1)
    if error.msg.startswith("Unterminated string"):
        return _at(text, at, "this quote is not closed", 'write " at the end of the text')
    if error.msg.startswith("Invalid control character"):
        return _at(text, at, "a text cannot hold a line break or a tab", r"write them as \n and \t")
    if error.msg.startswith("Invalid \\"):
        return _at(text, at, "JSON does not know this escape", r"write a backslash as \\")
    if error.msg.startswith("Extra data"):
        return _extra(text, at)
    rest = text[at:].lstrip()
    if not rest and _opened(text):
        return _unclosed(text)
    if not rest:
        return _at(text, at, "a value is missing", None)
    return _unexpected(text, len(text) - len(rest), error.msg)


def _at(text: str, position: int, reason: str, hint: str | None) -> JsonFault:
    line = text.count("\n", 0, position) + 1
    return JsonFault(reason, hint, line, position - text.rfind("\n", 0, position))


def _extra(text: str, at: int) -> JsonFault:
    if text[at] in "{[" and "\n" in text[:at]:
        return _at(
            text, at, "another value begins here", "put all of them in one list; lines of JSON are a .jsonl file"
        )
    return _at(text, at, "text follows the end of the value", "remove it, or put the whole text in double quotes")


def _unclosed(text: str) -> JsonFault:
    """Explain a text, without its end, in which something was opened and not closed."""
    opened = _opened(text)
    sign = text[opened[-1]]
    return _at(text, opened[-1], f"this {sign} is not closed", f"write {_CLOSERS[sign]} behind its last part")


def _opened(text: str) -> list[int]:
    """Return where the braces and brackets begin that are not closed."""
    opened: list[int] = []
    for token in _TOKEN.finditer(text):
        if token[0] in _CLOSERS:
            opened.append(token.start())
        elif token[0] in "]}" and opened:
            opened.pop()
    return opened


def _unexpected(text: str, at: int, message: str) -> JsonFault:
    """Explain a character that cannot stand where it does."""
    sign = text[at]
    before = text[:at].rstrip()
    if sign in "]}," and before.endswith(","):
        return _at(text, len(before) - 1, "nothing follows this comma", "remove the comma")
    if message.startswith("Illegal trailing comma"):
        return _at(text, at, "nothing follows this comma", "remove the comma")
    if text.startswith(("//", "/*", "#"), at):
        return _at(text, at, "JSON has no comments", "remove it, or write YAML, in which # begins one")
    if "':'" in message:
        return _at(text, at, "a name is followed by a colon", 'write "name": value')
    if "','" in message:
        return _no_comma(text, at)
    if sign == "\\":
        return _at(
            text, at, "a backslash stands before the quote", 'write " alone; the shell did not remove the backslash'
        )
    if text[at:].startswith(("'{", "'[", "'\"")):
        return _at(text, at, "the single quotes are part of the text", "remove them; the shell did not")
    if sign == "'":
        found = re.match(r"'((?:[^'\\\n]|\\.)*)'", text[at:])
        hint = f"write {json.dumps(cut(found[1], _LONGEST), ensure_ascii=False)}" if found else 'write " instead of it'
        return _at(text, at, "text is in double quotes, not in single ones", hint)
    return _unquoted(text, at, is_name="property name" in message)


def _unquoted(text: str, at: int, *, is_name: bool) -> JsonFault:
    """Explain a name or a value that is neither in quotes nor a number, true, false or null."""
    what = "a name" if is_name else "a value"
    if text[at] in _CURLY_QUOTES:
        return _at(text, at, "this quote is a typographic one", 'write plain ones: "')
    if number := _NUMBER.match(text, at):
        hint = "write a digit other than 0 first, or 0. before a fraction; a + is not written"
        return _at(text, at, f"{cut(number[0], _LONGEST)} is not how JSON writes a number", hint)
    word = (_NAME if is_name else _TEXT).match(text, at)
    if word is None:
        hint = 'write it in double quotes: "name"' if is_name else "write null for a value that is empty"
        return _at(text, at, f"{what} is missing before {text[at]}", hint)
    if word[0] in _OTHER_WORDS and not is_name:
        return _at(text, at, f"JSON does not know {word[0]}", f"write {_OTHER_WORDS[word[0]]}")
    hint = f"write {json.dumps(cut(word[0], _LONGEST), ensure_ascii=False)}"
    return _at(text, at, f"{'a name' if is_name else 'text'} needs double quotes", hint)


def _no_comma(text: str, at: int) -> JsonFault:
    if text[at - 1] == '"' and text[at].isalnum():
        return _at(text, at, 'text follows the closing "', r'write a " inside of the text as \"')
    if text[at] in "]}" and _opened(text[:at]):
        return _unclosed(text[:at])
    if text[at].isdigit() and text[at - 1] == "0":
        return _unquoted(text, at - 1, is_name=False)
    return _at(text, at, "a comma is missing", "write , before this")
