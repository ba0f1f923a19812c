# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.run_status import RunStatus
from ..types import UNSET, Unset

T = TypeVar("T", bound="StepCompleted")


@_attrs_define
class StepCompleted:
    """A step ended. Why it failed is not told here; read the run's items or steps."""

    run_id: str
    """ The run in which it happened. """
    item_index: int
    """ The item, counted from 0. """
    step_index: int
    """ The step's place in the flow, counted from 0. """
    status: RunStatus
    """ The state of a run, item or step - 1 running, 2 completed, 3 failed, 4 cancelled, 5 paused, 6 could not be
    recovered after a crash of the server. """
    step_id: str | Unset = UNSET
    """ The step's id, looked up in the flow of the followed run. Absent if that flow has no step at this place,
    which happens with the steps of sub-runs. """
    result: Any | Unset = UNSET
    """ The output, any JSON value. Absent unless results were asked for and the step succeeded. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        run_id = self.run_id

        item_index = self.item_index

        step_index = self.step_index

        status = self.status.value

        step_id = self.step_id

        result = self.result

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "runId": run_id,
                "itemIndex": item_index,
                "stepIndex": step_index,
                "status": status,
            }
        )
        if step_id is not UNSET:
            field_dict["stepId"] = step_id
        if result is not UNSET:
            field_dict["result"] = result

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        run_id = d.pop("runId")

        item_index = d.pop("itemIndex")

        step_index = d.pop("stepIndex")

        status = RunStatus(d.pop("status"))

        step_id = d.pop("stepId", UNSET)

        result = d.pop("result", UNSET)

        step_completed = cls(
            run_id=run_id,
            item_index=item_index,
            step_index=step_index,
            status=status,
            step_id=step_id,
            result=result,
        )

        step_completed.additional_properties = d
        return step_completed

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
