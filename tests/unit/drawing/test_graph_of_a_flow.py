"""The nodes and edges that are drawn for a flow."""

from __future__ import annotations

from typing import Any

from stepflow_client.drawing import to_dot, to_mermaid, to_text
from stepflow_client.drawing.drawn_graph import build_graph


def edges(flow: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    graph = build_graph(flow)
    names = {node.id: node.label for node in graph.nodes}
    return {(names[edge.source], names[edge.target], edge.kind, edge.label) for edge in graph.edges}


def test_references_at_any_depth_are_edges() -> None:
    flow = {
        "steps": [
            {"id": "a", "component": "/x/a", "input": {"deep": [{"q": {"$input": "$.q"}}]}},
            {"id": "b", "component": "/x/b", "input": {"v": {"$variable": "v", "default": {"$step": "a"}}}},
        ],
        "output": {"$step": "b"},
    }
    assert edges(flow) == {
        ("input", "a", "plain", ""),
        ("variables", "b", "plain", ""),
        ("a", "b", "default", "default"),
        ("b", "output", "plain", ""),
    }


def test_branches_and_alternatives_have_labels() -> None:
    flow = {
        "steps": [{"id": name, "component": "/x/y"} for name in "abcd"],
        "output": {
            "$if": {"$step": "a", "path": "$.ok"},
            "then": {"$step": "b"},
            "else": {"$coalesce": [{"$step": "c"}, {"$step": "d"}]},
        },
    }
    assert edges(flow) == {
        ("a", "output", "condition", "if"),
        ("b", "output", "then", "a.ok"),
        ("c", "output", "else", "not a.ok: 1"),
        ("d", "output", "else", "not a.ok: 2"),
    }
    coalesce = {"steps": flow["steps"], "output": {"$coalesce": [{"$step": "a"}, {"$step": "b"}]}}
    assert edges(coalesce) == {("a", "output", "coalesce", "1"), ("b", "output", "coalesce", "2")}


def test_literals_have_no_edges() -> None:
    flow = {"steps": [{"id": "a", "component": "/x/y"}], "output": {"$literal": {"$step": "a"}, "$step": "a"}}
    assert edges(flow) == set()


def test_nodes_show_error_handling_and_whether_they_run() -> None:
    flow = {
        "steps": [
            {"id": "retried", "component": "/x/y", "onError": {"action": "retry", "maxRetries": 2.0}},
            {"id": "usual", "component": "/x/y", "onError": {"action": "retry"}},
            {"id": "defaulted", "component": "/x/y", "onError": {"action": "useDefault", "defaultValue": 7}},
            {"id": "must", "component": "/x/y", "mustExecute": True, "input": {"$step": "usual"}},
            {"id": "never", "component": "/z/y", "input": {"$step": "must"}},
        ],
        "output": [{"$step": "retried"}, {"$step": "defaulted"}],
    }
    graph = build_graph(flow)
    nodes = {node.label: node for node in graph.nodes}
    assert (nodes["retried"].on_error, nodes["retried"].retries) == ("retry", 2)
    assert nodes["usual"].retries == 3
    assert (nodes["defaulted"].on_error, nodes["defaulted"].default) == ("default", 7)
    assert nodes["must"].must_execute
    assert [name for name, node in nodes.items() if not node.is_needed] == ["never"]
    assert graph.plugins == ["x", "z"]


def test_sub_flows_are_groups() -> None:
    inner = {"steps": [{"id": "a", "component": "/x/y", "input": {"$input": "$"}}], "output": {"$step": "a"}}
    flow = {
        "steps": [
            {"id": "a", "component": "/builtin/map", "input": {"workflow": {"$literal": inner}, "items": []}},
            {"id": "b", "component": "/builtin/iterate", "input": {"flow": {"$literal": inner}}},
        ]
    }
    graph = build_graph(flow)
    assert [(sub.step, sub.parent) for sub in graph.sub_flows] == [("a", ""), ("b", "")]
    assert len({node.id for node in graph.nodes}) == len(graph.nodes) == 8
    assert {node.group for node in graph.nodes if node.label == "input"} == {"a", "b"}


def test_invalid_flows_have_a_graph() -> None:
    for flow in ({}, {"steps": 3}, {"steps": [None, {"component": "/a"}, {"id": "a"}, {"id": "a"}], "output": []}):
        assert len(build_graph(flow).nodes) <= 2
    graph = build_graph({"steps": [], "output": {"$step": "gone"}})
    assert [(node.label, node.kind) for node in graph.nodes] == [("output", "output"), ("gone", "missing")]
    cycle = {"steps": [{"id": "a", "component": "/x", "input": {"$step": "a"}}], "output": {"$step": "a"}}
    assert ("a", "a", "plain", "") in edges(cycle)


def test_a_step_with_an_empty_id_can_run_a_sub_flow() -> None:
    inner = {"steps": [{"id": "a", "component": "/x/a"}], "output": {"$step": "a"}}
    step = {"id": "", "component": "/builtin/map", "input": {"items": [], "workflow": inner}}
    flow = {"steps": [step], "output": {"$step": ""}}
    assert "/builtin/map" in to_text(flow)
    assert "/builtin/map" in to_dot(flow)
    assert "/builtin/map" in to_mermaid(flow)
