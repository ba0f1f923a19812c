"""Write flows in Python, as functions whose component calls become steps.

Example:
    ```python
    from dataclasses import dataclass

    from stepflow_client.authoring import builtin, flow, variable


    @dataclass
    class Person:
        name: str


    @flow
    def greet(given: Person, *, tone: str = variable(default="friendly")) -> str:
        prompt = builtin.create_messages(user_prompt=given.name, system_instructions=tone)
        return prompt.messages[0].content
    ```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import make_lazy_exports

if TYPE_CHECKING:
    from .._data.json_encoding import Name
    from . import on_error
    from ._components_and_loops import Component, Turn, again, component, done, each, iterate
    from ._expression_functions import coalesce, construct, exists, if_unset, item, literal, variable, when
    from ._flow import Flow, FlowValues, flow
    from ._flow_building import ItemResult, Iterated, MapOutput
    from ._places import Place
    from .on_error import OnError

__all__ = [
    "Component", "Flow", "FlowValues", "ItemResult", "Iterated", "MapOutput", "Name", "OnError", "Place", "Turn",
    "again", "coalesce", "component", "construct", "done", "each", "exists", "flow", "if_unset", "item",
    "iterate", "literal", "on_error", "variable", "when",
]  # fmt: skip

__getattr__, __dir__ = make_lazy_exports(
    __name__,
    {
        "._data.json_encoding": ["Name"],
        "_expression_functions": ["coalesce", "construct", "exists", "if_unset", "item", "literal", "when", "variable"],
        "_components_and_loops": ["Component", "component", "Turn", "again", "done", "each", "iterate"],
        "_flow": ["Flow", "FlowValues", "flow"],
        "_flow_building": ["ItemResult", "Iterated", "MapOutput"],
        "_places": ["Place"],
        "on_error": ["OnError"],
    },
)
