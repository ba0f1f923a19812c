# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SubRunCreated")


@_attrs_define
class SubRunCreated:
    """A step started a run of another flow. Sent only if sub-runs were asked for."""

    run_id: str
    """ The new run. """
    parent_run_id: str
    """ The run whose step started it. """
    flow_id: str
    """ The flow that the run executes. """
    item_count: int
    """ How many items the run has. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        run_id = self.run_id

        parent_run_id = self.parent_run_id

        flow_id = self.flow_id

        item_count = self.item_count

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "runId": run_id,
                "parentRunId": parent_run_id,
                "flowId": flow_id,
                "itemCount": item_count,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        run_id = d.pop("runId")

        parent_run_id = d.pop("parentRunId")

        flow_id = d.pop("flowId")

        item_count = d.pop("itemCount")

        sub_run_created = cls(
            run_id=run_id,
            parent_run_id=parent_run_id,
            flow_id=flow_id,
            item_count=item_count,
        )

        sub_run_created.additional_properties = d
        return sub_run_created

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
