"""Explains why a text is not YAML: what a person did, where, and how to write it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import yaml

_PAIR = re.compile(r"(?P<before>\s*(?:- +)*)(?P<key>[^\s:#'\"{\[][^:#]*): +(?P<value>[^\s'\"{\[|>&*!].*)")
_CLOSERS = {"{": "}", "[": "]"}
_COMMENT = re.compile(r"\s+#.*")


class YamlFault(NamedTuple):
    """What is wrong with a YAML text. Line and column count from 1, and are None if they are unknown."""

    reason: str
    hint: str | None = None
    line: int | None = None
    column: int | None = None


def explained(text: str, error: yaml.MarkedYAMLError, loader: Any) -> YamlFault:
    """Return what is wrong with a text that PyYAML refuses.

    Args:
        text: The text.
        error: PyYAML's error.
        loader: The class of the loader that raised it.
    """
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or ""
    if mark is None:
        return YamlFault(problem)
    around = _Around(text, error.context_mark, mark, loader)
    for part, explain in _EXPLANATIONS:
        if part in problem and (found := explain(around)) is not None:
            return found if found.line else around.at(mark, found.reason, found.hint)
    return around.at(mark, problem, None)


class _Around:
    """The text around a fault: where PyYAML met it, and where the construct began in which it met it."""

    def __init__(self, text: str, context: Any, mark: Any, loader: Any) -> None:
        self.text, self.context, self.mark, self.loader = text, context, mark, loader
        self.next = text[mark.index : mark.index + 1]
        self.start = text.rfind("\n", 0, mark.index) + 1
        self.line = text[self.start :].partition("\n")[0].rstrip("\r")
        """The line of the fault."""
        self.before = text[self.start : mark.index]

    @property
    def begins_line(self) -> bool:
        return not self.before.strip()

    def at(self, mark: Any, reason: str, hint: str | None) -> YamlFault:
        return YamlFault(reason, hint, mark.line + 1, mark.column + 1)

    def above(self) -> tuple[int, str]:
        """Return the number and the text of the last line above that is neither empty nor a comment."""
        lines = self.text[: self.start].split("\n")[:-1]
        for number in range(len(lines), 0, -1):
            if lines[number - 1].strip() and not lines[number - 1].lstrip().startswith("#"):
                return number, lines[number - 1].rstrip("\r")
        return 0, ""

    def tokens_before(self) -> Iterator[Any]:
        """Yield the tokens that end before the fault."""
        with suppress(yaml.YAMLError):
            for token in yaml.scan(self.text, Loader=self.loader):
                if token.end_mark.index > self.mark.index:
                    return
                if token.end_mark.index > token.start_mark.index:
                    yield token

    def opener(self) -> Any:
        """Return the position of the innermost brace or bracket that is open; None if none is."""
        marks = []
        for token in self.tokens_before():
            if isinstance(token, (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)):
                marks.append(token.start_mark)
            elif isinstance(token, (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)) and marks:
                marks.pop()
        return marks[-1] if marks else None


def _tab(around: _Around) -> YamlFault | None:
    if around.next == "\t":
        return YamlFault("a tab cannot be used for indentation", "indent with spaces")
    return None


def _first_character(around: _Around) -> YamlFault | None:
    if not around.next.strip():
        return None
    rest = _COMMENT.sub("", around.text[around.mark.index :].partition("\n")[0]).strip()
    if rest.startswith("```"):
        return YamlFault("a Markdown fence begins here", "remove the lines that begin with ```")
    return YamlFault(
        f"text cannot begin with {around.next}", f"put it in quotes: {json.dumps(rest, ensure_ascii=False)}"
    )


def _alias(around: _Around) -> YamlFault | None:
    start = around.context or around.mark
    sign = around.text[start.index]
    return around.at(start, f"text cannot begin with {sign}, which names an anchor", "put it in quotes")


def _undefined_alias(around: _Around) -> YamlFault | None:
    return YamlFault("undefined alias: no anchor before it has this name", "put text that begins with * in quotes")


def _open_quote(around: _Around) -> YamlFault | None:
    return around.at(around.context, "this quote is not closed", "close it at the end of the text")


def _in_braces(around: _Around) -> YamlFault | None:
    """Explain what is wrong inside of braces or brackets."""
    opener = around.text[around.context.index]
    previous = around.text[around.mark.index - 1 : around.mark.index]
    if around.next in ("[", "{") and previous.strip() and previous not in ",:[{}]\"'":
        return _unquoted(around)
    line = around.text[around.text.rfind("\n", 0, around.context.index) + 1 :].partition("\n")[0]
    is_later = around.mark.line > around.context.line
    is_outside = len(around.line) - len(around.line.lstrip()) <= len(line) - len(line.lstrip())
    if around.mark.index >= len(around.text.rstrip()) or (is_later and is_outside):
        return _unclosed(around, around.context)
    return YamlFault(
        f"a comma or {_CLOSERS[opener]} is missing",
        "separate the parts with commas, and put text that holds ': ' in quotes",
    )


def _unclosed(around: _Around, opener: Any) -> YamlFault:
    sign = around.text[opener.index]
    return around.at(opener, f"this {sign} is not closed", f"write {_CLOSERS[sign]} behind its last part")


def _no_content(around: _Around) -> YamlFault | None:
    opener = around.opener()
    if opener is None:
        return _no_key(around)
    if around.next == ",":
        return YamlFault("nothing stands before this comma", "remove it, or write a value")
    return _unclosed(around, opener)


def _unquoted(around: _Around) -> YamlFault:
    """Explain a text with brackets inside of braces: `{$step: a, path: $.items[0].name}`."""
    begin = around.mark.index
    while begin and around.text[begin - 1] not in " \t\n,[{":
        begin -= 1
    end, depth = around.mark.index, 0
    while end < len(around.text) and around.text[end] != "\n":
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(around.text[end], 0)
        if depth < 0 or (depth == 0 and around.text[end] in ", "):
            break
        end += 1
    line = around.mark.line + 1
    column = around.mark.column + 1 - (around.mark.index - begin)
    quoted = json.dumps(around.text[begin:end], ensure_ascii=False)
    return YamlFault(f"text with {around.next} inside of braces needs quotes", f"quote it: {quoted}", line, column)


def _second_colon(around: _Around) -> YamlFault | None:
    """Explain a colon behind which no value is expected."""
    pair = _PAIR.fullmatch(_COMMENT.sub("", around.line).rstrip())
    if pair is not None and pair.end("key") < len(around.before):
        value = json.dumps(pair["value"], ensure_ascii=False)
        hint = f"quote text with ': ': {pair['key']}: {value}"
        return YamlFault("text with ': ' needs quotes", hint, around.mark.line + 1, pair.start("value") + 1)
    number, above = around.above()
    if number and not re.search(r":(\s|$)", above):
        return _no_pair(above, number)
    column = len(around.line) - len(around.line.lstrip()) + 1
    reason = f"this line is indented deeper than line {number}, which already has a value"
    hint = f"indent it like line {number}; put text of several lines in quotes"
    return YamlFault(reason, hint, around.mark.line + 1, column)


def _no_pair(line: str, number: int) -> YamlFault:
    text = line.strip()
    hint = "write key: value"
    if glued := re.match(r"((?:- +)?[\w$]+):(\S.*)", text):
        hint = f"write a blank behind ':': {glued[1]}: {glued[2]}"
    return YamlFault(f"{text[:40]!r} is not a key with a value", hint, number, len(line) - len(line.lstrip()) + 1)


def _lonely_text(around: _Around) -> YamlFault | None:
    start = around.text.rfind("\n", 0, around.context.index) + 1
    return _no_pair(around.text[start:].partition("\n")[0].rstrip("\r"), around.context.line + 1)


def _no_dash(around: _Around) -> YamlFault | None:
    """Explain a key among the elements of a list."""
    column = around.context.column
    if around.mark.column > column:
        return YamlFault("the indentation of this line fits no line above", f"indent it to column {column + 3}")
    name = around.line.strip().partition(":")[0]
    is_alone = _COMMENT.sub("", around.line.strip()).endswith(":")
    hint = f"write '- id: {name}'" if is_alone else f"write '- ' before {name!r}"
    reason = f"{name!r} stands in a list (from line {around.context.line + 1} on), whose elements begin with '- '"
    return YamlFault(reason, hint)


def _no_key(around: _Around) -> YamlFault | None:
    """Explain something that is not a key of the mapping around it."""
    if around.next in ("}", "]"):
        opener = {"}": "{", "]": "["}[around.next]
        return YamlFault(f"there is no {opener} that this {around.next} closes", "remove it, or put the text in quotes")
    if around.line.lstrip().startswith("- ") and around.begins_line:
        line = around.context.line + 1
        return YamlFault(f"a list element stands in a mapping (from line {line} on)",
                         f"write the keys from line {line} on as elements too: '- id: ...'")  # fmt: skip
    if around.begins_line:
        column = around.context.column + 1
        return YamlFault("the indentation of this line fits no line above", f"indent it to column {column}")
    token = max(around.tokens_before(), key=lambda each: each.end_mark.index, default=None)
    if isinstance(token, yaml.ScalarToken) and not token.plain:
        if token.start_mark.line < around.mark.line:
            return around.at(token.start_mark, "this quote is not closed", "close it at the end of the text")
        quote = around.text[token.start_mark.index]
        escaped = "''" if quote == "'" else '\\"'
        return YamlFault(f"text follows the closing {quote}", f"write a {quote} inside of the text as {escaped}")
    return YamlFault("text follows the end of the value", "put the whole value in quotes")


def _list_behind_key(around: _Around) -> YamlFault | None:
    return YamlFault("a list cannot begin behind its key", "begin it on the next line, or put text in quotes")


def _escape(around: _Around) -> YamlFault | None:
    return YamlFault("YAML does not know this escape", "use single quotes, in which \\ is a plain character")


def _block_header(around: _Around) -> YamlFault | None:
    return YamlFault("nothing may follow | or > on its line", "put text that begins with | or > in quotes")


def _second_document(around: _Around) -> YamlFault | None:
    return YamlFault("another document begins here", "remove the line ---, or use a file for each")


def _block_end(around: _Around) -> YamlFault | None:
    """Explain what PyYAML's parser in Python, unlike the one in C, reports alike for lists and mappings."""
    return _no_dash(around) if around.text[around.context.index] == "-" else _no_key(around)


_EXPLANATIONS = (
    ("tab", _tab),
    ("cannot start any token", _tab),
    ("cannot start any token", _first_character),
    ("alphabetic or numeric", _alias),
    ("undefined alias", _undefined_alias),
    ("unexpected end of stream", _open_quote),
    ("',' or '}'", _in_braces),
    ("',' or ']'", _in_braces),
    ("mapping values are not allowed", _second_colon),
    ("could not find expected ':'", _lonely_text),
    ("expected '-' indicator", _no_dash),
    ("did not find expected key", _no_key),
    ("node content", _no_content),
    ("sequence entries", _list_behind_key),
    ("hexdecimal", _escape),
    ("hexadecimal", _escape),
    ("unknown escape", _escape),
    ("comment or line break", _block_header),
    ("comment or a line break", _block_header),
    ("chomping", _block_header),
    ("<block end>", _block_end),
    ("another document", _second_document),
)
"""What explains a problem, by a part of PyYAML's words for it. The first that has an explanation counts."""
