# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.flow_variables_response_variables import FlowVariablesResponseVariables


T = TypeVar("T", bound="FlowVariablesResponse")


@_attrs_define
class FlowVariablesResponse:
    """The variables of a flow."""

    flow_id: str
    """ The flow's id. """
    variables: FlowVariablesResponseVariables
    """ The variables by name; empty if the flow declares none. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        flow_id = self.flow_id

        variables = self.variables.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "flowId": flow_id,
                "variables": variables,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.flow_variables_response_variables import FlowVariablesResponseVariables  # noqa: PLC0415

        d = dict(src_dict)
        flow_id = d.pop("flowId")

        variables = FlowVariablesResponseVariables.from_dict(d.pop("variables"))

        flow_variables_response = cls(
            flow_id=flow_id,
            variables=variables,
        )

        flow_variables_response.additional_properties = d
        return flow_variables_response

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
