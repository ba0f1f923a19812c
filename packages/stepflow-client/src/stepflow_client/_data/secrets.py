"""Finds secret values and hides them in exceptions, result errors and reprs.

This is the only module that decides what's secret, namely the values and defaults of any variables that a flow declares
with `is_secret: true`. Outputs are treated as data, so nothing in them is hidden.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from .._base.error_classes import StepflowClientError
from . import flow_declarations as declarations

HIDDEN = "***"
HIDDEN_IN_URL = f"://{HIDDEN}@"
"""Replaces the user and password in URLs."""
# Strings shorter than this are only hidden as whole words, because they also occur inside unrelated words.
_MIN_SUBSTRING_LENGTH = 4
# Maximum length of a partial secret to look for at the end of a truncated message (messages are cut at half this
# length).
_MAX_CUT_LENGTH = 1_000
# JSON Schema keys that contain values rather than schemas.
_VALUE_KEYS = ("default", "const", "enum", "examples", "example")


class Secrets:
    """Values that must not be shown.

    Args:
        values: The secret JSON values. Everything in a list or object is secret, except for object keys.
        include_short: Whether to also hide booleans and values shorter than four characters. Pass False where hiding
            every `1` or `true` would make the result unreadable.
    """

    def __init__(self, values: Iterable[Any] = (), *, include_short: bool = True) -> None:
        scalars = [scalar for value in values for scalar in _iter_scalars(value)]
        texts = {form for scalar in scalars if isinstance(scalar, str) for form in _list_text_forms(scalar)}
        whole = {text for text in texts if len(text) < _MIN_SUBSTRING_LENGTH and include_short}
        others = [scalar for scalar in scalars if not isinstance(scalar, str)]
        if not include_short:
            others = [each for each in others if not isinstance(each, bool) and len(str(each)) >= _MIN_SUBSTRING_LENGTH]
        self._values = others
        whole |= {form for other in others for form in (json.dumps(other), str(other))}
        self._texts = sorted((text for text in texts if len(text) >= _MIN_SUBSTRING_LENGTH), key=len, reverse=True)
        patterns = [re.escape(text) for text in self._texts]
        words_first = sorted(whole, key=len, reverse=True)
        patterns += [rf"(?<![^\W_]){re.escape(word)}(?![^\W_])" for word in words_first]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def __repr__(self) -> str:
        return f"<Secrets: {HIDDEN}>" if self else "<Secrets: none>"

    def hide_in_text(self, text: str) -> str:
        """Replace every secret in a string with `***`."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(HIDDEN, text)
        if text.endswith("…"):
            # The message was truncated, so it might end with the beginning of a secret.
            for secret in self._texts:
                for length in range(min(len(secret), len(text), _MAX_CUT_LENGTH) - 1, _MIN_SUBSTRING_LENGTH - 1, -1):
                    if text.endswith(f"{secret[:length]}…"):
                        return f"{text[: -length - 1]}{HIDDEN}…"
        return text

    def hide_in(self, value: Any) -> Any:
        """Replace every secret in a JSON value's strings, keys, numbers and booleans with `***`."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.hide_in_text(value)
        if isinstance(value, Mapping):
            return {self.hide_in(key): self.hide_in(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.hide_in(part) for part in value]
        # 1 == True, but it's possible that only one of them is secret, so compare the types as well.
        is_bool = isinstance(value, bool)
        is_secret = any(value == secret and is_bool == isinstance(secret, bool) for secret in self._values)
        return HIDDEN if is_secret else value

    def hide_in_error(self, error: StepflowClientError) -> None:
        """Hide secrets in every part of an error."""
        if self._pattern is None:
            return
        error.message = self.hide_in_text(error.message)
        error.hint = None if error.hint is None else self.hide_in_text(error.hint)
        error.args = tuple(self.hide_in_text(arg) if isinstance(arg, str) else arg for arg in error.args)
        error.details = self.hide_in(error.details)


NO_SECRETS = Secrets()


def has_hidden_part(value: Any, mark: str = HIDDEN) -> bool:
    """Return whether secrets have been hidden in a JSON value, i.e. whether it contains the mark."""
    if isinstance(value, str):
        return mark in value
    if isinstance(value, Mapping):
        return any(has_hidden_part(part, mark) for pair in value.items() for part in pair)
    return isinstance(value, (list, tuple)) and any(has_hidden_part(part, mark) for part in value)


def get_hidden_mark(flow: Mapping[str, Any] | None) -> str:
    """Return the mark that replaces secrets in recorded runs of a flow. Pass None if the flow is unknown.

    If the flow has no secret variables, a `***` is just data, so only URLs can have hidden parts.
    """
    has_secrets = flow is None or any(map(declarations.has_secret_part, get_variable_schemas(flow).values()))
    return HIDDEN if has_secrets else HIDDEN_IN_URL


def find_variable_secrets(variables: Mapping[str, Any], declared: Mapping[str, Any] | None) -> Secrets:
    """Return the secrets among a run's variables, including the defaults of secret variables.

    Args:
        variables: The variables' values.
        declared: Their declarations in the flow (each a `FlowVariable`). None means that every value of four or more
            characters is secret, except for booleans.
    """
    if declared is None:
        return Secrets(variables.values(), include_short=False) if variables else NO_SECRETS
    parts: list[Any] = []
    for name, variable in declared.items():
        schema = {**variable.value_schema, "is_secret": True} if variable.is_secret else variable.value_schema
        if name in variables:
            parts += _find_secret_parts(variables[name], schema)
        parts += _find_secret_defaults_and_examples(schema)
    return Secrets(parts) if parts else NO_SECRETS


def contains_secret(
    value: Any, variables: Mapping[str, Any], declared: Mapping[str, Any], flow: Mapping[str, Any]
) -> bool:
    """Return whether a JSON value contains a secret variable's value or default.

    Args:
        value: The JSON value.
        variables: The values of a run's variables.
        declared: Their declarations in the flow.
        flow: The flow, or the parts of it that are known.
    """
    known = (find_variable_secrets(variables, declared), find_secret_values_in_flow(flow))
    return any(secrets.hide_in(value) != value for secrets in known)


def hide_flow_secrets(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a flow with the values of its secret variables replaced by `***`.

    This hides their defaults in schemas and expressions, and any other text that repeats one of those defaults.
    """
    declared, secrets = get_variable_schemas(flow), find_secret_values_in_flow(flow)
    if secrets is NO_SECRETS:
        return dict(flow)
    names = {name for name, value in declared.items() if declarations.is_secret(value)}
    hidden: dict[str, Any] = secrets.hide_in(_hide_expression_defaults(flow, names))
    hidden["schemas"]["properties"]["variables"]["properties"] = {
        name: secrets.hide_in(mask_schema(schema) if isinstance(schema, Mapping) else schema)
        for name, schema in declared.items()
    }
    return hidden


