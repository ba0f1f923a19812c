"""Build forms from JSON schemas and parse the submitted values."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

from stepflow_client import FlowFileError
from stepflow_client._data.flow_declarations import get_fields as properties_of
from stepflow_client._data.secrets import get_hidden_mark, has_hidden_part
from stepflow_client._editing.yaml_and_json_edits import dump_json
from stepflow_client.flows.json_schema import find_mismatches, is_number, resolve_ref
from stepflow_client.flows.reading import parse_json, parse_yaml

FIELD_FORMATS = ("date", "date-time", "email", "uri")
"""The string formats that have their own kind of field."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?")
_FORMAT_ERRORS = {
    "date": "is not a date, such as 2026-01-31",
    "date-time": "is not a date and time, such as 2026-01-31T12:00:00Z",
    "email": "is not an email address",
    "uri": "is not a URI, such as https://example.org/",
}
_ATTRIBUTES_BY_KIND = {
    "number": {"minimum": "min", "maximum": "max"},
    "integer": {"minimum": "min", "maximum": "max"},
    "text": {"minLength": "minlength", "maxLength": "maxlength"},
}
_ATTRIBUTES_BY_KIND |= dict.fromkeys(("long", "email", "uri"), _ATTRIBUTES_BY_KIND["text"])


def _describe_limits(schema: Mapping[str, Any], kind: str) -> str:
    """Describe the limits on a value in words, such as `1 to 5; for example 3`."""
    parts = [
        _describe_range(schema, "minLength", "maxLength", " characters"),
        _describe_range(schema, "minItems", "maxItems", " elements"),
        _describe_range(schema, "minimum", "maximum", ""),
    ]
    limits = {"exclusiveMinimum": "more than", "exclusiveMaximum": "less than", "multipleOf": "a multiple of"}
    parts += [f"{words} {schema[name]}" for name, words in limits.items() if is_number(schema.get(name))]
    pattern, shape, examples = (schema.get(name) for name in ("pattern", "format", "examples"))
    parts += [f"matching {pattern}"] if isinstance(pattern, str) else []
    parts += [f"format {shape}"] if isinstance(shape, str) and shape != kind else []
    parts += ["UTC"] if kind == "date-time" else []
    if isinstance(examples, list) and examples:
        parts.append(f"for example {examples[0] if isinstance(examples[0], str) else dump_json(examples[0])}")
    return "; ".join(part for part in parts if part)


def _describe_range(schema: Mapping[str, Any], least: str, most: str, unit: str) -> str:
    low, high = (schema[name] if is_number(schema.get(name)) else None for name in (least, most))
    if low is not None and high is not None:
        return f"{low} to {high}{unit}"
    if low is not None:
        return f"at least {low}{unit}"
    return "" if high is None else f"at most {high}{unit}"


def _format_field_value(kind: str, value: Any) -> str | None:
    """Format a value as the text of a field. Return None if this kind of field can't show it."""
    if kind in ("text", "long", *FIELD_FORMATS):
        if not isinstance(value, str):
            return None
        return value.removesuffix("Z") if kind == "date-time" and _LOCAL.fullmatch(value.removesuffix("Z")) else value
    if kind == "boolean" and not isinstance(value, bool):
        return None
    return dump_json(value, "  " if kind in ("json", "list") else None)


def _parse_field_text(kind: str, text: str) -> Any:
    """Parse the text of a field into its value.

    Raises:
        ValueError: If the text isn't valid for this kind of field.
    """
    if kind in ("text", "long", "secret"):
        return text
    if kind in FIELD_FORMATS:
        return _normalize_formatted_string(kind, text.strip())
    value = _parse_json_text(text)
    if kind == "integer" and not (is_number(value) and value == int(value)):
        raise ValueError("is not an integer")
    if kind == "number" and not is_number(value):
        raise ValueError("is not a number")
    if kind == "boolean" and not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    if kind == "list" and not isinstance(value, list):
        raise ValueError("is not a list")
    return value


