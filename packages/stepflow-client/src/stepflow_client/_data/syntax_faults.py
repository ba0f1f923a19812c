"""Explains common mistakes in JSON and YAML, and falls back to the parser's message for any other error."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.error_classes import FlowFileError
from .._base.lazy import lazy_module

if TYPE_CHECKING:
    import yaml
else:
    # Load PyYAML lazily, because it isn't needed to read JSON.
    yaml = lazy_module("yaml")

_CLOSERS = {"{": "}", "[": "]"}
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_KEY_VALUE_LINE = re.compile(r"\s*(?:- +)*(?P<key>[^\s:#'\"{\[][^:#]*): +(?P<value>[^\s'\"{\[|>&*!].*)")
_COMMENT = re.compile(r"\s+#.*")
_PATH_PREFIX = re.compile(r"[^\s,\[\]{}:\"']+$")
_PATH_SUFFIX = re.compile(r"(?:\[[^\]\n]*\]|\{[^}\n]*\}|[^\s,\[\]{}])*")


class Fault(NamedTuple):
    """A syntax error. Line and column numbers start at 1, and are None if the position is unknown."""

    reason: str
    hint: str | None = None
    line: int | None = None
    column: int | None = None

    def make_error(self, source: str, what: str) -> FlowFileError:
        """Return the error to raise. Its message starts with `source` and `what` (e.g. `is not YAML`)."""
        where = f" (line {self.line}, column {self.column})" if self.line is not None else ""
        message = f"{source} {what}: {self.reason}{where}"
        return FlowFileError(message, path=source, line=self.line, column=self.column, hint=self.hint)


def build_fault(text: str, index: int, reason: str, hint: str | None = None) -> Fault:
    """Return a fault with the line and column of an offset in the text."""
    return Fault(reason, hint, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _build_unclosed_bracket_fault(text: str, index: int) -> Fault:
    sign = text[index]
    return build_fault(text, index, f"this {sign} is not closed", f"write {_CLOSERS[sign]} after its last part")


def explain_json_error(error: json.JSONDecodeError) -> Fault:
    """Explain why the json module couldn't parse some text."""
    text = error.doc
    rest = text[error.pos :].lstrip()
    at = len(text) - len(rest) if rest else error.pos
    before = text[:at].rstrip()
    if not text.strip():
        return Fault("it is empty", "write a value, such as {} for an object with no fields", 1, 1)
    if error.msg.startswith("Unterminated string"):
        return build_fault(text, at, "this quote is not closed", 'add " at the end of the string')
    opened: list[int] = []
    for token in _STRING_OR_BRACKET.finditer(text, 0, at):
        if token[0] in _CLOSERS:
            opened.append(token.start())
        elif token[0] in "]}" and opened:
            opened.pop()
    if opened and (not rest or (rest[0] in "]}" and "','" in error.msg)):
        return _build_unclosed_bracket_fault(text, opened[-1])
    is_before = rest[:1] in ("]", "}", ",") and before.endswith(",")
    if is_before or error.msg.startswith("Illegal trailing comma"):
        return build_fault(text, len(before) - 1 if is_before else at, "trailing comma", "remove the comma")
    if rest.startswith(("//", "/*", "#")):
        return build_fault(text, at, "JSON has no comments", "remove the comment, or write YAML, which has comments")
    if rest.startswith("'"):
        hint = "write \" in place of ', and do not quote the whole value"
        return build_fault(text, at, "strings need double quotes, not single quotes", hint)
    if rest.startswith("\\"):
        hint = "remove the backslash: in single quotes, the shell keeps it"
        return build_fault(text, at, "there is a backslash before the quote", hint)
    advice = "write text in double quotes" if error.msg == "Expecting value" and rest else None
    return build_fault(text, error.pos, error.msg[:1].lower() + error.msg[1:].removesuffix(" at"), advice)


def explain_yaml_error(text: str, error: yaml.MarkedYAMLError, loader: Any) -> Fault:
    """Explain why PyYAML couldn't parse some text. `loader` is the loader class that raised the error."""
    problem, context, mark = error.problem or "", error.context or "", error.problem_mark or error.context_mark
    assert mark is not None
    # The marks don't count a byte order mark.
    text = text.removeprefix("\ufeff")
    found = _explain_common_mistake(text, problem, error.context_mark or mark, mark, loader)
    reason = f"{context} {problem}" if problem.startswith("but ") else f"{problem} {context}"
    # If a key is unfinished, the problem mark points to the token after it, so use the context mark instead.
    where = error.context_mark if "simple key" in context and error.context_mark is not None else mark
    return found or build_fault(text, where.index, reason.strip())


