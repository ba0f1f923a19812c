"""Import modules from the user's project, and reload them when their files change."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from stepflow_client import StepflowClientError
from stepflow_client._command import explain_missing_file

from ..errors import suggest, usage
from ..output.colors_and_escaping import escape
from .file_io import Signature, get_file_signature


class ProjectModules:
    """The modules that one invocation of the command has imported."""

    def __init__(self) -> None:
        self._imported_modules: dict[str, str] = {}
        """The project modules that were imported, and their files."""
        self._files: dict[str, Signature] = {}
        """The signatures of the modules' files, and of any files that failed to import."""
        self.flows: dict[str, Any] = {}
        """The flows found in the modules, by their name on the command line."""

    @property
    def imported_files(self) -> list[str]:
        """The imported files, including files that failed to import."""
        return list(map(format_relative_path, self._files))

    @property
    def have_changed(self) -> bool:
        """Whether any file has changed since it was imported."""
        return any(get_file_signature(file) != known for file, known in self._files.items())

    def forget_imports(self) -> None:
        """Forget all imports so that the modules are imported again."""
        import linecache

        for name in self._imported_modules:
            sys.modules.pop(name, None)
        self._imported_modules.clear()
        self._files.clear()
        self.flows.clear()
        importlib.invalidate_caches()
        linecache.checkcache()

    def import_module(self, source: str) -> ModuleType:
        """Import a module from a file or by name. A name is looked up in the working directory first.

        Raises:
            Problem: If the module doesn't exist or can't be imported.
        """
        is_file = source.lower().endswith(".py")
        if is_file and not os.path.isfile(source):
            raise usage(f"{source} does not exist", explain_missing_file(source))
        folder, name = _get_import_folder_and_name(Path(os.path.abspath(source))) if is_file else (Path.cwd(), source)
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        module = None if is_file else name
        with self._recording_imports(), self.converting_user_code_errors(source, "cannot be imported", module=module):
            return _import_file(name, os.path.abspath(source)) if is_file else importlib.import_module(name)

    @contextmanager
    def _recording_imports(self) -> Iterator[None]:
        """Record which project modules are imported in the block, and keep Python from caching their bytecode.

        With cached bytecode, Python wouldn't notice an edit made within the same second if the file's size stays the
        same.
        """
        before = set(sys.modules)
        others = {name.partition(".")[0] for name in before - self._imported_modules.keys()}
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            yield
        finally:
            sys.dont_write_bytecode = writes
            for name in set(sys.modules) - before:
                file = getattr(sys.modules[name], "__file__", None)
                if file and _is_project_file(file) and name.partition(".")[0] not in others:
                    self._imported_modules[name] = file
                    self._files[file] = get_file_signature(file)

    @contextmanager
    def converting_user_code_errors(self, source: str, failure: str, *, module: str | None = None) -> Iterator[None]:
        """Convert exceptions from user code to a `Problem`, and redirect its stdout to stderr.

        Args:
            source: The name of the code being run, as passed on the command line.
            failure: What to say about the failure, e.g. `cannot be imported`.
            module: The module being imported, if it might not exist.

        Raises:
            Problem: If the code raises an exception.
        """
        import traceback

        try:
            with redirect_stdout(sys.stderr):
                yield
        except (Exception, SystemExit) as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if module is not None and missing is not None and f"{module}.".startswith(f"{missing}."):
                raise usage(f"no module named {module}", _suggest_module_name(module)) from None
            cause = error.__cause__ or error
            place = _find_project_frames(cause)
            for file, _ in place:
                self._files.setdefault(file, get_file_signature(file))
            if isinstance(cause, StepflowClientError):
                raise usage(cause.message, cause.hint) from error
            at = f" ({format_relative_path(place[-1][0])}:{place[-1][1]})" if place else ""
            reason = escape(" ".join(traceback.format_exception_only(cause)[-1].split()))
            hint = suggest(cause.name or "", dir(cause.obj)) if isinstance(cause, AttributeError) else None
            raise usage(f"{source} {failure}: {reason}{at}", hint or "to see the traceback, use -vv") from error


def _get_import_folder_and_name(file: Path) -> tuple[Path, str]:
    """Return the folder to import a file from, and the module name. A file in a package gets a dotted name."""
    folder, names = file.parent, [] if file.stem == "__init__" else [file.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


def _import_file(name: str, file: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    parent, _, _ = name.rpartition(".")
    if parent:
        importlib.import_module(parent)
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != file:
        # Another module, e.g. one from the standard library, already has this name.
        name += "_"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_project_file(file: str) -> bool:
    """Return True if a file is the user's own code, i.e. neither an installed package nor part of Python."""
    import sysconfig

    folders = (os.path.join(path, "") for path in sysconfig.get_paths().values())
    is_installed = "site-packages" in Path(file).parts or file.startswith(tuple(folders))
    return not file.startswith("<") and not is_installed


def _find_project_frames(error: BaseException) -> list[tuple[str, int]]:
    """Return the traceback frames that are in the user's code (not in this command or the client), innermost last."""
    import traceback

    import stepflow_client

    frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno or 0))
    own = tuple(os.path.join(Path(file).parent, "") for file in (stepflow_client.__file__, Path(__file__).parent))
    return [frame for frame in frames if _is_project_file(frame[0]) and not frame[0].startswith(own)]


def _suggest_module_name(module: str) -> str:
    prefix, dot, _ = module.rpartition(".")
    folder = Path(*prefix.split(".")) if prefix else Path()
    names = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.suffix == ".py" or (entry / "__init__.py").is_file():
            names.append(f"{prefix}{dot}{entry.stem}")
    return suggest(module, names) or "modules are looked up in the working folder and in this command's environment"


def format_relative_path(file: str) -> str:
    """Return a path relative to the working directory if it's inside that directory. Otherwise, return it unchanged."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
