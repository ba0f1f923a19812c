"""Components with many kinds of schemas, in the format of `components lock`."""

from __future__ import annotations

from typing import Any

__all__ = ["COMPONENTS", "large_components"]

_TEXT = {"type": "string"}
_INTEGER = {"type": "integer"}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


def _component(path: str, input_schema: Any, output_schema: Any, description: str | None = None) -> dict[str, Any]:
    name = path.lstrip("/").partition("/")[2]
    schemas = {"input_schema": input_schema, "output_schema": output_schema}
    return {"name": name, "path": path, "plugin": "p", "description": description, **schemas}


_MESSAGE = {
    "title": "ChatMessage",
    "description": "A message.",
    **_object("role content", role={"enum": ["user", "system"]}, content=_TEXT, name={"type": ["string", "null"]}),
}
_DEFS: dict[str, Any] = {
    "$defs": {
        "Node": _object("value", value=_INTEGER, children={"type": "array", "items": {"$ref": "#/$defs/Node"}}),
        "Json": {
            "anyOf": [
                _TEXT,
                {"type": "null"},
                {"type": "array", "items": {"$ref": "#/$defs/Json"}},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/Json"}},
            ]
        },
    }
}
_PAIR = {"type": "array", "prefixItems": [_TEXT, _INTEGER], "minItems": 2, "maxItems": 2}
_ODD = {"class": _TEXT, "x-y": _INTEGER, "from": _TEXT, "__dunder": _TEXT, "ünï": _TEXT, "1st": _TEXT, "list": _TEXT}

COMPONENTS = [
    _component(
        "/shop/price",
        _object(
            "sku", sku=_TEXT, qty={**_INTEGER, "default": 1, "description": "How many."}, to=_object("city", city=_TEXT)
        ),
        _object(
            "eur tags lines",
            eur={"type": "number"},
            note={"type": ["string", "null"]},
            tags={"type": "array", "items": _TEXT},
            lines={"type": "array", "items": _object("vat-rate", **{"vat-rate": {"type": "number"}})},
            currency={"enum": ["EUR", "USD"], "default": "EUR"},
        ),
        'Look up a price.\n\nOf the "shop\\catalog"; Name and Any are words.',
    ),
    _component(
        "/chat/complete",
        _object(
            "messages",
            messages={"type": "array", "items": _MESSAGE},
            options=_object("", **{"top-p": {"type": "number"}}),
            tools={"type": "object", "additionalProperties": _object("f", f=_TEXT)},
            pair=_PAIR,
        ),
        _object("messages", messages={"type": "array", "items": _MESSAGE}, pair=_PAIR),
    ),
    _component("/shop/list", _object("class x-y step", step=_TEXT, metadata=_TEXT, **_ODD), _object("class", **_ODD)),
    _component("/python/echo", None, None),
    _component("/other/echo", {}, _TEXT),
    _component("/a/list of", {"type": "array", "items": _MESSAGE}, {"type": "array", "items": _MESSAGE}, 'in "quotes"'),
    _component(
        "/tree/walk", {**_DEFS, "$ref": "#/$defs/Node"}, {**_DEFS, **_object("root", root={"$ref": "#/$defs/Node"})}
    ),
    _component(
        "/tree/json", {**_DEFS, **_object("json", json={"$ref": "#/$defs/Json"})}, {**_DEFS, "$ref": "#/$defs/Json"}
    ),
    _component("/bad/type", {"type": "objekt"}, {"type": "object", "properties": {"a": {"type": 5}}}),
    _component("/bad/reference", _object("a", a={"$ref": "#/$defs/No"}), {"$ref": "http://elsewhere"}),
    _component("/bad/shape", 5, "x"),
    _component(
        "/union/one",
        _object(
            "a", a={"oneOf": [_MESSAGE, _TEXT, {"type": "null"}]}, b={"enum": ["it's", 'a"b', None, 3]}, c={"const": 7}
        ),
        _object("a", a={"oneOf": [_MESSAGE, _TEXT]}),
    ),
    _component("/x/import", _object(), _object()),
    _component("/x/1-2", {"type": "object"}, {"type": "object", "additionalProperties": _INTEGER}),
    _component("/x/Any", {"type": "object", "additionalProperties": _INTEGER}, _object("List", List=_TEXT)),
    _component("/x/dataclass", _TEXT, {"type": "null"}),
    _component("/x/日本", _object("a", a=_TEXT), _TEXT),
    _component('/x/q")\nimport os\n("', _object("a", a=_TEXT), _TEXT, '"""\nimport os\n\\'),
    _component("/x/all", {"allOf": [_object("a", a=_TEXT), _object("b", b=_TEXT)]}, {"allOf": [_MESSAGE]}),
    _component("/builtin/noop", None, None),
]


def large_components(number: int) -> list[dict[str, Any]]:
    """Return components with large distinct schemas that refer to shared and recursive ones."""

    def schema(depth: int, own: int) -> dict[str, Any]:
        fields: dict[str, Any] = {
            f"field_{own}_{i}": {"type": "string", "description": f"The field {i}. " * 5, "minLength": 1}
            for i in range(12)
        }
        if depth:
            fields |= {f"inner_{i}": {"type": "array", "items": schema(depth - 1, own)} for i in range(2)}
            fields["node"] = {"$ref": "#/$defs/Node"}
        return {"type": "object", "properties": fields, "required": list(fields)[:6]}

    return [
        _component(f"/big/c{i}", {**_DEFS, **schema(3, i)}, {**_DEFS, **schema(2, i)}, "Does it. " * 10)
        for i in range(number)
    ]
