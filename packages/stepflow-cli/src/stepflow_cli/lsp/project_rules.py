"""The rules by which the files of an editor are checked: the options of `stepflow lsp` and each file's project."""

from __future__ import annotations

import logging
from pathlib import Path

from stepflow_client import StepflowClientError
from stepflow_client.flows.project import Project

from ..errors import Problem
from ..inputs.files import get_signature
from ..inputs.flow import find_flow_project
from ..validation.flow_checks import CheckOptions, CheckRules

log = logging.getLogger(__name__)


class ProjectRules:
    """The rules of each project, read again only after the project's file or its components have changed.

    Args:
        components: The file of the option --components, which takes precedence over that of a project.
        type_check: Whether to check types even if a project does not ask for it.
    """

    def __init__(self, components: str | None = None, *, type_check: bool = False) -> None:
        self._components, self._type_check = components, type_check
        self._cache: dict[Path | None, tuple[object, CheckRules]] = {}

    def rules(self, path: str) -> CheckRules:
        """Return the rules for a file. Faults in its project are logged, and the faulty part is ignored."""
        try:
            project = find_flow_project(path)
        except StepflowClientError as error:
            log.warning("%s", error)
            project = Project()
        files = [str(file) for file in (project.file, self._components or project.components) if file is not None]
        state = [(file, get_signature(file)) for file in files]
        cached_state, rules = self._cache.get(project.file, (None, CheckRules()))
        if cached_state != state:
            rules = CheckRules(type_check=self._type_check)
            for reads_components in (True, False):
                components = self._components if reads_components else None
                options = CheckOptions(components, reads_components=reads_components, type_check=self._type_check)
                try:
                    rules = options.get_project_rules(project)
                    break
                except (Problem, StepflowClientError) as error:
                    log.warning("%s", error)
            self._cache[project.file] = (state, rules)
        return rules