def find_secret_values_in_flow(flow: Mapping[str, Any]) -> Secrets:
    """Return the secret values in the flow itself, such as variable defaults, or `NO_SECRETS` if there are none.

    Short values are left out, because hiding every `1` would make the flow unreadable.
    """
    declared = get_variable_schemas(flow)
    shared = declarations.find_referred_schemas(declared, declarations.get_declared_defs(flow, "variables"))
    parts = [part for schema in (*declared.values(), *shared) for part in _find_secret_defaults_and_examples(schema)]
    # Expressions such as `{$variable: key, default: ...}` have defaults of their own.
    names = {name for name, value in declared.items() if declarations.is_secret(value)}
    for expression in declarations.iter_mappings(flow):
        if "default" in expression and _reads_any_variable(expression.get("$variable"), names):
            parts.append(expression["default"])
    return Secrets(parts, include_short=False) if parts else NO_SECRETS


def get_variable_schemas(flow: Any) -> dict[str, Any]:
    """Return a flow's variable schemas, marking those that are only secret because of a schema nested in them."""
    defs = declarations.get_declared_defs(flow, "variables")
    return {
        name: {**value, "is_secret": True} if declarations.is_secret(value, defs) else value
        for name, value in declarations.get_fields(declarations.get_declared_schema(flow, "variables"))[0].items()
    }


def _hide_expression_defaults(value: Any, names: set[str]) -> Any:
    """Hide the defaults (of any type) in expressions that read secret variables and return the resulting flow."""
    if isinstance(value, Mapping):
        shown = {key: _hide_expression_defaults(part, names) for key, part in value.items()}
        is_secret = "default" in value and _reads_any_variable(value.get("$variable"), names)
        return {**shown, "default": HIDDEN} if is_secret else shown
    return [_hide_expression_defaults(part, names) for part in value] if isinstance(value, list) else value


def _reads_any_variable(path: Any, names: set[str]) -> bool:
    """Return whether the path in an expression such as `$variable: key` refers to any of these variables."""
    return isinstance(path, str) and not names.isdisjoint(re.split(r"[.\[\]\"'$]+", path))


def mask_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a variable's JSON schema with values in its secret parts replaced by `***`."""
    secret = declarations.is_secret(schema)

    def inner(part: Any) -> Any:
        return mask_schema({**part, "is_secret": True} if secret else part) if isinstance(part, Mapping) else part

    shown: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, Mapping):
            shown[key] = {name: inner(item) for name, item in value.items()}
        elif key in declarations.ALTERNATIVES and isinstance(value, list):
            shown[key] = [inner(part) for part in value]
        elif key in _VALUE_KEYS:
            shown[key] = HIDDEN if secret else Secrets(_find_secret_parts(value, schema)).hide_in(value)
        else:
            shown[key] = value
    return shown


def _find_secret_parts(value: Any, schema: Any) -> Iterator[Any]:
    """Yield the parts of a value that its schema marks as secret. This can be the whole value."""
    if not isinstance(schema, Mapping):
        return
    if declarations.is_secret(schema):
        yield value
    elif isinstance(value, Mapping) and isinstance(schema.get("properties"), Mapping):
        for name, part in schema["properties"].items():
            if name in value:
                yield from _find_secret_parts(value[name], part)
    elif isinstance(value, list):
        for element in value:
            yield from _find_secret_parts(element, schema.get("items"))


def _find_secret_defaults_and_examples(schema: Any) -> Iterator[Any]:
    """Yield the defaults, examples and other values that a schema contains for its secret parts."""
    if not isinstance(schema, Mapping):
        return
    for key in _VALUE_KEYS:
        if key in schema:
            values = schema[key] if key in ("enum", "examples") and isinstance(schema[key], list) else [schema[key]]
            for value in values:
                yield from _find_secret_parts(value, schema)
    forms = [form for key in declarations.ALTERNATIVES if isinstance(schema.get(key), list) for form in schema[key]]
    for part in (*declarations.get_fields(schema)[0].values(), *forms):
        yield from _find_secret_defaults_and_examples(part)


def _iter_scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _iter_scalars(part)
    elif value is not None:
        yield value


def _list_text_forms(text: str) -> set[str]:
    """Return the forms in which a string can appear: unchanged, quoted by a server, in a URL, or on a single line."""
    quoted = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (False, True))
    forms = {text, *quoted, quote(text, safe=""), " ".join(text.split())}
    return {form for form in forms if form.strip()}
