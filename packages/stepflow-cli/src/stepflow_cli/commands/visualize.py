"""`stepflow visualize`."""

from __future__ import annotations

import sys
from pathlib import PurePath

import click

from ..errors import usage
from ..inputs.flow_loading import load_flow_argument
from ..output.messages import note
from ..output.printing import Output, open_file_in_browser, write_document_bytes
from ..params.click_commands import Command
from ..params.flow_run_options import flow_argument
from ..params.options import OUTPUT, needs, output_file_option, output_format_option

_FORMATS = ("svg", "png", "html", "text", "dot", "mermaid")
_FORMAT_BY_EXTENSION = {name: name for name in ("svg", "png", "html", "dot")}
_FORMAT_BY_EXTENSION |= {"htm": "html", "txt": "text", "gv": "dot", "mmd": "mermaid"}


@click.command("visualize", cls=Command, conflicts=[needs("--open", "--output")])
@flow_argument
@output_format_option(
    _FORMATS,
    f"Write as {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}. "
    "[default: from the --output extension, else text on a terminal, else svg]",
)
@output_file_option("Write the picture to this file, or - for standard output.")
@OUTPUT.option("--open", "Open the file in the browser; requires --output.", to="show")
@OUTPUT.option("--no-servers", "Omit plugin colors and the legend.")
@OUTPUT.option("--no-details", "Omit step components and properties.")
@OUTPUT.option("--all-steps", "Draw a box for each step, even in a fan-out.")
def command(
    flow: str, format: str | None, output: str | None, show: bool, no_servers: bool, no_details: bool, all_steps: bool
) -> None:
    """FLOW can be a YAML or JSON file, or - to read standard input.

    Conditional branches are labeled with their conditions, and $coalesce alternatives are numbered. In svg, png and
    html, which require the stepflow-client[draw] extra, steps that never run are pale, steps with mustExecute have a
    bold outline, conditional branches are dashed, and five or more equivalent steps share a box. In flows with more
    than 40 boxes, a step and the flow inside it also share a box.
    """
    from stepflow_client.drawing import draw, to_dot, to_mermaid, to_text

    Output(path=output).check_file_writable()
    form = format
    if form is None:
        ending = PurePath(output or "").suffix.lower()
        if ending and ending[1:] not in _FORMAT_BY_EXTENSION:
            names = ", ".join(f".{name}" for name in _FORMAT_BY_EXTENSION)
            raise usage(f"{output}: unknown format {ending}", f"use one of {names}, or name the format with -o")
        form = _FORMAT_BY_EXTENSION.get(ending[1:], "text" if output is None and sys.stdout.isatty() else "svg")
    flow_content = load_flow_argument(flow)
    if write := {"text": to_text, "dot": to_dot, "mermaid": to_mermaid}.get(form):
        document: str | bytes = write(flow_content, include_details=not no_details)
    else:
        drawing = draw(
            flow_content, include_servers=not no_servers, include_details=not no_details, include_all_steps=all_steps
        )
        document = drawing.png() if form == "png" else drawing.html() if form == "html" else drawing.svg()
    write_document_bytes(document.encode() if isinstance(document, str) else document, output)
    if format is None and form == "text" and output is None:
        note("to draw a picture, use -O flow.svg")
    if show:
        open_file_in_browser(str(output))
