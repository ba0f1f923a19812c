"""The components available to a flow, with their input and output schemas.

The schemas for builtin components apply to all supported server releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._data.arguments import argument_error

if TYPE_CHECKING:
    from .type_system import Type

_ANY: dict[str, Any] = {}
_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_NUMBER_OR_NULL: dict[str, Any] = {"type": ["number", "null"]}
_LIST: dict[str, Any] = {"type": "array"}
_OBJECT: dict[str, Any] = {"type": "object"}
_INT: dict[str, Any] = {"type": "integer"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_COUNT_OR_NULL: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0}
_COUNT_32_BIT: dict[str, Any] = {**_COUNT, "maximum": 2**32 - 1}


def _object_schema(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


_MESSAGE = _object_schema("role content", role=_TEXT, content=_TEXT)
_FILE = _object_schema("resolved_path size_bytes format", resolved_path=_TEXT, size_bytes=_INT, format=_TEXT)

BUILTINS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "/builtin/create_messages": (
        _object_schema("user_prompt", user_prompt=_TEXT, system_instructions=_TEXT_OR_NULL),
        _object_schema("messages", messages={"type": "array", "items": _MESSAGE}),
    ),
    "/builtin/put_blob": (
        _object_schema("data blob_type", data=_ANY, blob_type={"enum": ["data", "flow", "binary"]}),
        _object_schema("blob_id", blob_id=_TEXT),
    ),
    "/builtin/get_blob": (_object_schema("blob_id", blob_id=_TEXT), _object_schema("data", data=_ANY)),
    "/builtin/load_file": (
        _object_schema("path", path=_TEXT, format={"enum": ["json", "yaml", "text", None]}),
        _object_schema("data metadata", data=_ANY, metadata=_FILE),
    ),
    "/builtin/map": (
        _object_schema("workflow items", workflow=_OBJECT, items=_LIST, max_concurrency=_COUNT_OR_NULL),
        _object_schema("results successful failed", results=_LIST, successful=_INT, failed=_INT),
    ),
    "/builtin/iterate": (
        _object_schema("flow initial_input", flow=_OBJECT, initial_input=_ANY, max_iterations=_COUNT_32_BIT),
        _object_schema("result iterations terminated", result=_ANY, iterations=_INT, terminated={"type": "boolean"}),
    ),
    "/builtin/eval": (
        _object_schema("flow_id input", flow_id=_TEXT, input=_ANY),
        _object_schema("result run_id", result=_ANY, run_id=_TEXT),
    ),
    "/builtin/openai": (
        _object_schema(
            "messages", messages=_LIST, max_tokens=_COUNT_OR_NULL, temperature=_NUMBER_OR_NULL, api_key=_TEXT_OR_NULL
        ),
        _object_schema("response", response=_ANY),
    ),
    "/builtin/noop": (_ANY, _ANY),
    "/builtin/sleep": (_object_schema("duration_ms", duration_ms=_COUNT, passthrough=_ANY), _ANY),
}
"""Input and output schemas by component path. Some components require a recent release."""


class Components(dict[str, tuple[Any, Any]]):
    """Input and output schemas by component path. An unknown schema is `{}` or None.

    If the server doesn't report route prefixes, components are keyed by the part of the path after the prefix.
    """

    is_complete = True
    """False if some plugins couldn't be queried, so there may be more components."""

    def __init__(self, components: Mapping[str, tuple[Any, Any]] | None = None) -> None:
        super().__init__(components or {})
        self.plugins: dict[str, str] = {}
        """Plugin names by component name, for components without a path. Set only if the server reports them."""
        self.descriptions: dict[str, str] = {}
        """Component descriptions by name, if the server reports them."""
        self.denied: set[str] = set()
        """Names of components that the server has but doesn't expose through any known route."""

    def find_listed_name(self, component: str) -> str | None:
        """Return the name under which a component is listed, or None if it doesn't exist.

        If the server doesn't report routes, any prefix of the path could be the route prefix, so the name may belong to
        a different component.
        """
        others = [] if component.startswith("/builtin/") else _list_possible_unprefixed_names(component)
        return next((name for name in (component, *others) if name in self), None)

    def find_schemas(self, component: str) -> tuple[Any, Any] | None:
        """Return the input and output schemas of the component at a path, or None if it doesn't exist.

        If the server doesn't report routes, a component with the right name might still be a different one. Its schemas
        are then used only if the path starts with its plugin's name, and are otherwise treated as unknown.
        """
        name = self.find_listed_name(component)
        if name is None or name == component:
            return None if name is None else self[name]
        return self[name] if self.plugins.get(name) == component.strip("/").split("/")[0] else ({}, {})


