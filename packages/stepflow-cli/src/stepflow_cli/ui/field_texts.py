"""The texts in the fields of forms: how values are shown, read, limited and explained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

from stepflow_client import FlowFileError
from stepflow_client._editing.text_edits import write_json
from stepflow_client.flows.file import parse_json, parse_yaml
from stepflow_client.flows.json_schema import is_number

FORMATS = ("date", "date-time", "email", "uri")
"""The formats that have a kind of field of their own."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")
_FORMAT_ERRORS = {
    "date": "is not a date, such as 2026-01-31",
    "date-time": "is not a date and time, such as 2026-01-31T12:00:00Z",
    "email": "is not an email address",
    "uri": "is not a URI, such as https://example.org/",
}
_ATTRIBUTES = {
    "number": {"minimum": "min", "maximum": "max"},
    "integer": {"minimum": "min", "maximum": "max"},
    "text": {"minLength": "minlength", "maxLength": "maxlength"},
}
_ATTRIBUTES |= dict.fromkeys(("long", "email", "uri"), _ATTRIBUTES["text"])


def get_text(value: Any) -> str:
    """Return a text of a schema; empty if it is something else."""
    return value if isinstance(value, str) else ""


def build_attributes(schema: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the HTML attributes for the limits in a schema, so that browsers check them too."""
    names = _ATTRIBUTES.get(kind, {})
    return {names[name]: str(schema[name]) for name in names if is_number(schema.get(name))}


def choose_input_type(kind: str, text: str) -> str:
    """Return the type of the HTML input for a text."""
    if kind == "date":
        return "date" if not text or _DATE.fullmatch(text) else "text"
    if kind == "date-time":
        # An offset has no place in such an input.
        return "datetime-local" if not text or _LOCAL.fullmatch(text) else "text"
    return {"email": "email", "uri": "url"}.get(kind, "text")


def describe_limits(schema: Mapping[str, Any], kind: str) -> str:
    """Return what a schema wants of a value, in words, and its first example."""
    parts = [
        _format_range(schema, "minLength", "maxLength", " characters"),
        _format_range(schema, "minItems", "maxItems", " elements"),
        _format_range(schema, "minimum", "maximum", ""),
    ]
    limits = {"exclusiveMinimum": "more than", "exclusiveMaximum": "less than", "multipleOf": "a multiple of"}
    parts += [f"{words} {schema[name]}" for name, words in limits.items() if is_number(schema.get(name))]
    pattern, shape, examples = (schema.get(name) for name in ("pattern", "format", "examples"))
    parts += [f"matching {pattern}"] if isinstance(pattern, str) else []
    parts += [f"format {shape}"] if isinstance(shape, str) and shape != kind else []
    parts += ["UTC"] if kind == "date-time" else []
    if isinstance(examples, list) and examples:
        parts.append(f"for example {examples[0] if isinstance(examples[0], str) else write_json(examples[0])}")
    return "; ".join(part for part in parts if part)


def _format_range(schema: Mapping[str, Any], least: str, most: str, unit: str) -> str:
    low, high = (schema[name] if is_number(schema.get(name)) else None for name in (least, most))
    if low is not None and high is not None:
        return f"{low} to {high}{unit}"
    if low is not None:
        return f"at least {low}{unit}"
    return "" if high is None else f"at most {high}{unit}"


def format_value(kind: str, value: Any) -> str | None:
    """Return the text that shows a value in a field; None if the field cannot show it."""
    if kind in ("text", "long", *FORMATS):
        if not isinstance(value, str):
            return None
        return value.removesuffix("Z") if kind == "date-time" and _LOCAL.fullmatch(value.removesuffix("Z")) else value
    if kind == "boolean" and not isinstance(value, bool):
        return None
    return write_json(value, "  " if kind in ("json", "list") else None)


def parse_field_text(kind: str, text: str) -> Any:
    """Return the value of the text in a field.

    Raises:
        ValueError: If it is not of this kind.
    """
    if kind in ("text", "long", "secret"):
        return text
    if kind in FORMATS:
        return _check_format(kind, text.strip())
    value = parse_json_text(text)
    if kind == "integer" and not (is_number(value) and value == int(value)):
        raise ValueError("is not an integer")
    if kind == "number" and not is_number(value):
        raise ValueError("is not a number")
    if kind == "boolean" and not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    if kind == "list" and not isinstance(value, list):
        raise ValueError("is not a list")
    return value


def _check_format(kind: str, text: str) -> str:
    try:
        match kind:
            case "date":
                return date.fromisoformat(text).isoformat()
            case "date-time":
                whole = f"{text}{':00' if text.count(':') == 1 else ''}Z" if _LOCAL.fullmatch(text) else text
                if datetime.fromisoformat(whole).astimezone(UTC) and "T" in whole.upper():
                    return whole
            case "email" if re.fullmatch(r"[^@\s]+@[^@\s]+", text):
                return text
            case "uri" if urlsplit(text).scheme and not re.search(r"\s", text):
                return text
    except (ValueError, OverflowError):
        pass
    raise ValueError(_FORMAT_ERRORS[kind])


def format_json(value: Any) -> str:
    """Return a value as JSON to edit: nothing in it is invisible. Empty for null."""
    return "" if value is None else write_json(value, "  ")


def parse_json_text(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: If it is not JSON.
    """
    try:
        return parse_json(text, "the value")
    except FlowFileError as error:
        raise ValueError(error.message.removeprefix("the value ")) from None


def parse_text(text: str) -> Any:
    """Return the JSON or YAML value of a text; empty text is null.

    Raises:
        ValueError: If it is neither.
    """
    if not text.strip():
        return None
    failure = None
    if text.lstrip()[0] in '{["':
        try:
            return parse_json_text(text)
        except ValueError as error:
            failure = error
    try:
        return parse_yaml(text, "the text")
    except FlowFileError as error:
        raise failure or ValueError(error.message) from None
