"""Draws graphs as SVG, with light and dark themes and tooltips for truncated text. Also converts SVG to PNG."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import NamedTuple

from .._base.suggestions import install_command
from .drawn_graph import FlowGraph, GraphEdge, GraphNode, cut_label, measure_text_columns
from .layout import CHAR_WIDTH, LINE, Box, DrawingUnavailableError, Layout, Route, lay_out
from .page_frame import DARK, LIGHT, MONO_FONT, escape_html, format_css_variables, format_px

_PALETTE = ("#2563eb", "#c2410c", "#15803d", "#9333ea", "#be123c", "#0e7490", "#a16207", "#4b5563")


_STATUS_COLORS = {"completed": "good", "failed": "bad", "running": "run", "cancelled": "soft", "not_run": "soft"}


def _format_theme_colors(theme: Mapping[str, str]) -> str:
    names = {"bg": "surface", "box": "bg", "line": "edge", "text": "text", "soft": "soft", "group": "panel"}
    for status, color in _STATUS_COLORS.items():
        names |= {status: color, f"{status}_soft": f"{color}-soft" if f"{color}-soft" in theme else "bg"}
    return format_css_variables({name: theme[color] for name, color in names.items()}, "sf-")


GRAPH_STYLE = (
    f"\n.sf{{{_format_theme_colors(LIGHT)}background:var(--sf-bg);font-size:12px;font-family:{MONO_FONT}}}\n"
    f"@media (prefers-color-scheme:dark){{.sf{{{_format_theme_colors(DARK)}}}}}"
    """
.sf text{fill:var(--sf-text);text-anchor:middle;dominant-baseline:central}
.sf .sf-soft,.sf .sf-edge text{fill:var(--sf-soft);font-size:11px}
.sf .sf-node text{font-weight:600}.sf .sf-node .sf-soft{font-weight:400}
.sf use{fill:var(--sf-box);stroke:var(--sf-line);stroke-width:1.2}
.sf .sf-edge path{fill:none;stroke:var(--sf-line);stroke-width:1.3}
.sf .sf-condition path,.sf .sf-then path,.sf .sf-else path{stroke-dasharray:6 4}
.sf .sf-default path,.sf .sf-subflow path{stroke-dasharray:2 4}
.sf marker path{fill:var(--sf-line)}
.sf .sf-group rect{fill:var(--sf-group);stroke:var(--sf-line);stroke-dasharray:4 3}
.sf .sf-group text,.sf .sf-legend text{text-anchor:start}
.sf .sf-unneeded,.sf .sf-is-not_needed{opacity:.6}.sf .sf-missing use{stroke:var(--sf-failed);stroke-dasharray:4 3}
.sf .sf-must use{stroke-width:2.6}
"""
    # Styles inside a shape can't depend on the classes of elements around its <use>.
    + "".join(f".sf-p{index} .sf-band{{fill:{color};stroke:none}}" for index, color in enumerate(_PALETTE))
    + "".join(
        f".sf .sf-is-{status} use{{stroke:var(--sf-{status});fill:var(--sf-{status}_soft);stroke-width:1.8}}"
        f".sf-badge-{status}{{fill:var(--sf-{status});stroke:var(--sf-bg);stroke-width:2;stroke-dasharray:none}}"
        for status in _STATUS_COLORS
    )
    + ".sf .sf-is-not_run use{stroke-dasharray:4 3}"
    + "text.sf-status{fill:var(--sf-bg);stroke:none;font-weight:700;text-anchor:middle;dominant-baseline:central}"
    + ".sf .sf-children{fill:var(--sf-failed);text-anchor:end;font-weight:700}"
)
"""The style for all drawings. A page only needs it once."""

_STATUS_ICONS = {"completed": "✓", "failed": "✗", "running": "▶", "cancelled": "■", "not_run": "–"}


class DrawOptions(NamedTuple):
    """How to draw a graph."""

    statuses: Mapping[str, str] = {}
    """Node statuses by node ID: `completed`, `failed`, `running`, `cancelled`, `not_run` or `not_needed`."""
    servers: bool = True
    """Whether to color plugins and show a legend."""
    details: bool = True
    """Whether boxes show the step's component and properties."""
    style: bool = True
    """Whether to embed the style. Otherwise, the page must contain `GRAPH_STYLE`."""
    name: str = "flow"
    """A name that is unique within the page."""
    urls_by_node_id: Mapping[str, str] = {}
    failed_children: Mapping[str, int] = {}
    """The number of failed sub-run items for each completed step, keyed by node ID."""
    current_node_id: str = ""


