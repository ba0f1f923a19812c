"""What the project of a file says about checking it: settings, and the components that `components lock` wrote."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepflow_client import StepflowClientError
from stepflow_client.flows.components import Catalogue, Components
from stepflow_client.flows.findings import Finding

from ..errors import Problem
from ..validation.checks import LOCK_FILE, SETTINGS_FILES, Rules, read_components, read_rules, target_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Project:
    """The settings for a file."""

    rules: Rules = field(default_factory=Rules)
    select: Sequence[str] = ()
    ignore: Sequence[str] = ()

    @property
    def components(self) -> Components | None:
        """The components of the lock file; None if only the builtin ones are known."""
        found: Components | None = self.rules.components
        return found

    def catalogue(self) -> Catalogue:
        """Return the components with their types."""
        return Catalogue(self.components)

    def keeps(self, finding: Finding) -> bool:
        """Return whether the settings leave a finding in."""
        return (not self.select or finding.rule in self.select) and finding.rule not in self.ignore


class Projects:
    """The projects of the open files. Files are read again only after they have changed.

    Args:
        components: The file of the option --components, which takes precedence over a lock file.
        type_check: Whether to check types even if the settings do not ask for it.
    """

    def __init__(self, components: str | None = None, *, type_check: bool = False) -> None:
        """Start without any."""
        self._components, self._type_check = components, type_check
        self._known: dict[tuple[Any, ...], Project] = {}

    def of(self, path: str) -> Project:
        """Return the settings for a file: those of the nearest folders upwards that have some."""
        settings = _upwards(path, *SETTINGS_FILES)
        lock = Path(self._components) if self._components else next(_upwards(path, LOCK_FILE), None)
        files = (*settings, lock)
        key = tuple((str(each), _changed(each)) for each in files if each is not None)
        if key not in self._known:
            # What was known of files that have changed since is not needed any more.
            self._known = {old: each for old, each in self._known.items() if not _is_outdated(old)}
            self._known[key] = self._read(list(dict.fromkeys(each.parent for each in files[:-1] if each)), lock)
        return self._known[key]

    def _read(self, folders: list[Path], lock: Path | None) -> Project:
        settings: dict[str, Any] = {}
        components = target = None
        try:
            settings = next(filter(None, map(read_rules, folders)), {})
            target = target_of(settings)
        except (Problem, StepflowClientError) as error:
            log.warning("%s", error)
        try:
            components = read_components(str(lock)) if lock is not None else None
        except (Problem, StepflowClientError) as error:
            log.warning("%s", error)
        type_check = self._type_check or settings.get("type-check", False)
        rules = Rules(components, type_check=type_check, target=target)
        return Project(rules, settings.get("select", ()), settings.get("ignore", ()))


def _upwards(path: str, *names: str) -> Iterator[Path]:
    """Yield the files with these names beside a file and in the folders above, up to the root of its repository."""
    for folder in Path(path).absolute().parents:
        yield from (found for name in names if (found := folder / name).is_file())
        if (folder / ".git").exists():
            return


def _changed(file: Path) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def _is_outdated(key: tuple[tuple[str, int], ...]) -> bool:
    return any(_changed(Path(name)) != changed for name, changed in key)