def _normalize_formatted_string(kind: str, text: str) -> str:
    try:
        match kind:
            case "date":
                return date.fromisoformat(text).isoformat()
            case "date-time":
                time = f"{text}{':00' if text.count(':') == 1 else ''}Z" if _LOCAL.fullmatch(text) else text
                if datetime.fromisoformat(time).astimezone(UTC) and "T" in time.upper():
                    return time
            case "email" if re.fullmatch(r"[^@\s]+@[^@\s]+", text):
                return text
            case "uri" if urlsplit(text).scheme and not re.search(r"\s", text):
                return text
    except (ValueError, OverflowError):
        pass
    raise ValueError(_FORMAT_ERRORS[kind])


def format_editable_json(value: Any) -> str:
    """Format a value as JSON for a text box. Invisible characters are escaped, and null is shown as an empty box."""
    return "" if value is None else dump_json(value, "  ")


def _parse_json_text(text: str) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: If the text isn't valid JSON.
    """
    try:
        return parse_json(text, "the value")
    except FlowFileError as error:
        raise ValueError(error.message.removeprefix("the value ")) from None


def parse_json_or_yaml(text: str) -> Any:
    """Parse JSON or YAML text. Blank text counts as null.

    Raises:
        ValueError: If the text is neither valid JSON nor valid YAML.
    """
    if not text.strip():
        return None
    failure = None
    if text.lstrip()[0] in '{["':
        try:
            return _parse_json_text(text)
        except ValueError as error:
            failure = error
    try:
        return parse_yaml(text, "the text")
    except FlowFileError as error:
        raise failure or ValueError(error.message) from None


def reject_masked_value(value: Any, flow: Mapping[str, Any]) -> None:
    """Check that no part of a value was masked on a page or in the history.

    Raises:
        ValueError: If any part is masked.
    """
    if has_hidden_part(value, get_hidden_mark(flow)):
        raise ValueError("*** stands for a secret value: enter the value itself")


_MAX_FIELDS = 100
_MAX_DEPTH = 4
_LONG_LENGTH = 200
# What an empty required field contains, by kind. (Scripts show an empty list as no rows.) Other kinds need a value.
_EMPTY_TEXTS = {"text": "", "long": "", "list": "[]"}


@dataclass(frozen=True)
class Field:
    """A form field."""

    name: str
    """The field's name in the HTML form. This isn't the property's name, because that can be any string."""
    key: str
    """The name of the property that the field sets."""
    kind: str
    """`text`, `long`, `number`, `integer`, `choice`, `boolean`, `json`, `secret`, `object`, `list`, or one of the
    formats `date`, `date-time`, `email` and `uri`."""
    required: bool = False
    title: str = ""
    description: str = ""
    hint: str = ""
    """The limits on the value, in words."""
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The HTML attributes that enforce the limits."""
    options: tuple[Any, ...] = ()
    """For a `choice`, the values that the user can choose from."""
    parts: tuple[Field, ...] = ()
    """The fields of an `object`, or the fields of each element of a `list`."""
    value: str = ""
    """The current text. For a `choice`, this is an index into `options`. For a `list`, it's JSON."""
    is_nullable: bool = False
    """Whether null needs a checkbox, because the schema allows null but the field's text can't express it."""
    is_null: bool = False
    error: str = ""
    schema: Any = dataclasses.field(default=True, repr=False)
    definitions: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def option_labels(self) -> list[str]:
        """The options as the user sees them."""
        return [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in self.options]

    @property
    def input_type(self) -> str:
        """The HTML input type. Falls back to `text` if a more specific type can't show the current text."""
        if self.kind == "date":
            return "date" if not self.value or _DATE.fullmatch(self.value) else "text"
        if self.kind == "date-time":
            # Times with a UTC offset need a text field, because datetime-local doesn't support them.
            return "datetime-local" if not self.value or _LOCAL.fullmatch(self.value) else "text"
        return {"email": "email", "uri": "url"}.get(self.kind, "text")

    @property
    def has_error(self) -> bool:
        """Whether the field or any of its parts is invalid."""
        return bool(self.error) or any(part.has_error for part in self.parts)


