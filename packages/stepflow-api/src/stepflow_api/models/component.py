# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Component")


@_attrs_define
class Component:
    """Something a step can use. A step writes the route's prefix before the path: `/create_messages` of the plugin routed
    as `/builtin` is `/builtin/create_messages`.

    """

    component_id: str
    """ The component's name within its plugin. """
    path: str
    """ The path within the plugin's route; patterns hold `{name}` parts. """
    plugin: str
    """ The name of the plugin in the server's configuration. """
    description: str | Unset = UNSET
    """ What the component does, in its author's words. Absent when the author wrote nothing. """
    input_schema: Any | Unset = UNSET
    """ JSON Schema of the input. Absent when excluded or not given. """
    output_schema: Any | Unset = UNSET
    """ JSON Schema of the output. Absent when excluded or not given. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        component_id = self.component_id

        path = self.path

        plugin = self.plugin

        description = self.description

        input_schema = self.input_schema

        output_schema = self.output_schema

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "componentId": component_id,
                "path": path,
                "plugin": plugin,
            }
        )
        if description is not UNSET:
            field_dict["description"] = description
        if input_schema is not UNSET:
            field_dict["inputSchema"] = input_schema
        if output_schema is not UNSET:
            field_dict["outputSchema"] = output_schema

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        component_id = d.pop("componentId")

        path = d.pop("path")

        plugin = d.pop("plugin")

        description = d.pop("description", UNSET)

        input_schema = d.pop("inputSchema", UNSET)

        output_schema = d.pop("outputSchema", UNSET)

        component = cls(
            component_id=component_id,
            path=path,
            plugin=plugin,
            description=description,
            input_schema=input_schema,
            output_schema=output_schema,
        )

        component.additional_properties = d
        return component

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
