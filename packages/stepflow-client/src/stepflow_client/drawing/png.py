"""Converts a picture to PNG with the package `resvg-py`."""

from __future__ import annotations

import re

from .layout import DrawingUnavailableError

__all__ = ["png"]

_DARK = re.compile(r"@media \(prefers-color-scheme:dark\)\{.*?\}\}", re.DOTALL)
_VARIABLE = re.compile(r"--(sf-[a-z]+):(#[0-9a-f]+)")
_DECLARED = re.compile(r"--sf-[a-z]+:[^;}]+;?")
_USE = re.compile(r"var\(--(sf-[a-z]+)\)")


def png(svg: str, scale: int) -> bytes:
    """Return a picture as PNG, in the colours of the light theme.

    Args:
        svg: The picture as SVG, including its style.
        scale: Pixels for each pixel of the SVG.

    Raises:
        DrawingUnavailableError: If `resvg-py` is not installed.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        message = "PNG pictures need a package that is not installed"
        raise DrawingUnavailableError(message, hint="pip install 'stepflow-client[draw]'") from None
    # The renderer does not support CSS variables.
    head, mark, rest = svg.partition("</style>")
    head = _DARK.sub("", head)
    colours = dict(_VARIABLE.findall(head))
    head = _USE.sub(lambda use: colours[use[1]], _DECLARED.sub("", head))
    plain = head + mark + rest
    return bytes(svg_to_bytes(svg_string=plain, zoom=scale, background="#ffffff", font_family="DejaVu Sans Mono"))
