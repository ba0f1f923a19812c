"""Reads the components of a server, and determines the paths by which flows call them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from ..types import ComponentInfo, ComponentList, FailedPlugin
from ..types.models import decoded


def read_components(answer: dict[str, Any]) -> ComponentList:
    """Read the components of a server."""
    failed = [decoded(FailedPlugin, each) for each in answer.get("failedPlugins") or []]
    listed = [
        ComponentInfo(
            name=str(component.get("path") or component.get("componentId") or component["component"]).strip("/"),
            plugin=component.get("plugin") or None,
            description=component.get("description"),
            input_schema=component.get("inputSchema"),
            output_schema=component.get("outputSchema"),
        )
        for component in answer["components"]
    ]
    return ComponentList(listed, failed)


def add_paths(listed: ComponentList, routes: Mapping[str, Any]) -> ComponentList:
    """Return the components with the path that flows use for each, if the configured routes determine it.

    Args:
        listed: The components.
        routes: The `routes` of the configuration: from a prefix such as `/builtin` or a pattern such as
            `/builtin/{*component}` (before) to its rules, each with its plugin.
    """
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for route, rules in routes.items():
        for rule in rules if isinstance(rules, list) else []:
            if isinstance(rule, Mapping) and isinstance(rule.get("plugin"), str):
                found.setdefault(rule["plugin"], []).append((route.partition("{")[0].rstrip("/"), rule))
    only = next(iter(found.values())) if len(found) == 1 else []

    def placed(component: ComponentInfo) -> ComponentInfo:
        # Older servers do not report the plugin; with a single plugin, the prefix is clear anyway.
        for prefix, rule in only if component.plugin is None else found.get(component.plugin, []):
            name, path = f"/{component.name}", f"{prefix}/{component.name}"
            allowed, denied = rule.get("componentAllow"), rule.get("componentDeny")
            if isinstance(allowed, list) and not any(fnmatchcase(name, str(each)) for each in allowed):
                continue
            if isinstance(denied, list) and any(fnmatchcase(name, str(each)) for each in denied):
                continue
            # A route of its own without rules removes a component.
            if routes.get(path) != []:
                return replace(component, path=path)
        return component

    return ComponentList(map(placed, listed), listed.failed_plugins)