def _explain_common_mistake(text: str, problem: str, context: yaml.Mark, mark: yaml.Mark, loader: Any) -> Fault | None:
    """Explain an error if it's caused by a common mistake. Otherwise, return None.

    Args:
        text: The text.
        problem: PyYAML's message.
        context: Where the list, mapping or string that the parser was reading begins.
        mark: Where the parser noticed the problem.
        loader: The loader class.
    """
    at, start = mark.index, text.rfind("\n", 0, mark.index) + 1
    line = text[start:].partition("\n")[0].rstrip("\r")
    sign = text[at : at + 1]
    if "unexpected end of stream" in problem:
        return _build_unclosed_quote_fault(text, context)
    if sign == "\t" and ("tab" in problem or "cannot start any token" in problem):
        return build_fault(text, at, "a tab cannot be used for indentation", "indent with spaces")
    if ("cannot start any token" in problem and sign.strip()) or "alphabetic or numeric" in problem:
        begin = context.index if "alphabetic" in problem else at
        if text.startswith("```", begin):
            return build_fault(text, begin, "a Markdown fence begins here", "remove the lines that begin with ```")
        quoted = json.dumps(_COMMENT.sub("", text[begin:].partition("\n")[0]).strip(), ensure_ascii=False)
        return build_fault(text, begin, f"text cannot begin with {text[begin]}", f"put it in quotes: {quoted}")
    if "',' or" in problem:
        head = _PATH_PREFIX.search(line[: at - start])
        if sign in _CLOSERS and head is not None:
            tail = _PATH_SUFFIX.match(text, at)
            quoted = json.dumps(head[0] + (tail[0] if tail else ""), ensure_ascii=False)
            begin = start + head.start()
            return build_fault(text, begin, f"text with {sign} inside braces needs quotes", f"quote it: {quoted}")
        outer = text[text.rfind("\n", 0, context.index) + 1 :].partition("\n")[0]
        if at >= len(text.rstrip()) or (mark.line > context.line and _get_indent(line) <= _get_indent(outer)):
            return _build_unclosed_bracket_fault(text, context.index)
    if "mapping values are not allowed" in problem:
        pair = _KEY_VALUE_LINE.fullmatch(_COMMENT.sub("", line).rstrip())
        if pair is not None and start + pair.end("key") < at:
            hint = f"quote text with ': ': {pair['key']}: {json.dumps(pair['value'], ensure_ascii=False)}"
            return build_fault(text, start + pair.start("value"), "text with ': ' needs quotes", hint)
        hint = "indent it like the line above, or put multi-line text in quotes"
        return build_fault(text, start + _get_indent(line), "this line is indented deeper than its mapping", hint)
    if "node content" in problem and sign != "," and (opened := _find_open_brackets(text, mark, loader)[0]):
        return _build_unclosed_bracket_fault(text, opened[-1])
    if any(each in problem for each in ("expected '-' indicator", "did not find expected key", "<block end>")):
        return _explain_misplaced_line(text, context, mark, loader)
    return None


def _explain_misplaced_line(text: str, context: yaml.Mark, mark: yaml.Mark, loader: Any) -> Fault | None:
    """Explain a line that doesn't belong to the surrounding list or mapping, which begins at `context`."""
    line = text[text.rfind("\n", 0, mark.index) + 1 :].partition("\n")[0]
    if _get_indent(line) == mark.column:
        if mark.column == context.column:
            reason = f"this line and line {context.line + 1} are not both elements of a list, or keys of a mapping"
            return build_fault(text, mark.index, reason, "begin each element of a list with '- '")
        column = context.column + (3 if text[context.index] == "-" else 1)
        reason = "the indentation of this line matches no line above"
        return build_fault(text, mark.index, reason, f"indent it to column {column}")
    _, last = _find_open_brackets(text, mark, loader)
    if last is not None and not last.plain and last.start_mark.line < mark.line:
        return _build_unclosed_quote_fault(text, last.start_mark)
    return None


def _find_open_brackets(text: str, mark: yaml.Mark, loader: Any) -> tuple[list[int], yaml.ScalarToken | None]:
    """Return the positions of the brackets that are still open at a mark, and the last scalar before the mark."""
    opened, last = list[int](), None
    with suppress(yaml.YAMLError):
        for token in yaml.scan(text, Loader=loader):
            if token.end_mark.index > mark.index:
                break
            if isinstance(token, (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)):
                opened.append(token.start_mark.index)
            elif isinstance(token, (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)) and opened:
                opened.pop()
            last = token if isinstance(token, yaml.ScalarToken) else last
    return opened, last


def _build_unclosed_quote_fault(text: str, mark: yaml.Mark) -> Fault:
    return build_fault(text, mark.index, "this quote is not closed", "add a quote at the end of the string")


def _get_indent(line: str) -> int:
    return len(line) - len(line.lstrip())
