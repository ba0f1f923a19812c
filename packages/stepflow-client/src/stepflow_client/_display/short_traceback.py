"""Short tracebacks for notebooks and IPython that show the user's line of code, the message and the hint.

The full traceback of a client error contains about 20 frames from this package, which don't help the user. Plain Python
still prints them all.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet

from .._base.error_classes import StepflowClientError
from .._base.text_formatting import visible

_PACKAGE_DIR = str(Path(__file__).parents[1])
# IPython's default traceback mode. Users who have picked another mode get its full traceback.
_DEFAULT_MODE = "Context"
_shown: WeakSet[BaseException] = WeakSet()


def render_short_traceback(error: StepflowClientError) -> list[str]:
    """Return the lines that IPython shows for an error.

    The first time an error is shown, its traceback is short. For the full traceback, use `%tb` to show the last error
    again, or pick a different mode with `%xmode`.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    mode = getattr(getattr(shell, "InteractiveTB", None), "mode", _DEFAULT_MODE)
    is_short = error not in _shown and mode == _DEFAULT_MODE
    _shown.add(error)
    if is_short:
        return list(_iter_error_lines(error, shell))
    if shell is None:
        return traceback.format_exception(error)
    return list(shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__))


def _iter_error_lines(error: StepflowClientError, shell: Any) -> Iterator[str]:
    for frame in _find_user_frames(error.__traceback__, shell):
        name, number = frame.tb_frame.f_code.co_filename, frame.tb_lineno
        label = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(name)
        yield f"{' '.join(label) if label else f'File {visible(name)}'}, line {number}"
        yield f"----> {number} {visible(linecache.getline(name, number).strip())}"
        yield ""
    is_plain = str(getattr(shell, "colors", "nocolor")).lower() == "nocolor"
    name = type(error).__name__ if is_plain else f"\x1b[31m{type(error).__name__}\x1b[0m"
    first, *others = error.message.split("\n")
    yield f"{name}: {visible(first)}"
    yield from map(visible, others)
    for more in ([f"Hint: {error.hint}"] if error.hint else []) + list(getattr(error, "__notes__", ())):
        yield from map(visible, more.split("\n"))
    yield ""
    yield "%tb shows the whole traceback."


def _find_user_frames(trace: TracebackType | None, shell: Any) -> Iterator[TracebackType]:
    """Yield the frame of the cell, followed by the frame that called this package if that's a different one."""
    outside = Path(getattr(sys.modules.get("IPython"), "__file__", None) or "no/such/file").parent
    frames: list[TracebackType] = []
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE_DIR):
        if not frames and trace.tb_frame.f_code.co_filename.startswith(str(outside)):
            # Skip the frames of the shell that runs the cell.
            trace = trace.tb_next
            continue
        frames.append(trace)
        trace = trace.tb_next
    yield from frames[:1]
    if len(frames) > 1:
        yield frames[-1]
