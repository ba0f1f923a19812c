"""The configuration an embedded server is started with: a file, a dict, or one made here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import FlowFileError, FlowFileNotFoundError, InvalidArgumentError
from .flow_file import read_file

# 0.13 refuses the older key with these words; older releases take the newer key and route nothing by it.
REFUSED_ROUTE = "Invalid prefix"
_FIRST_WITH_PREFIXES = (0, 13)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One configuration: a file the server reads itself, or a document it gets on stdin."""

    path: Path | None = None
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    fallback: Mapping[str, Any] | None = field(default=None, repr=False)
    """The document to start with instead if the server refuses a route of the first."""

    def arguments(self) -> list[str]:
        """Return the server's command-line arguments."""
        return ["--config-stdin"] if self.path is None else ["--config", str(self.path)]

    def stdin(self) -> bytes | None:
        """Return what the server reads from stdin, if anything."""
        return None if self.document is None else json.dumps(self.document).encode()

    def load(self) -> dict[str, Any]:
        """Return the configuration as a new dict.

        Raises:
            FlowFileError: The file cannot be read, or holds something else.
        """
        if self.path is None:
            copy: dict[str, Any] = json.loads(json.dumps(self.document))
            return copy
        return _parse(_read(self.path), self.path)


def prepare_config(
    config_path: str | Path | None, config: Mapping[str, Any] | None, release: tuple[int, int] | None
) -> ServerConfig:
    """Check what was given; for nothing, return a configuration with the builtin components under `/builtin`.

    Raises:
        InvalidArgumentError: Both were given, or one has a wrong type.
        FlowFileError: The file cannot be read, or holds no mapping.
    """
    if config_path is not None and config is not None:
        raise InvalidArgumentError("Give config_path or config, not both")
    if config_path is not None:
        if not isinstance(config_path, str | Path):
            raise InvalidArgumentError(f"config_path is a str or a Path, not {type(config_path).__name__}")
        # Workers are started in the folder of the file; a relative path confuses the server about it.
        path = Path(config_path).expanduser().absolute()
        _parse(_read(path), path)
        return ServerConfig(path=path)
    if config is not None:
        return ServerConfig(document=_checked(config))
    older, newer = builtin_config("/builtin/{*component}"), builtin_config("/builtin")
    if release is None:
        return ServerConfig(document=older, fallback=newer)
    return ServerConfig(document=newer if release >= _FIRST_WITH_PREFIXES else older)


def builtin_config(route: str) -> dict[str, Any]:
    """Return the smallest configuration that has the builtin components."""
    return {"plugins": {"builtin": {"type": "builtin"}}, "routes": {route: [{"plugin": "builtin"}]}}


def _checked(config: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise InvalidArgumentError(f"config is a dict, not {type(config).__name__}")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"config holds something that is not JSON: {error}") from error
    return copy


def _read(path: Path) -> str:
    try:
        return read_file(path).decode()
    except FlowFileNotFoundError:
        raise FlowFileNotFoundError(f"There is no configuration file {path}", path=str(path)) from None
    except ValueError as error:
        raise FlowFileError(f"The configuration file {path} cannot be read: {error}", path=str(path)) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    import yaml

    try:
        # JSON first: not all of it is YAML to this parser (tabs), but the server takes it.
        value = json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        value = None
    try:
        value = yaml.safe_load(text) if value is None else value
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "it cannot be read"
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise FlowFileError(
            f"The configuration file {path} is neither YAML nor JSON: {what}{where}",
            path=str(path),
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from error
    if not isinstance(value, dict):
        raise FlowFileError(f"The configuration file {path} does not hold a mapping", path=str(path))
    return value
