# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.component import Component
    from ..models.failed_plugin import FailedPlugin


T = TypeVar("T", bound="ListComponentsResponse")


@_attrs_define
class ListComponentsResponse:
    """The components of all plugins."""

    components: list[Component]
    """ The components of the plugins that answered. """
    complete: bool
    """ Whether every plugin answered. """
    failed_plugins: list[FailedPlugin]
    """ The plugins that did not answer. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        components = []
        for components_item_data in self.components:
            components_item = components_item_data.to_dict()
            components.append(components_item)

        complete = self.complete

        failed_plugins = []
        for failed_plugins_item_data in self.failed_plugins:
            failed_plugins_item = failed_plugins_item_data.to_dict()
            failed_plugins.append(failed_plugins_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "components": components,
                "complete": complete,
                "failedPlugins": failed_plugins,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.component import Component  # noqa: PLC0415
        from ..models.failed_plugin import FailedPlugin  # noqa: PLC0415

        d = dict(src_dict)
        components = []
        _components = d.pop("components")
        for components_item_data in _components:
            components_item = Component.from_dict(components_item_data)

            components.append(components_item)

        complete = d.pop("complete")

        failed_plugins = []
        _failed_plugins = d.pop("failedPlugins")
        for failed_plugins_item_data in _failed_plugins:
            failed_plugins_item = FailedPlugin.from_dict(failed_plugins_item_data)

            failed_plugins.append(failed_plugins_item)

        list_components_response = cls(
            components=components,
            complete=complete,
            failed_plugins=failed_plugins,
        )

        list_components_response.additional_properties = d
        return list_components_response

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
