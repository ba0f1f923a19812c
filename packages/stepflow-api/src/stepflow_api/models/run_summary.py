# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.run_status import RunStatus
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.item_counts import ItemCounts


T = TypeVar("T", bound="RunSummary")


@_attrs_define
class RunSummary:
    """The state of a run."""

    run_id: str
    """ The run's id, a UUID. """
    flow_id: str
    """ The id of the flow it executes. """
    status: RunStatus
    """ The state of a run, item or step - 1 running, 2 completed, 3 failed, 4 cancelled, 5 paused, 6 could not be
    recovered after a crash of the server. """
    items: ItemCounts
    """ How many items of a run are in which state. The counts move only when the run ends. """
    created_at: str
    """ When the run was created, RFC 3339 in UTC with up to nine fractional digits. """
    root_run_id: str
    """ The run at the top of the tree of sub-runs; the run itself if nothing started it. """
    created_at_seqno: int
    """ The sequence number of the event that created the run. """
    flow_name: str | Unset = UNSET
    """ The flow's name. Absent if it has none. """
    completed_at: str | Unset = UNSET
    """ When the run ended or was cancelled, in the same form. Absent while it runs. """
    parent_run_id: str | Unset = UNSET
    """ The run that started this one. Absent for runs that clients started. """
    orchestrator_id: str | Unset = UNSET
    """ The server process that executes the run. Absent in the answer that creates the run. """
    finished_at_seqno: int | Unset = UNSET
    """ The sequence number of the event that ended the run. Absent while it runs and in the answer that creates the
    run. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        run_id = self.run_id

        flow_id = self.flow_id

        status = self.status.value

        items = self.items.to_dict()

        created_at = self.created_at

        root_run_id = self.root_run_id

        created_at_seqno = self.created_at_seqno

        flow_name = self.flow_name

        completed_at = self.completed_at

        parent_run_id = self.parent_run_id

        orchestrator_id = self.orchestrator_id

        finished_at_seqno = self.finished_at_seqno

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "runId": run_id,
                "flowId": flow_id,
                "status": status,
                "items": items,
                "createdAt": created_at,
                "rootRunId": root_run_id,
                "createdAtSeqno": created_at_seqno,
            }
        )
        if flow_name is not UNSET:
            field_dict["flowName"] = flow_name
        if completed_at is not UNSET:
            field_dict["completedAt"] = completed_at
        if parent_run_id is not UNSET:
            field_dict["parentRunId"] = parent_run_id
        if orchestrator_id is not UNSET:
            field_dict["orchestratorId"] = orchestrator_id
        if finished_at_seqno is not UNSET:
            field_dict["finishedAtSeqno"] = finished_at_seqno

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.item_counts import ItemCounts  # noqa: PLC0415

        d = dict(src_dict)
        run_id = d.pop("runId")

        flow_id = d.pop("flowId")

        status = RunStatus(d.pop("status"))

        items = ItemCounts.from_dict(d.pop("items"))

        created_at = d.pop("createdAt")

        root_run_id = d.pop("rootRunId")

        created_at_seqno = d.pop("createdAtSeqno")

        flow_name = d.pop("flowName", UNSET)

        completed_at = d.pop("completedAt", UNSET)

        parent_run_id = d.pop("parentRunId", UNSET)

        orchestrator_id = d.pop("orchestratorId", UNSET)

        finished_at_seqno = d.pop("finishedAtSeqno", UNSET)

        run_summary = cls(
            run_id=run_id,
            flow_id=flow_id,
            status=status,
            items=items,
            created_at=created_at,
            root_run_id=root_run_id,
            created_at_seqno=created_at_seqno,
            flow_name=flow_name,
            completed_at=completed_at,
            parent_run_id=parent_run_id,
            orchestrator_id=orchestrator_id,
            finished_at_seqno=finished_at_seqno,
        )

        run_summary.additional_properties = d
        return run_summary

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
