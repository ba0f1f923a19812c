"""Forms: the fields of a page, and the bodies that browsers send."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

_MOST_FIELDS = 100
_LONG_TEXT = 200


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    name: str
    """The field's name in the form; names in a schema may be any text."""
    key: str
    """The property that the field sets."""
    kind: str
    """`text`, `long`, `number`, `integer`, `choice`, `boolean`, `json` or `secret`."""
    required: bool = False
    title: str = ""
    description: str = ""
    options: tuple[Any, ...] = ()
    """The values of a `choice`."""
    value: str = ""
    """The current text; for a `choice`, the index of the value in `options`."""
    error: str = ""

    @property
    def labels(self) -> list[str]:
        """The options as texts."""
        return [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in self.options]


class FormError(ValueError):
    """The form's values do not match the schema.

    Args:
        fields: The fields; those with wrong values have an error.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        """Store the fields."""
        super().__init__("; ".join(f"{each.key}: {each.error}" for each in fields if each.error))
        self.fields = list(fields)


def fields_of(
    schema: Any, definitions: Mapping[str, Any] | None = None, *, prefix: str = "input", secret: Sequence[str] = ()
) -> list[Field]:
    """Return the fields for an object of this schema, required ones first; none if a form cannot represent it.

    Args:
        schema: A JSON schema. Properties with structured values become fields for JSON.
        definitions: The schemas that `$ref` may refer to.
        prefix: The beginning of the fields' names.
        secret: Properties whose value is not shown.
    """
    schema = _resolved(schema, definitions or {})
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not 0 < len(properties) <= _MOST_FIELDS:
        return []
    required = schema.get("required")
    known = set(required) if isinstance(required, list) and all(isinstance(each, str) for each in required) else set()
    # Servers from 0.12 on return properties in a different order each time.
    return [
        _field(f"{prefix}-{_digest(key)}", key, _resolved(each, definitions or {}), key in known, key in secret)
        for key, each in sorted(properties.items(), key=lambda pair: (pair[0] not in known, pair[0]))
    ]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    from stepflow_client.flows.json_schema import resolved

    found = resolved(schema, definitions)
    return found if isinstance(found, Mapping) else {}


def _field(name: str, key: str, schema: Mapping[str, Any], required: bool, secret: bool) -> Field:
    kind, options = _kind(schema)
    field = Field(
        name,
        key,
        "secret" if secret else kind,
        required,
        title=_text(schema.get("title")) or key,
        description=_text(schema.get("description")),
        options=options,
    )
    return filled(field, schema["default"]) if "default" in schema and not secret else field


def _kind(schema: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    options = schema.get("enum")
    if isinstance(options, list) and 0 < len(options) <= _MOST_FIELDS:
        return "choice", tuple(options)
    types = schema.get("type")
    plain = [each for each in types if each != "null"] if isinstance(types, list) else [types]
    kind = plain[0] if len(plain) == 1 else None
    if kind == "string":
        longest = schema.get("maxLength")
        is_long = schema.get("format") in ("textarea", "multiline", "markdown")
        return ("long" if is_long or (isinstance(longest, (int, float)) and longest > _LONG_TEXT) else "text"), ()
    return (kind if kind in ("number", "integer", "boolean") else "json"), ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def filled(field: Field, value: Any) -> Field:
    """Return a field set to a value; a value that it cannot show is ignored."""
    if field.kind == "secret":
        return field
    if field.kind == "choice":
        # True equals 1 in Python, but must not match a numeric choice.
        places = [str(i) for i, each in enumerate(field.options) if each == value and type(each) is type(value)]
        return replace(field, value=places[0]) if places else field
    if field.kind in ("text", "long"):
        return replace(field, value=value) if isinstance(value, str) else field
    if field.kind == "boolean" and not isinstance(value, bool):
        return field
    return replace(field, value=json.dumps(value, ensure_ascii=False, indent=2 if field.kind == "json" else None))


def value_of(fields: Sequence[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the object that was filled in. Optional fields left empty are omitted.

    Raises:
        FormError: If a field's value is wrong.
    """
    value: dict[str, Any] = {}
    seen = []
    for field in fields:
        text = form.get(field.name, "").replace("\r\n", "\n")
        try:
            if text or (field.required and field.kind in ("text", "long")):
                value[field.key] = _read(field, text)
            elif field.required:
                raise ValueError("needs a value")
            seen.append(replace(field, value="" if field.kind == "secret" else text))
        except ValueError as error:
            seen.append(replace(field, value=text, error=str(error)))
    if any(each.error for each in seen):
        raise FormError(seen)
    return value


def refilled(fields: Sequence[Field], form: Mapping[str, str]) -> list[Field]:
    """Return fields with the texts that were sent, except those of secrets."""
    return [replace(each, value="" if each.kind == "secret" else form.get(each.name, "")) for each in fields]


def showing(fields: Sequence[Field], value: Any) -> list[Field]:
    """Return fields set to an object; none if they cannot show all of it."""
    if not isinstance(value, Mapping):
        return []
    shown = [filled(each, value[each.key]) if each.key in value else replace(each, value="") for each in fields]
    try:
        is_same = value_of(shown, {each.name: each.value for each in shown}) == value
    except FormError:
        return []
    return shown if is_same else []


def _read(field: Field, text: str) -> Any:
    if field.kind in ("text", "long", "secret"):
        return text
    if field.kind == "choice":
        if not text.isdecimal() or int(text) >= len(field.options):
            raise ValueError("is not one of the choices")
        return field.options[int(text)]
    value = _json(text)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if field.kind == "integer" and not (is_number and value == int(value)):
        raise ValueError("is not an integer")
    if field.kind == "number" and not is_number:
        raise ValueError("is not a number")
    if field.kind == "boolean" and not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _json(text: str) -> Any:
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import parse_json

    try:
        return parse_json(text, "the value")
    except FlowFileError as error:
        raise ValueError(error.message.removeprefix("the value ")) from None


def text_value(text: str) -> Any:
    """Return the JSON or YAML value of a text; empty text is null.

    Raises:
        ValueError: If it is neither.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import parse_yaml

    if not text.strip():
        return None
    if text.lstrip()[0] in '{["':
        try:
            return _json(text)
        except ValueError as error:
            failure = error
    else:
        failure = None
    try:
        return parse_yaml(text, "the text")
    except FlowFileError as error:
        raise failure or ValueError(error.message) from None


MAX_BODY_BYTES = 16 * 2**20
"""Maximum size of a form in bytes."""
_MOST_PARTS = 2_000


class MalformedFormError(ValueError):
    """The data is not a form."""


def read_form(content_type: str, body: bytes) -> Mapping[str, str]:
    """Return the fields of a form; the last one if a name occurs several times. A file is a field with its text.

    Raises:
        MalformedFormError: If it is not a form, not UTF-8, or has more than 2,000 fields.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            text = body.decode("ascii")
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARTS))
        if kind == "multipart/form-data":
            return _parts(content_type, body)
    except (ValueError, LookupError) as error:
        raise MalformedFormError(str(error)) from None
    raise MalformedFormError(f"a form is urlencoded or multipart/form-data, not {kind or 'without a type'}")


def _parts(content_type: str, body: bytes) -> dict[str, str]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("ascii")
    message: Message = message_from_bytes(head + body, policy=HTTP)
    parts = message.get_payload()
    if not isinstance(parts, list) or len(parts) > _MOST_PARTS:
        raise MalformedFormError("it has no parts, or too many")
    fields = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition") if isinstance(part, Message) else None
        content = part.get_payload(decode=True) if isinstance(part, Message) else None
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode("utf-8-sig")
    return fields
