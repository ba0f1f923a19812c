"""Typed flows and data models, used by the modules that `stepflow codegen` generates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from .authoring._run_methods import FlowMethods, InputT, OutputT, VariablesT

if TYPE_CHECKING:
    from .flows.reading import FlowSource

__all__ = ["FlowModel", "TypedFlow"]


class FlowModel(BaseModel):
    """Part of a flow's input, output or variables.

    Set fields by their Python names. If a field has a different name in JSON, the JSON name is its alias. Extra fields
    are kept unless the schema forbids them.

    A field that defaults to None is omitted from requests while it's None, unless you set it to None explicitly and its
    schema allows null.
    """

    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=(), validate_default=True)

    @model_serializer(mode="wrap")
    def _serialize_without_unset(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        whole: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if getattr(self, name) is not None or field.is_required() or field.default is not None:
                continue
            if name not in self.model_fields_set or field.json_schema_extra != NULLABLE:
                whole.pop(name if field.alias is None or not info.by_alias else field.alias, None)
        return whole


NULLABLE = {"x-nullable": True}
"""Marks an optional field whose schema allows null."""


@dataclass(frozen=True)
class TypedFlow(FlowMethods[InputT, OutputT, VariablesT], Generic[InputT, OutputT, VariablesT]):
    """A flow with typed input, output and variables.

    `stepflow codegen` generates one per flow. Every method's first argument is a client. With a `StepflowClient` or
    `StepflowRuntime`, await the result; with a `SyncStepflowClient`, don't. The options are the same as those of the
    corresponding client method.

    Example:
        ```python
        order = TypedFlow[OrderInput, OrderOutput, Variables]("order.yaml", output_type=OrderOutput)
        result = await order.run(client, OrderInput(item="tea"), timeout=60)
        print(result.unwrap().price)
        ```

    Args:
        flow: The flow, as for `StepflowClient.run`. To switch flows, use `dataclasses.replace(order, flow=...)`.
        output_type: The output type, as for `StepflowClient.run`, or None for plain JSON.
    """

    flow: FlowSource
    """The flow."""
    output_type: Any = None
    """The output type, or None for plain JSON."""

    def __flow__(self) -> FlowSource:
        return self.flow
