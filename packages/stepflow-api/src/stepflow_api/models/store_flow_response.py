# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.flow_diagnostics import Diagnostics


T = TypeVar("T", bound="StoreFlowResponse")


@_attrs_define
class StoreFlowResponse:
    """What checking the flow found, and where it is stored."""

    flow_id: str
    """ The id to run the flow by. Present even if nothing was stored, and not the same each time the same flow is
    stored. """
    stored: bool
    """ False for a dry run and for a flow with fatal diagnostics. """
    diagnostics: Diagnostics
    """ What checking a flow found. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        flow_id = self.flow_id

        stored = self.stored

        diagnostics = self.diagnostics.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "flowId": flow_id,
                "stored": stored,
                "diagnostics": diagnostics,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.flow_diagnostics import Diagnostics  # noqa: PLC0415

        d = dict(src_dict)
        flow_id = d.pop("flowId")

        stored = d.pop("stored")

        diagnostics = Diagnostics.from_dict(d.pop("diagnostics"))

        store_flow_response = cls(
            flow_id=flow_id,
            stored=stored,
            diagnostics=diagnostics,
        )

        store_flow_response.additional_properties = d
        return store_flow_response

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
