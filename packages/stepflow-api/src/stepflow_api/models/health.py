# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.build_info import BuildInfo


T = TypeVar("T", bound="Health")


@_attrs_define
class Health:
    """The state of the server."""

    status: str
    """ Always `healthy`; a server that is not does not answer. """
    timestamp: str
    """ The server's clock, RFC 3339 in UTC with up to nine fractional digits. """
    build: BuildInfo
    """ What the server was built from. Servers tell no release number; the git version stands for it. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        timestamp = self.timestamp

        build = self.build.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "timestamp": timestamp,
                "build": build,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.build_info import BuildInfo  # noqa: PLC0415

        d = dict(src_dict)
        status = d.pop("status")

        timestamp = d.pop("timestamp")

        build = BuildInfo.from_dict(d.pop("build"))

        health = cls(
            status=status,
            timestamp=timestamp,
            build=build,
        )

        health.additional_properties = d
        return health

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
