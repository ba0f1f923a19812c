"""JSON Schemas (draft 2020-12) of flow files and of server configurations, for editors.

They are the files in `schemas`; to that of flows, the known components are added. Apart from `$defs`, they contain only
keywords that editors which support draft 7 understand too.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Literal

from ..errors import InvalidArgumentError
from .component_schema import component_rules
from .components import components_of

__all__ = ["schema"]


def schema(kind: Literal["flow", "config"] = "flow", *, components: Any = None) -> dict[str, Any]:
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
    if kind not in ("flow", "config"):
        raise InvalidArgumentError(f"there is a schema of a flow and one of a config, not of {kind!r}")
    found: dict[str, Any] = json.loads((files("stepflow_client.flows") / "schemas" / f"{kind}.json").read_text("utf-8"))
    if kind == "flow":
        known = component_rules(components_of(components))
        found["$defs"]["component"] = known.names
        found["$defs"]["step"]["allOf"] = known.rules
        found["$defs"] |= known.definitions
    return found