def _list_possible_unprefixed_names(component: str) -> list[str]:
    """Return the names that a component might have without its route prefix, one for each possible prefix."""
    parts = component.strip("/").split("/")
    return ["/".join(parts[index:]) for index in range(1, len(parts))]


def convert_to_components(components: Any) -> Components | None:
    """Convert components (`ComponentInfo` or the equivalent JSON) to the form that the checks use, or return None if
    given None.

    A component without a `path` (not all servers report route prefixes) is listed by name, with no leading slash. If
    some plugins couldn't be queried, the result is marked as incomplete.
    """
    if components is None:
        return None
    parsed = Components()
    parsed.is_complete = not getattr(components, "failed_plugins", None)
    try:
        records = [component if isinstance(component, Mapping) else component.to_dict() for component in components]
    except (TypeError, AttributeError):
        raise argument_error("components", "a list of components, as list_components returns it", components) from None
    # If any of a plugin's components has a path, its components without a path are denied.
    routed = {record.get("plugin") for record in records if record.get("path")}
    for record in records:
        name = record.get("path") or str(record.get("name")).strip("/")
        schemas = (record.get("input_schema") or {}, record.get("output_schema") or {})
        if not record.get("path") and record.get("plugin") in routed:
            parsed.denied.add(name)
        elif name in parsed:
            # Two plugins have a component with this name, so ignore the schemas of both.
            parsed[name] = ({}, {})
            parsed.plugins.pop(name, None)
            parsed.descriptions.pop(name, None)
        else:
            parsed[name] = schemas
            if isinstance(plugin := record.get("plugin"), str):
                parsed.plugins[name] = plugin
            if isinstance(description := record.get("description"), str):
                parsed.descriptions[name] = description
    return parsed


def add_builtin_components(components: Components | None, release: tuple[int, int] | None = None) -> Components:
    """Add the builtin components available in the server's release."""
    if components is None:
        # These were added in 0.13.
        left_out = ("/builtin/noop", "/builtin/sleep") if release is not None and release < (0, 13) else ()
        return Components({name: schemas for name, schemas in BUILTINS.items() if name not in left_out})
    listed = {name.rpartition("/")[2] for name in components if not name.startswith("/") or name in BUILTINS}
    may_be_unlisted = not components.is_complete or "put_blob" not in listed
    own = {path: pair for path, pair in BUILTINS.items() if may_be_unlisted or path.rpartition("/")[2] in listed}
    # Prefer our own schemas, which are more detailed than what servers report.
    known = Components(components | own)
    known.plugins, known.denied, known.descriptions = components.plugins, components.denied, components.descriptions
    return known


class ComponentCatalog:
    """The components available to a flow, along with their types. Each schema is parsed only once.

    Without a component list from a server, it contains only builtin components (those of all releases if no release is
    set).
    """

    def __init__(
        self,
        components: Components | None,
        release: tuple[int, int] | None = None,
        fallback_schemas: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        """`fallback_schemas` are used for components whose schemas would otherwise be unknown."""
        self._stubs = fallback_schemas or {}
        self.known = add_builtin_components(components, release)
        self.listed: Components = components or Components()
        self.is_complete = components is not None and components.is_complete
        """Whether a component that isn't listed definitely doesn't exist."""
        self._types: dict[str, tuple[Type, Type] | None] = {}

    def is_denied_by_routes(self, component: str) -> bool:
        """Return whether the server has a component that its routes don't expose."""
        names = _list_possible_unprefixed_names(component)
        return component not in self.listed and not self.known.denied.isdisjoint(names)

    def find_input_and_output_types(self, component: str) -> tuple[Type, Type] | None:
        """Return a component's input and output types, or None if it is unknown."""
        if component not in self._types:
            from .type_system import schema_to_type

            pair = self.known.find_schemas(component)
            if pair in (None, ({}, {})):
                pair = self._stubs.get(component, pair)
            self._types[component] = pair and (schema_to_type(pair[0]), schema_to_type(pair[1], is_source=True))
        return self._types[component]
