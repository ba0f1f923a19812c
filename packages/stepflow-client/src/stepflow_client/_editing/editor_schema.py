"""JSON Schemas (draft 2020-12) that help editors check and complete flow files and server configurations.

They're based on the files in `schemas`, with the available components added to the flow schema. Apart from `$defs`,
they only use keywords that draft 7 editors understand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

from .._data.arguments import argument_error
from ..flows.components import Components, add_builtin_components, convert_to_components
from ..flows.graph import SUBFLOW_INPUTS
from ..flows.json_schema import parse_ref_name
from ..flows.type_system import is_valid_keyword

Schema = dict[str, Any]
_EXPRESSION_REF: Schema = {"$ref": "#/$defs/expression"}
_SUBFLOW_REF: Schema = {"$ref": "#/$defs/subflow"}
# Keywords that apply to a value whether or not parts of it are expressions.
_KEPT_KEYS = (
    "title", "description", "default", "type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "pattern", "format", "required", "minItems", "maxItems", "minProperties",
    "maxProperties", "deprecated",
)  # fmt: skip
_MAX_DEPTH = 40


def schema(kind: Literal["flow", "config"] = "flow", *, components: Any = None) -> dict[str, Any]:
    """Return a JSON Schema (draft 2020-12) for flow files or server configurations, for use in editors and CI.

    It rejects keys that servers silently ignore, so that editors can highlight them.

    Example:
        json.dump(schema(components=client.list_components()), open("flow.schema.json", "w"))

    Args:
        kind: `flow`, or `config` (which allows the plugins of all supported releases). Defaults to `flow`.
        components: The components available to flows, either as returned by `list_components` or as JSON objects. They
            let editors complete names and check inputs. By default, only the builtin components are included.

    Raises:
        InvalidArgumentError: If `kind` is neither `flow` nor `config`.
    """
    if kind not in ("flow", "config"):
        raise argument_error("kind", "'flow' or 'config'", kind)
    file = files("stepflow_client._editing") / "schemas" / f"{kind}.json"
    loaded: dict[str, Any] = json.loads(file.read_text("utf-8"))
    if kind == "flow":
        _add_component_schemas(loaded["$defs"], convert_to_components(components))
    return loaded


def _add_component_schemas(definitions: Schema, components: Components | None) -> None:
    """Add the schemas of the known components, which are just the builtin ones if `components` is None."""
    known = add_builtin_components(components)
    paths = sorted(name for name in known if name.startswith("/"))
    names = sorted(_escape_regex(name) for name in known if not name.startswith("/"))
    allowed: list[Schema] = [{"enum": paths}]
    if components is None or not components.is_complete:
        # There might be other components, so allow any path that isn't builtin.
        allowed.append({"pattern": "^/(?!builtin/)"})
    elif names:
        # Servers don't report the prefix a plugin is mounted under, so allow any prefix.
        allowed.append({"pattern": f"^/(?!builtin/)([^/]+/)+({'|'.join(names)})$"})
    description = "The component's path. To list components, run 'stepflow components list'."
    definitions["component"] = {"description": description, "type": "string", "pattern": "^/", "anyOf": allowed}
    rules: list[Schema] = []
    """One rule per component: the schema of a step that uses it."""
    for name in sorted(known):
        given = known[name][0]
        if not isinstance(given, Mapping) or not given:
            continue
        label = re.sub(r"[^A-Za-z0-9_.-]+", "_", name.strip("/")) + f"-{len(rules)}"
        content = _InputSchemaConverter(label, given.get("$defs"), definitions).allow_expressions(given)
        field = SUBFLOW_INPUTS.get(name)
        if field == "data":
            # put_blob only treats its data as a flow if `blob_type` is `flow`.
            content["else"]["if"] = {"properties": {"blob_type": {"const": "flow"}}, "required": ["blob_type"]}
            content["else"]["then"] = {"properties": {field: _SUBFLOW_REF}}
        elif field is not None:
            content["else"]["properties"][field] = _SUBFLOW_REF
        definitions[label] = content
        is_path = name.startswith("/")
        which: Schema = {"const": name} if is_path else {"pattern": f"^/(?!builtin/)([^/]+/)+{_escape_regex(name)}$"}
        step: Schema = {"properties": {"input": {"$ref": f"#/$defs/{label}"}}}
        if isinstance(given.get("required"), list) and given["required"]:
            step["required"] = ["input"]
        rules.append({"if": {"properties": {"component": which}, "required": ["component"]}, "then": step})
    definitions["step"]["allOf"] = rules


class _InputSchemaConverter:
    """Converts a component's input schema so that it accepts an expression in place of any value.

    The component's shared schemas are also converted, and added to `definitions` under names that start with `label`.
    """

    def __init__(self, label: str, defs: Any, definitions: Schema) -> None:
        self.label = label
        self.defs: Mapping[str, Any] = defs if isinstance(defs, Mapping) else {}
        self.definitions = definitions
        self.names: dict[str, str] = {}

    def allow_expressions(self, schema: Any, depth: int = 0) -> Schema:
        """Return a schema that accepts an expression, a value that matches, or a value with expressions inside it."""
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return dict(_EXPRESSION_REF)
        if "$ref" in schema:
            name = parse_ref_name(schema["$ref"])
            if name is None or name not in self.defs:
                # Servers report builtin components without their shared schemas.
                return dict(_EXPRESSION_REF)
            if name not in self.names:
                self.names[name] = f"{self.label}.{len(self.names)}"
                self.definitions[self.names[name]] = self.allow_expressions(self.defs[name], depth + 1)
            return {"$ref": f"#/$defs/{self.names[name]}"}
        plain = self._build_non_expression_schema(schema, depth)
        if not plain:
            return dict(_EXPRESSION_REF)
        help: Schema = {key: plain[key] for key in ("title", "description") if key in plain}
        kinds = str(plain.get("type", ""))
        if ("enum" in plain or kinds) and "object" not in kinds and "array" not in kinds:
            # Use `anyOf`, because editors suggest values from it but not from an `if`.
            return {**help, "anyOf": [plain, {"allOf": [{"$ref": "#/$defs/isExpression"}, _EXPRESSION_REF]}]}
        return {**help, "if": {"$ref": "#/$defs/isExpression"}, "then": _EXPRESSION_REF, "else": plain}

    def _build_non_expression_schema(self, schema: Mapping[str, Any], depth: int) -> Schema:
        plain: Schema = {key: schema[key] for key in _KEPT_KEYS if key in schema and is_valid_keyword(key, schema[key])}
        for key, values in (("enum", schema.get("enum")), ("const", [schema.get("const")])):
            # Drop these keywords if they list objects or lists, which may contain expressions.
            if key in schema and isinstance(values, list) and not any(isinstance(v, (dict, list)) for v in values):
                plain[key] = schema[key]
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            plain["properties"] = {str(name): self.allow_expressions(v, depth + 1) for name, v in properties.items()}
        is_open = "patternProperties" in schema or any(key in schema for key in ("anyOf", "oneOf", "allOf", "if"))
        extra = schema.get("additionalProperties")
        if extra is False and not is_open:
            plain["additionalProperties"] = False
        elif isinstance(extra, Mapping) and not is_open:
            plain["additionalProperties"] = self.allow_expressions(extra, depth + 1)
        elif plain.keys() & {"properties", "required"} or "object" in str(schema.get("type")):
            plain["additionalProperties"] = dict(_EXPRESSION_REF)
        if isinstance(schema.get("items"), Mapping) and "prefixItems" not in schema:
            plain["items"] = self.allow_expressions(schema["items"], depth + 1)
        # Turn `oneOf` into `anyOf`, because an expression matches every branch.
        branches = [parts for key in ("anyOf", "oneOf") if isinstance(parts := schema.get(key), list) and parts]
        plain |= {"anyOf": [self.allow_expressions(branch, depth + 1) for branch in branches[0]]} if branches else {}
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            plain["allOf"] = [self.allow_expressions(part, depth + 1) for part in schema["allOf"]]
        return plain


def _escape_regex(text: str) -> str:
    # Don't use `re.escape`, which escapes characters that ECMAScript doesn't allow you to escape.
    return re.sub(r"[.*+?^${}()|\[\]\\/]", r"\\\g<0>", text)
