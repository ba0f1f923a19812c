"""How the files of an editor are checked: what the options of `stepflow lsp` and the project of each file say."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from stepflow_client import StepflowClientError
from stepflow_client.flows.project import Project

from ..errors import Problem
from ..inputs.flow import project_of
from ..validation.checks import CheckOptions, Rules

log = logging.getLogger(__name__)

_Files = tuple[tuple[str, int], ...]
"""The files that say how a file is checked, each with the time of its last change."""


class Projects:
    """The projects of the open files. Components are read again only after their file, or the project's, has changed.

    Args:
        components: The file of the option --components, which takes precedence over that of a project.
        type_check: Whether to check types even if a project does not ask for it.
    """

    def __init__(self, components: str | None = None, *, type_check: bool = False) -> None:
        self._components, self._type_check = components, type_check
        self._known: dict[_Files, Rules] = {}

    def rules(self, path: str) -> Rules:
        """Return how a file is checked. What is wrong with its project is logged, and left out."""
        try:
            project = project_of(path)
        except StepflowClientError as error:
            log.warning("%s", error)
            project = Project()
        files = (project.file, self._components or project.components)
        key = tuple((str(each), _changed(each)) for each in files if each is not None)
        if key not in self._known:
            # What was known of files that have changed since is not needed any more.
            self._known = {old: each for old, each in self._known.items() if not _is_outdated(old)}
            self._known[key] = self._read(project)
        return self._known[key]

    def _read(self, project: Project) -> Rules:
        for reads_components in (True, False):
            components = self._components if reads_components else None
            options = CheckOptions(components, reads_components=reads_components, type_check=self._type_check)
            try:
                return options.of_project(project)
            except (Problem, StepflowClientError) as error:
                log.warning("%s", error)
        return Rules(type_check=self._type_check)


def _changed(file: str | Path) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def _is_outdated(files: _Files) -> bool:
    return any(_changed(name) != changed for name, changed in files)
