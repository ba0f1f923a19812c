"""The base class of the models that `stepflow codegen` writes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

__all__ = ["FlowModel"]


class FlowModel(BaseModel):
    """A part of a flow's input, output or variables.

    Fields are set by their Python names; a field with a different name in JSON has that name as its alias. Optional
    fields that were not set and have no default are omitted from what is sent, since null may not match their schema.
    Fields that are not in the schema are kept, unless the schema forbids them.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        protected_namespaces=(),
        # Patterns of JSON Schema may look ahead.
        regex_engine="python-re",
        validate_default=True,
    )

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        whole: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if name not in self.model_fields_set and getattr(self, name) is None:
                whole.pop(name if field.alias is None or not info.by_alias else field.alias, None)
        return whole