def draw_svg(graph: FlowGraph, options: DrawOptions, layout: Layout | None = None) -> str:
    """Return a graph as SVG. If you already have its layout, pass it as `layout`.

    Raises:
        DrawingUnavailableError: If the `stepflow-client[draw]` extra isn't installed.
    """
    layout = layout or lay_out(graph, details=options.details)
    plugins = {plugin: index % len(_PALETTE) for index, plugin in enumerate(graph.plugins)} if options.servers else {}
    height = layout.height + (len(plugins) * LINE + 12 if plugins else 0)
    width = max(layout.width, *(measure_text_columns(cut_label(plugin)) * CHAR_WIDTH + 50 for plugin in plugins), 120.0)
    name = escape_html(graph.name or "flow")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sf" role="{"group" if options.urls_by_node_id else "img"}" '
        f'aria-label="{name}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}"><title>{name}</title>',
        f"<style>{GRAPH_STYLE}</style>" if options.style else "",
        f'<defs><marker id="{options.name}-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto" markerUnits="userSpaceOnUse"><path marker-end="none" d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for sub in graph.sub_flows:
        if sub.step in layout.sub_flows:
            box = layout.sub_flows[sub.step]
            place = f'x="{format_px(box.x + 10)}" y="{format_px(box.y + 14)}"'
            label = f"<text {place}>{escape_html(cut_label(sub.label))}</text>"
            parts.append(f'<g class="sf-group">{_title_svg(sub.label)}{_rect_svg(box)}{label}</g>')
    parts.append(f'<g marker-end="url(#{options.name}-arrow)">')
    parts += [_edge_svg(edge, route) for edge, route in zip(graph.edges, layout.edges, strict=True)]
    shapes: dict[str, int] = {}
    nodes = [_node_svg(node, layout.nodes[node.id], plugins.get(node.plugin), options, shapes) for node in graph.nodes]
    definitions = "".join(f'<g id="{options.name}-{number}">{shape}</g>' for shape, number in shapes.items())
    parts += ["</g>", f"<defs>{definitions}</defs>", *nodes]
    for index, (plugin, color) in enumerate(plugins.items()):
        y = layout.height + index * LINE
        parts.append(f'<g class="sf-legend sf-p{color}">')
        parts.append(f'<rect class="sf-band" x="12" y="{format_px(y)}" width="12" height="12"/>')
        parts.append(f'<text x="30" y="{format_px(y + 6)}">{escape_html(cut_label(plugin))}</text></g>')
    return "".join(parts) + "</svg>"


def _title_svg(*lines: str) -> str:
    return "<title>" + "\n".join(map(escape_html, lines)) + "</title>"


def _rect_svg(box: Box, kind: str = "") -> str:
    size = f'width="{format_px(box.width)}" height="{format_px(box.height)}"'
    return f'<rect{kind} x="{format_px(box.x)}" y="{format_px(box.y)}" {size} rx="6"/>'


def _edge_svg(edge: GraphEdge, route: Route) -> str:
    about = " ".join(part for part in (edge.kind if edge.kind != "plain" else "", edge.label, edge.path) if part)
    label = ""
    if route.label is not None:
        box = route.label
        middle = f'x="{format_px(box.x + box.width / 2)}" y="{format_px(box.y + box.height / 2)}"'
        label = f"<text {middle}>{escape_html(edge.short_label)}</text>"
    path = ""
    for (x, y), *others in route.curves:
        path += f"M{format_px(x)} {format_px(y)}"
        if {other_x for other_x, _ in others} == {x}:
            path += f"V{format_px(others[-1][1])}"
        else:
            path += "C" + " ".join(f"{format_px(x)} {format_px(y)}" for x, y in others)
    kind = f" sf-{edge.kind}" if edge.kind != "plain" else ""
    return f'<g class="sf-edge{kind}">{_title_svg(about)}<path d="{path}"/>{label}</g>'


