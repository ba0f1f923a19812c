"""JSON Schemas (draft 2020-12) of flow files and of server configurations, for editors. Pure.

Apart from `$defs`, they contain only keywords that editors which support draft 7 understand too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ..errors import InvalidArgumentError
from .component_schema import ComponentSchemas, component_rules
from .config_schema import config_schema

if TYPE_CHECKING:
    from .rules.components import Components

__all__ = ["DIALECT", "schema"]

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_KEYWORDS = ("$literal", "$if", "$coalesce", "$step", "$input", "$variable")
_OF_SCHEMAS = ("$schema", "$id", "$ref", "$defs", "$anchor", "$dynamicRef", "$dynamicAnchor", "$comment", "$vocabulary")
_EXPRESSION: Schema = {"$ref": "#/$defs/expression"}
_TEXT: Schema = {"type": ["string", "null"]}
_PATH_HELP = "A path such as $.items[0].name; empty, or $, for the whole value."
_PATH: Schema = {
    "type": ["string", "null"],
    "description": _PATH_HELP,
    # Text that does not begin with $ is the name of one field.
    "pattern": r"""^\s*(\$(\.[^.\[]*|\[\s*(\+?[0-9]+|'[^\]]*'|"[^\]]*")\s*\])*)?$|^\s*[^$\s]""",
}


def schema(kind: Literal["flow", "config"] = "flow", *, components: Any = None) -> Schema:
    """Return a JSON Schema (draft 2020-12) of flow files, or of server configurations, for editors and CI.

    It refuses keys that servers ignore silently, so that editors mark them.

    Example:
        json.dump(schema(components=client.list_components()), open("flow.schema.json", "w"))

    Args:
        kind: `flow`, or `config` (of 0.12 and 0.13; plugins of earlier releases are allowed). Default `flow`.
        components: The components that flows may use, as `list_components` returns them or as JSON objects. Editors can
            then complete their names and check their inputs. None if only the builtin ones are known.

    Raises:
        InvalidArgumentError: If there is no such kind.
    """
    if kind == "config":
        return config_schema(DIALECT)
    if kind != "flow":
        raise InvalidArgumentError(f"there is a schema of a flow and one of a config, not of {kind!r}")
    from .checker import components_of

    return _flow_schema(components_of(components))


def _closed(properties: Schema, *required: str, nullable: bool = False, **more: Any) -> Schema:
    return {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
        **more,
    }


def _flow_schema(components: Components | None) -> Schema:
    known = component_rules(components)
    return {
        "$schema": DIALECT,
        "title": "Stepflow flow",
        "$ref": "#/$defs/flow",
        "$defs": {
            "flow": _flow(),
            "step": _step(known),
            "onError": _on_error(),
            "component": known.names,
            "isExpression": {"type": "object", "anyOf": [{"required": [each]} for each in _KEYWORDS]},
            "expression": _expression(),
            "subflow": _subflow(),
            "jsonSchema": _json_schema(),
            "schemas": _schemas(),
            "test": _test(),
            **known.definitions,
        },
    }


def _flow() -> Schema:
    return _closed(
        {
            "$schema": {"type": "string", "description": "The schema of this file, for editors; servers drop it."},
            "schema": {"type": "string", "description": "The schema of this file, for editors; servers drop it."},
            "name": _TEXT,
            "description": _TEXT,
            "version": {**_TEXT, "description": "Text: put 1.0 in quotes."},
            "schemas": {"$ref": "#/$defs/schemas"},
            "steps": {"type": ["array", "null"], "items": {"$ref": "#/$defs/step"}},
            "output": {
                **_EXPRESSION,
                "description": "What the flow returns. Steps run if the output, or a step that runs, needs them.",
            },
            "test": {"$ref": "#/$defs/test"},
            "examples": {
                "type": ["array", "null"],
                "items": _closed({"name": {"type": "string"}, "description": _TEXT, "input": {}}, "name", "input"),
            },
            "metadata": {"type": ["object", "null"], "description": "Any object; nothing in it is read."},
        },
        description="A Stepflow flow: steps that components do, and an output.",
    )


def _step(known: ComponentSchemas) -> Schema:
    return _closed(
        {
            "id": {"type": "string", "pattern": r"\S", "description": "The step's name, unique in the flow."},
            "component": {"$ref": "#/$defs/component"},
            "input": {**_EXPRESSION, "description": "The component's input; null if absent."},
            "onError": {"$ref": "#/$defs/onError"},
            "mustExecute": {"type": ["boolean", "null"], "description": "Run the step though nothing needs it."},
            "metadata": {"type": ["object", "null"], "description": "Any object; nothing in it is read."},
        },
        "id",
        "component",
        allOf=known.rules,
    )


def _on_error() -> Schema:
    return _closed(
        {
            "action": {
                "enum": ["fail", "useDefault", "retry"],
                "description": "fail: the step fails (the default). useDefault: its output is defaultValue. retry: it "
                "is tried again (0.11 and newer).",
            },
            "defaultValue": {"description": "The output after a failure; plain data, never evaluated."},
            "maxRetries": {"type": ["integer", "null"], "minimum": 0, "maximum": 4294967295, "default": 3},
        },
        "action",
        nullable=True,
        description="What happens if the step fails.",
    )


def _when(keyword: str, matched: Schema, otherwise: Schema) -> Schema:
    return {"if": {"type": "object", "required": [keyword]}, "then": matched, "else": otherwise}


def _expression() -> Schema:
    """Return the schema of a value in which objects with a keyword are expressions. The first keyword decides."""
    forms: dict[str, Schema] = {
        "$literal": _closed({"$literal": {"description": "This value; nothing in it is evaluated."}}),
        "$if": _closed(
            {
                "$if": {**_EXPRESSION, "description": "False are null, false, and a condition that fails."},
                "then": _EXPRESSION,
                "else": {**_EXPRESSION, "description": "null if absent"},
            },
            "then",
        ),
        "$coalesce": _closed(
            {"$coalesce": {"type": "array", "items": _EXPRESSION, "description": "The first that is not null."}}
        ),
        "$step": _closed(
            {"$step": {"type": "string", "description": "The output of the step of this id."}, "path": _PATH}
        ),
        "$input": _closed({"$input": {**_PATH, "description": f"The flow's input. {_PATH_HELP}"}}),
        "$variable": _closed(
            {
                "$variable": {
                    **_PATH,
                    "type": "string",
                    "pattern": r"[^\s$]",
                    "description": "A variable.",
                },
                "default": {**_EXPRESSION, "description": "Used if the variable has no value."},
            }
        ),
    }
    found: Schema = {
        "items": _EXPRESSION,
        # These properties are only for completion: objects that have one of them do not reach this branch.
        "properties": {each: form["properties"][each] for each, form in forms.items()},
        "propertyNames": {
            "anyOf": [{"pattern": r"^(?!\$)"}, {"enum": [*_OF_SCHEMAS, *_KEYWORDS]}],
            "description": "Keys with a $ are keywords of expressions, or of JSON Schema.",
        },
        "additionalProperties": _EXPRESSION,
    }
    for keyword in reversed(_KEYWORDS):
        found = _when(keyword, forms[keyword], found)
    return {"description": "A value. Objects with $step, $input and the like are evaluated.", **found}


def _subflow() -> Schema:
    """Return the schema of a flow inside the input of map or iterate."""
    literal = _closed({"$literal": {"$ref": "#/$defs/flow"}})
    return _when(
        "$literal",
        literal,
        {"if": {"$ref": "#/$defs/isExpression"}, "then": _EXPRESSION, "else": {"$ref": "#/$defs/flow"}},
    )


def _json_schema() -> Schema:
    own: Schema = {"$ref": "#/$defs/jsonSchema"}
    many: Schema = {"type": "object", "additionalProperties": own}
    each: Schema = {"type": "array", "items": own, "minItems": 1}
    names = ["null", "boolean", "integer", "number", "string", "array", "object"]
    return {
        "description": "A JSON Schema.",
        "type": ["object", "boolean"],
        "properties": {
            "type": {"anyOf": [{"enum": names}, {"type": "array", "items": {"enum": names}, "minItems": 1}]},
            "title": {"type": "string"},
            "description": {"type": "string"},
            "default": {},
            "enum": {"type": "array"},
            "const": {},
            "examples": {"type": "array"},
            "properties": many,
            "patternProperties": many,
            "$defs": many,
            "additionalProperties": own,
            "required": {"type": "array", "items": {"type": "string"}},
            "items": own,
            "prefixItems": each,
            "contains": own,
            "anyOf": each,
            "oneOf": each,
            "allOf": each,
            "not": own,
            "if": own,
            "then": own,
            "else": own,
            "minimum": {"type": "number"},
            "maximum": {"type": "number"},
            "minLength": {"type": "integer", "minimum": 0},
            "maxLength": {"type": "integer", "minimum": 0},
            "minItems": {"type": "integer", "minimum": 0},
            "maxItems": {"type": "integer", "minimum": 0},
            "pattern": {"type": "string"},
            "format": {"type": "string"},
            "$ref": {"type": "string", "description": "#/$defs/NAME is one of schemas.$defs."},
        },
    }


def _schemas() -> Schema:
    own: Schema = {"anyOf": [{"$ref": "#/$defs/jsonSchema"}, {"type": "null"}]}
    many: Schema = {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/jsonSchema"}}
    variable: Schema = {
        "allOf": [{"$ref": "#/$defs/jsonSchema"}],
        "properties": {
            "default": {"description": "The value where none is given."},
            "env_var": {"type": "string", "description": "The environment variable that clients fill it from."},
            "is_secret": {"type": "boolean", "description": "Clients hide its value."},
        },
    }
    return _closed(
        {
            "type": {"const": "object"},
            "$defs": many,
            "properties": _closed(
                {
                    "input": {**own, "description": "What the flow takes."},
                    "output": {**own, "description": "What the flow returns."},
                    "variables": {
                        "type": ["object", "boolean", "null"],
                        "description": "The flow's variables.",
                        "properties": {
                            "properties": {"type": "object", "additionalProperties": variable},
                            "required": {"type": "array", "items": {"type": "string"}},
                        },
                    },
                    "steps": {
                        "type": ["object", "null"],
                        "description": "The outputs of steps, by their ids.",
                        "properties": {"type": {}, "properties": many},
                        "required": ["properties"],
                    },
                },
                nullable=True,
            ),
        },
        nullable=True,
        description="JSON Schemas of input, output, variables and outputs of steps. Servers check nothing by them.",
    )


def _test() -> Schema:
    code: Schema = {"type": ["string", "integer"], "description": "COMPONENT_FAILED and the like."}
    error = {"code": code, "message": {"description": "The message, or a matcher."}, "data": {}}
    expected: Schema = {
        "type": ["object", "null"],
        "properties": {"outcome": {"enum": ["success", "failed"]}},
        "required": ["outcome"],
        "if": {"properties": {"outcome": {"const": "success"}}},
        "then": _closed(
            {
                "outcome": {},
                "result": {"description": "The output, in part; with matchers such as {$any: true}, {$regex: ^a}."},
            },
            "result",
            nullable=True,
        ),
        "else": _closed({"outcome": {}, "error": _closed(error)}, "error", nullable=True),
    }
    case = {
        "name": {"type": "string"},
        "description": _TEXT,
        "tags": {"type": ["array", "null"], "items": {"type": "string"}},
        "input": {},
        "output": expected,
    }
    return _closed(
        {
            "configFile": {**_TEXT, "description": "The configuration of the server, from the flow's folder."},
            "config": {"description": "The configuration of the server itself."},
            "stepflow_config": {"description": "Another name of config."},
            "cases": {"type": ["array", "null"], "items": _closed(case, "name", "input")},
        },
        nullable=True,
        description="Test cases, which `stepflow test` runs.",
    )
