"""What the models have in common that `stepflow codegen` writes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

__all__ = ["FlowModel"]


class FlowModel(BaseModel):
    """A part of a flow's input, output or variables.

    Fields are given by their names in Python; what has another name in JSON has that as its alias. Optional fields that
    were not given and have no default are left out of what is sent, since null may not fit their schema. Fields that
    the schema does not know are kept, unless it forbids them.
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
