# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.run_event_body import RunEventBody


T = TypeVar("T", bound="RunEvent")


@_attrs_define
class RunEvent:
    """Something that happened in a run."""

    sequence_number: int
    """ Rises along the stream. Several events may share a number, and filters leave gaps. """
    timestamp: str
    """ When it happened, RFC 3339 in UTC with up to nine fractional digits. """
    event: RunEventBody
    """ What happened - an object with exactly one property, whose name is the kind of event. Later servers may send
    other names; ignore what you do not know. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        sequence_number = self.sequence_number

        timestamp = self.timestamp

        event = self.event.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "sequenceNumber": sequence_number,
                "timestamp": timestamp,
                "event": event,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.run_event_body import RunEventBody  # noqa: PLC0415

        d = dict(src_dict)
        sequence_number = d.pop("sequenceNumber")

        timestamp = d.pop("timestamp")

        event = RunEventBody.from_dict(d.pop("event"))

        run_event = cls(
            sequence_number=sequence_number,
            timestamp=timestamp,
            event=event,
        )

        run_event.additional_properties = d
        return run_event

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
