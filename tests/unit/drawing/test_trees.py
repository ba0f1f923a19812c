"""JSON trees truncate large values and link to the rest."""

from __future__ import annotations

import re
from html import unescape

from stepflow_client.drawing.json_tree import json_tree


def test_each_outer_entry_is_shown_before_parts_of_an_inner_one() -> None:
    tree = json_tree({"rows": [[number] * 20 for number in range(300)], "successful": 3, "failed": 0}, limit=200)
    assert "<b>successful</b>: 3" in tree
    assert "<b>failed</b>: 0" in tree
    assert "… 250 more" in tree


def test_hidden_entries_are_links_to_their_place() -> None:
    value = {"a": {"rows": list(range(120))}, 'x"<y': list(range(51))}
    tree = json_tree(value, link=lambda path, start: f"/at?{'/'.join(map(str, path))}&from={start}")
    links = [unescape(each) for each in re.findall(r'class="more" href="([^"]*)">', tree)]
    assert links == ["/at?a/rows&from=50", '/at?x"<y&from=50']
    assert "<y" not in tree


def test_a_tree_can_start_at_an_entry() -> None:
    tree = json_tree(list(range(120)), path=("rows",), start=100, link=lambda path, start: f"{path}{start}")
    assert "<b>100</b>: 100" in tree
    assert "<b>119</b>: 119" in tree
    assert "<b>99</b>" not in tree
    assert "more" not in tree


def test_a_long_text_is_folded_and_keeps_its_lines() -> None:
    text = "Traceback\n  File <x>\n    boom" + "!" * 5000
    tree = json_tree({"text": text})
    assert "<pre>Traceback&#10;  File &lt;x&gt;&#10;    boom" + "!" * 5000 + "</pre>" in tree
    assert "\n" not in tree


def test_a_text_over_the_limit_links_to_the_rest() -> None:
    tree = json_tree(["y" * 700], longest=500, link=lambda path, start: f"/{path[0]}/{start}")
    assert '<a class="more" href="/0/0">… 200 more characters</a>' in tree
    assert "… 200 more characters" in json_tree(["y" * 700], longest=500)


def test_many_long_texts_share_a_limit() -> None:
    assert len(json_tree(["y" * 10_000] * 200, longest=10_000)) < 150_000