class InvalidFormError(ValueError):
    """Raised if the submitted values don't match the schema. Each invalid field has an error."""

    def __init__(self, fields: Sequence[Field]) -> None:
        super().__init__("; ".join(_list_error_messages(fields)))
        self.fields = list(fields)


def _list_error_messages(fields: Sequence[Field], prefix: str = "") -> list[str]:
    errors = []
    for field in fields:
        errors += [f"{prefix}{field.key}: {field.error}"] if field.error else []
        errors += _list_error_messages(field.parts, f"{prefix}{field.key}.")
    return errors


def build_schema_fields(
    schema: Any, definitions: Mapping[str, Any] | None = None, *, prefix: str = "input", secret: Sequence[str] = ()
) -> list[Field]:
    """Return the fields for an object schema (in schema order), or an empty list if a form can't represent it.

    Args:
        schema: A JSON schema. Properties that no other kind of field supports get a JSON field.
        definitions: The schemas that `$ref` can refer to.
        prefix: The prefix of all field names.
        secret: The properties whose values must stay hidden.
    """
    builder = _FieldBuilder(definitions or {})
    return list(builder.object_fields(builder.resolve_schema(schema), prefix, 0, secret))


class _FieldBuilder:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._fields_left = _MAX_FIELDS

    def resolve_schema(self, schema: Any) -> Mapping[str, Any]:
        target = resolve_ref(schema, self._definitions)
        return target if isinstance(target, Mapping) else {}

    def object_fields(
        self, schema: Mapping[str, Any], prefix: str, depth: int, secret: Sequence[str] = ()
    ) -> tuple[Field, ...]:
        """Return an object's fields.

        Any object that would take the form past 100 fields is edited as JSON instead.
        """
        properties, required = properties_of(schema)
        if not 0 < len(properties) <= self._fields_left:
            return ()
        self._fields_left -= len(properties)
        return tuple(
            self._build_field(f"{prefix}-{_hash_text(key)}", key, property, depth, key in required, key in secret)
            for key, property in properties.items()
        )

    def _build_field(self, name: str, key: str, schema: Any, depth: int, required: bool, secret: bool) -> Field:
        target = self.resolve_schema(schema)
        kind, options = _choose_field_kind(target)
        parts: tuple[Field, ...] = ()
        if kind in ("object", "list") and not secret:
            if depth < _MAX_DEPTH:
                is_object = kind == "object"
                parts = self.object_fields(target, name, depth + 1) if is_object else self._element_fields(target, name)
            kind = kind if parts else "json"
        types, limits = target.get("type"), {} if secret else _ATTRIBUTES_BY_KIND.get(kind, {})
        is_simple = kind not in ("choice", "json", "object", "list") and not secret
        field = Field(
            name,
            key,
            "secret" if secret else kind,
            required,
            title=_get_schema_string(target, "title") or key,
            description=_get_schema_string(target, "description"),
            hint="" if secret else _describe_limits(target, kind),
            attributes={limits[name]: str(target[name]) for name in limits if is_number(target.get(name))},
            options=options,
            parts=parts,
            is_nullable=is_simple and isinstance(types, list) and "null" in types,
            schema=schema,
            definitions=self._definitions,
        )
        return fill_field(field, target["default"]) if "default" in target and not secret else field

    def _element_fields(self, schema: Mapping[str, Any], name: str) -> tuple[Field, ...]:
        """Return the fields of a list element.

        The list is edited as JSON unless its elements are simple values or flat objects.
        """
        element = self.resolve_schema(schema.get("items"))
        if _choose_field_kind(element)[0] == "object":
            parts = self.object_fields(element, f"{name}-row", _MAX_DEPTH)
        else:
            parts = (self._build_field(f"{name}-row", "", element, _MAX_DEPTH, True, False),)
        return parts if all(part.kind != "json" for part in parts) else ()


