"""Large graphs are folded, with one box for equal steps."""

from __future__ import annotations

from typing import Any

from stepflow_client.drawing import draw
from stepflow_client.drawing.drawn_graph import build_graph, fold_graph, get_worst_state
from stepflow_client.drawing.svg import DrawOptions, draw_svg


def step(name: str, *reads: str, component: str = "/builtin/noop") -> dict[str, Any]:
    return {"id": name, "component": component, "input": [{"$step": each} for each in reads]}


def labels(flow: dict[str, Any], **options: Any) -> list[str]:
    return [node.label for node in fold_graph(build_graph(flow), **options).graph.nodes]


def test_equal_branches_are_folded_into_one_box_per_step() -> None:
    steps = [step("begin")]
    for number in range(20):
        steps += [step(f"a{number}", "begin"), step(f"b{number}", f"a{number}")]
    flow = {"steps": [*steps, step("join", *(f"b{number}" for number in range(20)))], "output": {"$step": "join"}}
    folded = fold_graph(build_graph(flow))
    assert [node.label for node in folded.graph.nodes] == ["begin", "a0 … a19", "b0 … b19", "join", "output"]
    assert [(each.source, each.target) for each in folded.graph.edges] == [
        ("begin", "a0"), ("a0", "b0"), ("b0", "join"), ("join", "\x00output:output"),
    ]  # fmt: skip
    assert folded.hidden_count == 38
    assert folded.find_box("b7") == "b0"
    states = {"begin": "completed", "a3": "failed", "b3": "not_run", "b4": "completed"}
    assert folded.find_worst_box_states(states) == {"begin": "completed", "a0": "failed", "b0": "not_run"}
    assert "20 equal steps" in draw_svg(folded.graph, DrawOptions(urls_by_node_id={"a0": "/runs/x/steps/a3"}))


def test_steps_that_differ_keep_their_boxes() -> None:
    fan = [step(f"a{number}", component=f"/plugin/{number % 5}") for number in range(20)]
    assert len(labels({"steps": fan, "output": [{"$step": each["id"]} for each in fan]})) == 21
    chain = [step(f"s{number}", *([f"s{number - 1}"] if number else [])) for number in range(30)]
    assert len(labels({"steps": chain, "output": {"$step": "s29"}})) == 31
    few = [step(f"a{number}") for number in range(4)]
    assert len(labels({"steps": few, "output": [{"$step": each["id"]} for each in few]})) == 5


def test_a_large_sub_flow_is_folded_into_its_step() -> None:
    chain = [step(f"s{number}", f"s{number - 1}" if number else "leaf") for number in range(40)]
    inner = {"steps": [step("leaf"), *chain], "output": {"$step": "s39"}}
    each = {"id": "each", "component": "/builtin/map", "input": {"workflow": {"$literal": inner}, "items": [1]}}
    flow = {"steps": [each], "output": {"$step": "each"}}
    folded = fold_graph(build_graph(flow))
    assert [(node.label, node.inside) for node in folded.graph.nodes] == [("each", 41), ("output", 0)]
    assert not folded.graph.sub_flows
    assert "runs a flow of 41 steps" in draw_svg(folded.graph, DrawOptions())
    assert "leaf" in labels(flow, is_whole=True)


def test_get_worst_state() -> None:
    assert get_worst_state(["completed", "failed", "running"]) == "failed"
    assert get_worst_state(["not_needed", "completed"]) == "completed"
    assert get_worst_state([]) == get_worst_state(["unknown"]) == ""


def test_boxes_are_links_and_count_failed_children() -> None:
    flow = {"steps": [step('a"<b')], "output": {"$step": 'a"<b'}}
    picture = draw_svg(
        build_graph(flow), DrawOptions(urls_by_node_id={'a"<b': "/x?a=1&b=2"}, failed_children={'a"<b': 3})
    )
    assert '<a class="sf-node sf-step" href="/x?a=1&amp;b=2" data-step="a&quot;&lt;b"' in picture
    assert "3 failed in sub-runs" in picture
    assert "3✗" in picture
    assert 'role="group"' in picture


def test_a_drawing_is_folded_unless_all_steps_are_included() -> None:
    fan = [step(f"a{number}") for number in range(20)]
    flow = {"steps": fan, "output": [{"$step": each["id"]} for each in fan]}
    folded = draw(flow, statuses={"a3": "failed", "a4": "completed"}).svg()
    assert "a0 … a19" in folded
    assert "20 equal steps" in folded
    # The box has the worst status of its steps.
    assert "✗" in folded
    assert "✓" not in folded
    unfolded = draw(flow, statuses={"a3": "failed"}, include_all_steps=True).svg()
    assert "equal steps" not in unfolded
    assert all(f">a{number}<" in unfolded for number in range(20))
