# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.flow_example import FlowExample


T = TypeVar("T", bound="GetFlowResponse")


@_attrs_define
class GetFlowResponse:
    """A stored flow."""

    flow: Any
    """ The flow, a JSON object, as the server understood it. """
    flow_id: str
    """ The flow's id. """
    all_examples: list[FlowExample]
    """ The inputs the flow shows as examples, then those of its test cases. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        flow = self.flow

        flow_id = self.flow_id

        all_examples = []
        for all_examples_item_data in self.all_examples:
            all_examples_item = all_examples_item_data.to_dict()
            all_examples.append(all_examples_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "flow": flow,
                "flowId": flow_id,
                "allExamples": all_examples,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.flow_example import FlowExample  # noqa: PLC0415

        d = dict(src_dict)
        flow = d.pop("flow")

        flow_id = d.pop("flowId")

        all_examples = []
        _all_examples = d.pop("allExamples")
        for all_examples_item_data in _all_examples:
            all_examples_item = FlowExample.from_dict(all_examples_item_data)

            all_examples.append(all_examples_item)

        get_flow_response = cls(
            flow=flow,
            flow_id=flow_id,
            all_examples=all_examples,
        )

        get_flow_response.additional_properties = d
        return get_flow_response

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