def _get_schema_string(schema: Mapping[str, Any], name: str) -> str:
    value = schema.get(name)
    return value if isinstance(value, str) else ""


def _hash_text(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _choose_field_kind(schema: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    options = schema.get("enum")
    if isinstance(options, list) and 0 < len(options) <= _MAX_FIELDS:
        return "choice", tuple(options)
    types = schema.get("type")
    plain = [kind for kind in types if kind != "null"] if isinstance(types, list) else [types]
    kind = plain[0] if len(plain) == 1 else None
    if kind == "string":
        longest, shape = schema.get("maxLength"), schema.get("format")
        is_long = shape in ("textarea", "multiline", "markdown")
        if isinstance(shape, str) and shape in FIELD_FORMATS:
            return shape, ()
        return ("long" if is_long or (isinstance(longest, (int, float)) and longest > _LONG_LENGTH) else "text"), ()
    if kind in ("object", "array"):
        return "object" if kind == "object" else "list", ()
    return (kind if kind in ("number", "integer", "boolean") else "json"), ()


def fill_field(field: Field, value: Any) -> Field:
    """Return a field with its value set, or the unchanged field if it can't show the value."""
    if field.kind == "secret":
        return field
    if field.is_nullable:
        if value is None:
            return replace(field, value="", is_null=True)
        field = replace(field, is_null=False)
    if field.kind == "object":
        if not isinstance(value, Mapping):
            return field
        parts = (fill_field(part, value[part.key]) if part.key in value else clear_field(part) for part in field.parts)
        return replace(field, parts=tuple(parts))
    if field.kind == "choice":
        # In Python, True == 1, but True must not match the number 1 among the choices.
        places = [str(i) for i, option in enumerate(field.options) if option == value and type(option) is type(value)]
        return replace(field, value=places[0]) if places else field
    shown = _format_field_value(field.kind, value)
    return field if shown is None else replace(field, value=shown)


def clear_field(field: Field) -> Field:
    """Return a field with its value removed."""
    parts = tuple(map(clear_field, field.parts)) if field.kind == "object" else field.parts
    return replace(field, value="", parts=parts, is_null=False)


def parse_submitted_object(fields: Sequence[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the submitted object. Optional fields that the user left empty are left out.

    Raises:
        InvalidFormError: If a field's value is invalid.
    """
    value: dict[str, Any] = {}
    entered = [_add_submitted_field_value(value, field, form) for field in fields]
    if any(field.has_error for field in entered):
        raise InvalidFormError(entered)
    checked = []
    for field in entered:
        # `run` performs the same check.
        if field.key in value and field.kind != "secret":
            for mismatch in find_mismatches(value[field.key], field.schema, field.definitions):
                path = mismatch.parts if mismatch.key is None else (*mismatch.parts, mismatch.key)
                field = _add_error_at_path(field, path, mismatch.message)
        checked.append(field)
    if any(field.has_error for field in checked):
        raise InvalidFormError(checked)
    return value


def _add_submitted_field_value(value: dict[str, Any], field: Field, form: Mapping[str, str]) -> Field:
    """Add a field's submitted value to the object. Return the field with its text and, if invalid, an error."""
    if field.kind == "object":
        inner: dict[str, Any] = {}
        if not field.required and not _has_submitted_value(field, form):
            return clear_field(field)
        parts = tuple(_add_submitted_field_value(inner, part, form) for part in field.parts)
        value[field.key] = inner
        return replace(field, parts=parts)
    text = _get_submitted_text(form, field.name)
    field = replace(field, is_null=field.is_nullable and bool(form.get(_get_null_checkbox_name(field))))
    if field.is_null:
        value[field.key] = None
        return replace(field, value="")
    shown = replace(field, value="" if field.kind == "secret" else text)
    try:
        if text and field.kind == "choice":
            if not text.isdecimal() or int(text) >= len(field.options):
                raise ValueError("is not one of the choices")
            value[field.key] = field.options[int(text)]
        elif text or (field.required and field.kind in _EMPTY_TEXTS):
            value[field.key] = _parse_field_text(field.kind, text or _EMPTY_TEXTS[field.kind])
        elif field.required:
            raise ValueError("needs a value")
    except ValueError as error:
        return replace(shown, error=str(error))
    return shown


def _has_submitted_value(field: Field, form: Mapping[str, str]) -> bool:
    if field.kind == "object":
        return any(_has_submitted_value(part, form) for part in field.parts)
    return bool(form.get(field.name) or form.get(_get_null_checkbox_name(field)))


def _get_null_checkbox_name(field: Field) -> str:
    return f"{field.name}-null"


def _get_submitted_text(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "").replace("\r\n", "\n")


def hash_form_contents(fields: Sequence[Field], raw: str) -> str:
    """Return digests of the input fields and of the raw JSON, used to detect later edits."""
    return f"{_hash_text(json.dumps(get_values_to_submit(fields)))} {_hash_text(raw)}"


def is_raw_edited(before: str | None, raw: str) -> bool:
    """Return whether the form's JSON has been edited since `hash_form_contents` returned `before`."""
    return before is not None and not before.endswith(f" {_hash_text(raw)}")


def should_parse_text_instead_of_fields(fields: Sequence[Field], form: Mapping[str, str]) -> bool:
    """Return True if the input should be read from the form's JSON or YAML text instead of from its fields.

    Raises:
        ValueError: If the fields were edited as well. (If scripts are enabled, the browser doesn't send the fields once
            there is any text.)
    """
    if not fields or not form.get("raw", "").strip():
        return not fields
    names = get_values_to_submit(map(clear_field, fields))
    before = form.get("before") or hash_form_contents(list(map(clear_field, fields)), "")
    if not is_raw_edited(before, _get_submitted_text(form, "raw")):
        return False
    sent = {name: _get_submitted_text(form, name) for name in names}
    if not names.keys().isdisjoint(form) and not before.startswith(f"{_hash_text(json.dumps(sent))} "):
        raise ValueError("both the fields and the text below them were changed: change only one of them")
    return True


def _add_error_at_path(field: Field, path: Sequence[Any], message: str) -> Field:
    """Return a field with an error attached to the part at `path`."""
    if field.kind == "object" and path and any(part.key == path[0] for part in field.parts):
        inner = (_add_error_at_path(part, path[1:], message) if part.key == path[0] else part for part in field.parts)
        return replace(field, parts=tuple(inner))
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return replace(field, error=field.error or (f"{where}: {message}" if where else message))


def restore_submitted_texts(fields: Sequence[Field], form: Mapping[str, str]) -> list[Field]:
    """Return the fields with the text submitted for them, except for secrets."""
    return [
        replace(
            field,
            value="" if field.kind == "secret" else form.get(field.name, field.value),
            is_null=field.is_nullable and bool(form.get(_get_null_checkbox_name(field))),
            parts=tuple(restore_submitted_texts(field.parts, form)) if field.kind == "object" else field.parts,
        )
        for field in fields
    ]


def fill_fields_from_object(fields: Sequence[Field], value: Any) -> list[Field]:
    """Return the fields filled in with an object's values, or an empty list if they can't show the whole object."""
    if not isinstance(value, Mapping):
        return []
    shown = [fill_field(field, value[field.key]) if field.key in value else clear_field(field) for field in fields]
    value_shown: dict[str, Any] = {}
    texts = get_values_to_submit(shown)
    fields = [_add_submitted_field_value(value_shown, field, texts) for field in shown]
    return shown if value_shown == value and not any(field.has_error for field in fields) else []


def get_values_to_submit(fields: Iterable[Field]) -> dict[str, str]:
    """Return the form values that a browser would submit for these fields."""
    texts: dict[str, str] = {}
    for field in fields:
        texts |= get_values_to_submit(field.parts) if field.kind == "object" else {field.name: field.value}
        texts |= {_get_null_checkbox_name(field): "1" if field.is_null else ""} if field.is_nullable else {}
    return texts
