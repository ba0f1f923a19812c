"""Flows for `stepflow codegen`: schemas, each with valid values of its input."""

from __future__ import annotations

from typing import Any

__all__ = ["FLOWS", "flow_of"]


def _object(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), **more}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
TREE = _object({"value": NUMBER, "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}, "value")
ADDRESS = _object({"street": TEXT, "zip": {**TEXT, "pattern": r"^(?=\d)\d{5}$"}}, "street", description="Where.\nTo.")

_HOSTILE = """\\\"\"\"\n'''; raise SystemExit("it was run") #\n# {x} \\\\"""

FLOWS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "plain": ({"input": _object({"name": TEXT, "n": NUMBER, "f": {"type": "number"}, "b": {"type": "boolean"}}, "name")},
              [{"name": "Ada"}, {"name": "", "n": 1, "f": 0.5, "b": False}]),
    "optional": ({"input": _object({"a": {"type": ["string", "null"]}, "b": TEXT, "c": {"type": "null"}}, "a")},
                 [{"a": None}, {"a": "x", "b": "y", "c": None}]),
    "reserved": ({"input": _object(dict.fromkeys(("class", "def", "None", "self", "cls", "import", "match", "async", "print", "type", "list", "int", "str", "field"), TEXT),
                                   "class", "None")},
                 [{"class": "a", "None": "b"}, {"class": "a", "None": "b", "self": "c", "int": "d", "list": "e"}]),
    "taken": ({"input": _object(dict.fromkeys(("model_config", "model_dump", "copy", "json", "schema", "dict", "validate", "model_fields", "model_x", "_private", "__init__"), NUMBER),
                                "copy")},
              [{"copy": 1}, {"copy": 1, "model_config": 2, "schema": 3, "_private": 4, "__init__": 5, "model_x": 6}]),
    "aliases": ({"input": _object(dict.fromkeys(("a-b", "a_b", "a b", "A_B", "1st", "with.dot", "ümlaut", "$x", "名前", "class_", "class", ""), TEXT), "a_b")},
                [{"a_b": "1"}, {"a-b": "1", "a_b": "2", "a b": "3", "A_B": "4", "1st": "5", "with.dot": "6", "$x": "7"},
                 {"a_b": "0", "class_": "8"}, {"a_b": "0", "class": "9", "ümlaut": "10", "名前": "11"}]),
    "enums": ({"input": _object({"color": {"enum": ["red", "green", None]}, "size": {"enum": [1, 2], "type": "integer"},
                                 "ratio": {"enum": [0.5, 1.5], "type": "number"}, "kind": {"const": "x"},
                                 "odd": {"enum": ["a b", "class", "", "é", '"']}, "any": {"enum": [[1], {}]}},
                                "color")},
              [{"color": None}, {"color": "red", "size": 2, "ratio": 0.5, "kind": "x", "odd": '"', "any": [1]}]),
    "defaults": ({"$defs": {"Address": ADDRESS},
                  "input": _object({"n": {**NUMBER, "default": 5}, "list": {"type": "array", "items": TEXT, "default": ["a"]},
                                    "to": {"$ref": "#/$defs/Address", "default": {"street": "here"}},
                                    "many": {"type": "array", "items": {"$ref": "#/$defs/Address"},
                                             "default": [{"street": "there"}]},
                                    "color": {"enum": ["red", "green"], "default": "green"},
                                    "day": {**TEXT, "format": "date", "default": "2026-01-02"},
                                    "map": {"type": "object", "default": {"a": [1]}}, "none": {**TEXT, "default": None}})},
                 [{"n": 1, "list": [], "to": {"street": "a"}, "many": [], "color": "red", "day": "2026-02-03", "map": {},
                   "none": "x"}]),
    "odd_limits": ({"input": _object({"a": {**NUMBER, "multipleOf": 0}, "b": {**TEXT, "minLength": -1, "maxLength": 10**30},
                                  "c": {"type": "array", "items": TEXT, "minItems": 1.5, "maxItems": -2},
                                  "d": {**NUMBER, "multipleOf": -2, "minimum": True}, "e": {**TEXT, "minLength": 1.0}})},
               [{"a": 1, "b": "", "c": [], "d": 3, "e": "x"}]),
    "shared": ({"$defs": {"Address": ADDRESS, "Name": {**TEXT, "minLength": 1}},
                "input": _object({"to": {"$ref": "#/$defs/Address"}, "from": {"$ref": "#/schemas/$defs/Address"},
                                  "name": {"$ref": "#/$defs/Name"}}, "to"),
                "output": {"$ref": "#/$defs/Address"}},
               [{"to": {"street": "a", "zip": "12345"}, "from": {"street": "b"}, "name": "Ada"}]),
    "own_defs": ({"input": {"$ref": "#/$defs/Order", "$defs": {"Order": _object({"to": {"$ref": "#/$defs/Address"}}),
                                                              "Address": ADDRESS}},
                  "output": {"$defs": {"Address": ADDRESS}, "type": "array", "items": {"$ref": "#/$defs/Address"}}},
                 [{"to": {"street": "a"}}, {}]),
    "same_names": ({"input": {"$defs": {"Item": _object({"a": TEXT}, "a")}, **_object({"x": {"$ref": "#/$defs/Item"}})},
                    "output": {"$defs": {"Item": _object({"b": NUMBER}, "b")}, **_object({"x": {"$ref": "#/$defs/Item"}})}},
                   [{"x": {"a": "1"}}]),
    "recursive": ({"$defs": {"Tree": TREE, "Json": {"anyOf": [TEXT, NUMBER, {"type": "array", "items": {"$ref": "#/$defs/Json"}}]}},
                   "input": {"$ref": "#/$defs/Tree"}, "output": {"$ref": "#/$defs/Json"}},
                  [{"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}]),
    "unions": ({"$defs": {"Address": ADDRESS},
                "input": _object({"u": {"anyOf": [TEXT, NUMBER, {"$ref": "#/$defs/Address"}, {"type": "null"}]},
                                  "o": {"oneOf": [_object({"kind": {"const": "a"}, "a": NUMBER}, "kind"),
                                                  _object({"kind": {"const": "b"}, "b": TEXT}, "kind")]},
                                  "t": {"type": ["string", "integer", "array"]}}, "u"),
                "output": {"anyOf": [{"$ref": "#/$defs/Address"}, TEXT, {"type": "null"}]}},
               [{"u": 1}, {"u": {"street": "a"}, "o": {"kind": "b", "b": "x"}, "t": [1]}, {"u": None, "t": "x"}]),
    "nullable": ({"$defs": {"Address": ADDRESS, "Nothing": {"type": "null"}, "Maybe": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}]}},
                  "input": _object({"any": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}]},
                                    "one": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/Address"}], "default": None},
                                    "const": {"anyOf": [{"$ref": "#/$defs/Address"}, {"const": None}]},
                                    "text": {"anyOf": [TEXT, {"enum": [None]}]},
                                    "ref": {"anyOf": [{"$ref": "#/$defs/Address"}, {"$ref": "#/$defs/Nothing"}]},
                                    "twice": {"anyOf": [{"$ref": "#/$defs/Maybe"}, {"$ref": "#/$defs/Maybe"}, TEXT]},
                                    "alone": {"allOf": [{"$ref": "#/$defs/Address"}], "description": "Alone."},
                                    "both": {"anyOf": [{"allOf": [{"$ref": "#/$defs/Address"}]}, {"type": "null"}]},
                                    "list": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}]}},
                                    "null": {"anyOf": [{"type": "null"}]}}, "any"),
                  "output": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}]}},
                 [{"any": None}, {"any": {"street": "a"}, "one": {"street": "b"}, "text": "x", "list": [None, {"street": "c"}]},
                  {"any": None, "const": None, "text": None, "ref": None, "twice": "t", "alone": {"street": "d"}, "null": None}]),
    "wrong_defaults": ({"$defs": {"Address": ADDRESS},
                        "input": _object({"n": {**NUMBER, "default": "five"}, "to": {"$ref": "#/$defs/Address", "default": {"zip": "1"}},
                                          "color": {"enum": ["red", "green"], "default": "blue"}, "yes": {"type": "boolean", "default": 1},
                                          "maybe": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}], "default": 5},
                                          "list": {"type": "array", "items": NUMBER, "default": ["a"]},
                                          "right": {"anyOf": [NUMBER, TEXT], "default": "x"}})},
                       [{"right": 2}, {"n": 1, "yes": True, "right": 1, "color": "red"}]),
    "equal": ({"input": _object({"x": NUMBER}, "x"), "output": _object({"x": NUMBER}, "x")}, [{"x": 1}]),
    "fan_out": ({"$defs": {**{f"A{n}": {"anyOf": [{"type": "array", "items": {"$ref": f"#/$defs/A{n + 1}"}},
                                                  {"type": "object", "additionalProperties": {"$ref": f"#/$defs/A{n + 1}"}}]}
                              for n in range(40)}, "A40": TEXT,
                           **{f"B{n}": {"allOf": [{"$ref": f"#/$defs/B{n + 1}"}] * 2 + [_object({f"b{n}": TEXT})]} for n in range(40)},
                           "B40": _object({"b": TEXT}, "b")},
                 "input": _object({"a": {"$ref": "#/$defs/A0"}, "b": {"$ref": "#/$defs/B0"}})},
                [{"a": []}, {"a": [[{"x": []}], []], "b": {"b": "x", "b7": "y"}}]),
    "merged": ({"$defs": {"Base": _object({"id": NUMBER}, "id"), "Named": {"allOf": [{"$ref": "#/$defs/Base"}, _object({"name": TEXT})]}},
                "input": {"allOf": [{"$ref": "#/$defs/Named"}, _object({"extra": TEXT}, "extra")], "description": "All."}},
               [{"id": 1, "extra": "x"}, {"id": 1, "extra": "x", "name": "n"}]),
    "nested": ({"input": _object({"a": _object({"b": _object({"c": {"type": "array", "items": _object({"d": TEXT})}})}),
                                  "b": _object({"c": TEXT})})},
               [{"a": {"b": {"c": [{"d": "x"}, {}]}}, "b": {"c": "y"}}, {"a": {}}]),
    "maps": ({"input": _object({"m": {"type": "object", "additionalProperties": NUMBER}, "any": {}, "yes": True,
                                "o": {"type": "object"}, "mm": {"type": "object", "additionalProperties": _object({"x": TEXT})},
                                "closed": _object({"x": TEXT}, additionalProperties=False)})},
             [{"m": {"a": 1}, "any": [1, {"x": None}], "yes": "x", "o": {"a": {}}, "mm": {"k": {"x": "1"}}},
              {"closed": {"x": "1"}, "unknown": {"kept": [1]}}]),
    "arrays": ({"input": {"type": "array", "items": _object({"n": NUMBER}, "n")},
                "output": _object({"pair": {"type": "array", "prefixItems": [TEXT, NUMBER], "minItems": 2, "maxItems": 2},
                                   "loose": {"type": "array"}, "set": {"type": "array", "items": TEXT, "uniqueItems": True}})},
               [[{"n": 1}, {"n": 2}], []]),
    "scalars": ({"input": {"type": "string", "minLength": 1}, "output": {"type": "integer", "minimum": 0}}, ["x"]),
    "formats": ({"input": _object({"at": {**TEXT, "format": "date-time"}, "id": {**TEXT, "format": "uuid"},
                                   "mail": {**TEXT, "format": "email"}, "url": {**TEXT, "format": "uri"},
                                   "date": {**TEXT, "format": "date"}, "secret": {**TEXT, "format": "password"},
                                   "bytes": {**TEXT, "format": "byte"}, "i": {**NUMBER, "format": "int32"}})},
                [{"at": "2026-01-02T03:04:05Z", "id": "01900000-0000-7000-8000-000000000001", "mail": "no mail",
                  "url": "http://a", "date": "2026-01-02", "secret": "s", "bytes": "b", "i": 1}]),
    "limits": ({"input": _object({"n": {**NUMBER, "minimum": 1, "exclusiveMaximum": 9, "minLength": 3},
                                  "s": {**TEXT, "pattern": r"^(a|b)\1(?!c)\Z", "maxLength": 5, "minimum": 2},
                                  "bad": {**TEXT, "pattern": r"\p{L}("}, "l": {"type": "array", "minItems": 1, "items": NUMBER},
                                  "when": {"if": {"type": "string"}, "then": {"minLength": 1}}, "not": {"not": TEXT}})},
               [{"n": 8, "s": "aa", "bad": "x", "l": [1], "when": 5, "not": 6}]),
    "variables": ({"variables": _object({"api-key": {**TEXT, "is_secret": True, "env_var": "KEY"}, "n": NUMBER}, "api-key")},
                  [None, {"any": [1]}]),
    "Flow Result": ({"$defs": {"Result": _object({"title": {**TEXT, "title": "A title"}}, title="Client of \"it\" \\ here"),
                               "": _object({"x": TEXT})},
                     "input": {"$ref": "#/$defs/Result"}, "output": {"$ref": "#/$defs/"}},
                    [{"title": "x"}]),
    "hostile \"\"\" \n\\": ({"input": _object({"a": {**TEXT, "description": _HOSTILE, "title": _HOSTILE, "default": _HOSTILE},
                                             "b": {"enum": [_HOSTILE, "\\"]}, _HOSTILE: _object({"x": TEXT}), "c\n\"'\\": TEXT},
                                            description=_HOSTILE, title=_HOSTILE)},
                                [{"a": "x", "b": _HOSTILE, _HOSTILE: {"x": "y"}, "c\n\"'\\": "z"}]),
    "nothing": ({}, [1, None, {"a": [1]}]),
}  # fmt: skip
"""The schemas of flows by their names, with values of their inputs."""


def flow_of(name: str) -> dict[str, Any]:
    """Return a flow with these schemas whose output is its input."""
    schemas = dict(FLOWS[name][0])
    shared = {"$defs": schemas.pop("$defs")} if "$defs" in schemas else {}
    return {"name": name, "schemas": {**shared, "properties": schemas}, "steps": [], "output": {"$input": "$"}}
