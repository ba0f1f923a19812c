# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="StepsNeeded")


@_attrs_define
class StepsNeeded:
    """Which steps an item's output needs; others are not executed."""

    run_id: str
    """ The run in which it happened. """
    item_index: int
    """ The item, counted from 0. """
    step_ids: list[str]
    """ The needed steps by id. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        run_id = self.run_id

        item_index = self.item_index

        step_ids = self.step_ids

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "runId": run_id,
                "itemIndex": item_index,
                "stepIds": step_ids,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        run_id = d.pop("runId")

        item_index = d.pop("itemIndex")

        step_ids = cast(list[str], d.pop("stepIds"))

        steps_needed = cls(
            run_id=run_id,
            item_index=item_index,
            step_ids=step_ids,
        )

        steps_needed.additional_properties = d
        return steps_needed

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