def _shape_svg(box: Box, plugin: int | None, status: str) -> str:
    """Draw a box centered at (0, 0), without its text."""
    left, top = -box.width / 2, -box.height / 2
    shape = _rect_svg(Box(left, top, box.width, box.height))
    if plugin is not None:
        band = _rect_svg(Box(left, top, 4, box.height), ' class="sf-band"')
        shape += f'<g class="sf-p{plugin}">{band}</g>'
    if status in _STATUS_ICONS:
        # Put the badge on the corner, where it doesn't cover any text.
        x, y = format_px(-left - 4), format_px(top + 3)
        shape += f'<circle class="sf-badge-{status}" cx="{x}" cy="{y}" r="9"/>'
        shape += f'<text class="sf-status" x="{x}" y="{y}">{_STATUS_ICONS[status]}</text>'
    return shape


def _node_svg(node: GraphNode, box: Box, plugin: int | None, options: DrawOptions, shapes: dict[str, int]) -> str:
    """Draw a node. Its shape is added to `shapes` and numbered, unless another node has the same shape."""
    status, href = options.statuses.get(node.id, ""), options.urls_by_node_id.get(node.id, "")
    children = options.failed_children.get(node.id, 0)
    classes = ["sf-node", f"sf-{node.kind}"]
    classes += [f"sf-is-{status}"] if status in _STATUS_ICONS or status == "not_needed" else []
    classes += ["sf-unneeded"] if not node.is_needed else []
    classes += ["sf-must"] if node.must_execute else []
    lines = node.get_lines(options.details)
    words = [status.replace("_", " ")] if status else []
    words += [f"{children} failed in sub-runs"] if children else []
    link = f' href="{escape(href)}" data-step="{escape_html(node.id)}"' if href else ""
    link += ' aria-current="true"' if href and node.id == options.current_node_id else ""
    tag = "a" if href else "g"
    place = f"translate({format_px(box.x + box.width / 2)} {format_px(box.y + box.height / 2)})"
    parts = [f'<{tag} class="{" ".join(classes)}"{link} transform="{place}">']
    number = shapes.setdefault(_shape_svg(box, plugin, status), len(shapes))
    # A shape gets its colors from the element that uses it.
    parts += [_title_svg(*node.get_tooltip_lines(lines), *words), f'<use href="#{options.name}-{number}"/>']
    for index, line in enumerate(lines):
        kind = ' class="sf-soft"' if index else ""
        parts.append(f'<text{kind} y="{format_px((index - (len(lines) - 1) / 2) * LINE)}">{escape_html(line)}</text>')
    if children:
        corner = f'x="{format_px(box.width / 2 - 17)}" y="{format_px(9 - box.height / 2)}"'
        parts.append(f'<text class="sf-children" {corner}>{children}{_STATUS_ICONS["failed"]}</text>')
    return "".join(parts) + f"</{tag}>"


def render_png(svg: str, scale: int) -> bytes:
    """Render an SVG as a PNG, using the light theme. The SVG must include its own style.

    Args:
        svg: The SVG.
        scale: PNG pixels per SVG pixel.

    Raises:
        DrawingUnavailableError: If `resvg-py` isn't installed.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        message = "PNG pictures need a package that is not installed"
        raise DrawingUnavailableError(message, hint=install_command("stepflow-client", "draw")) from None
    # Substitute CSS variables, which the renderer doesn't support.
    style, mark, rest = svg.partition("</style>")
    style = re.sub(r"(?s)@media \(prefers-color-scheme:dark\)\{.*?\}\}", "", style)
    colors = dict(re.findall(r"--(sf-[a-z_]+):(#[0-9a-f]+)", style))
    style = re.sub(r"--sf-[a-z_]+:[^;}]+;?", "", style)
    style = re.sub(r"var\(--(sf-[a-z_]+)\)", lambda match: colors[match[1]], style)
    source, font = style + mark + rest, "DejaVu Sans Mono"
    return bytes(svg_to_bytes(svg_string=source, zoom=scale, background="#ffffff", font_family=font))
