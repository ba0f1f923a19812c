# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="BuildInfo")


@_attrs_define
class BuildInfo:
    """What the server was built from. Servers tell no release number; the git version stands for it."""

    git_version: str
    """ The abbreviated commit; dd82fa7 is release 0.13.0. """
    dirty: bool
    """ Whether the sources had changes that were not committed. """
    rustc_version: str
    """ The compiler. """
    profile: str
    """ The build profile, `release` for published servers. """
    features: list[str]
    """ Optional features that were compiled in. """
    target: str
    """ The platform the server was built for. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        git_version = self.git_version

        dirty = self.dirty

        rustc_version = self.rustc_version

        profile = self.profile

        features = self.features

        target = self.target

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "gitVersion": git_version,
                "dirty": dirty,
                "rustcVersion": rustc_version,
                "profile": profile,
                "features": features,
                "target": target,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        git_version = d.pop("gitVersion")

        dirty = d.pop("dirty")

        rustc_version = d.pop("rustcVersion")

        profile = d.pop("profile")

        features = cast(list[str], d.pop("features"))

        target = d.pop("target")

        build_info = cls(
            git_version=git_version,
            dirty=dirty,
            rustc_version=rustc_version,
            profile=profile,
            features=features,
            target=target,
        )

        build_info.additional_properties = d
        return build_info

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
