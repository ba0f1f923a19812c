"""What modules written by `stepflow codegen` consist of: typed flows, and models of their inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from .authoring._methods import FlowMethods, InputT, OutputT, VariablesT

if TYPE_CHECKING:
    from .flows.reading import FlowSource

__all__ = ["FlowModel", "TypedFlow"]


class FlowModel(BaseModel):
    """A part of a flow's input, output or variables.

    Fields are set by their Python names; a field with a different name in JSON has that name as its alias. Fields that
    are not in the schema are kept, unless the schema forbids them.

    A field that is None by default is omitted from what is sent while it is None, unless it was set to None and its
    schema allows null.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        protected_namespaces=(),
        validate_default=True,
    )

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        whole: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if getattr(self, name) is not None or field.is_required() or field.default is not None:
                continue
            if name not in self.model_fields_set or field.json_schema_extra != NULLABLE:
                whole.pop(name if field.alias is None or not info.by_alias else field.alias, None)
        return whole


NULLABLE = {"x-nullable": True}
"""Marks optional fields whose schemas allow null."""


@dataclass(frozen=True)
class TypedFlow(FlowMethods[InputT, OutputT, VariablesT], Generic[InputT, OutputT, VariablesT]):
    """A flow whose input, output and variables have types.

    `stepflow codegen` writes one for each flow. Each method takes a client first: a `StepflowClient` or a
    `StepflowRuntime`, and the result is awaited; or a `SyncStepflowClient`, and it is not. The options are those of the
    client's method.

    Example:
        ```python
        order = TypedFlow[OrderInput, OrderOutput, Variables]("order.yaml", output_type=OrderOutput)
        result = await order.run(client, OrderInput(item="tea"), timeout=60)
        print(result.unwrap().price)
        ```

    Args:
        flow: The flow, as for `StepflowClient.run`. `dataclasses.replace(order, flow=...)` is the same for another one.
        output_type: The type of the output, as for `StepflowClient.run`; None for plain JSON.
    """

    flow: FlowSource
    """The flow."""
    output_type: Any = None
    """The type of the output; None for plain JSON."""

    def __flow__(self) -> FlowSource:
        return self.flow
