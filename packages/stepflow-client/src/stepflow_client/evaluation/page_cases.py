"""The cases on the page of an evaluation: the outputs of all variants side by side, with their differences."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from heapq import nsmallest
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._base.text import duration_text, short_json, visible_lines
from .._runs.run_differences import ABSENT, value_changes
from ..drawing.html import json_tree
from ..drawing.report_parts import escaped, message, status_mark
from ..flows.expressions import write_path
from .columns import Column, VariantColumns
from .report_text import number_text
from .variant_comparison import is_named

if TYPE_CHECKING:
    from .records import EvaluationItem
    from .report import EvaluationReport

_MAX_CASES = 500
_MAX_BYTES = 4_000_000
"""Maximum size of all cases on the page."""
_FIRST = 50
"""Number of cases that are shown before somebody asks for more."""
_MAX_CHANGES = 20
_ALONE = 1e9
"""Makes the cases of a single variant no regressions."""
_MAX_TEXT_LENGTH = 2_000
"""Maximum number of characters of a text."""

CASES_STYLE = """
.filter{display:flex;flex-wrap:wrap;gap:var(--space-3);align-items:center;margin-bottom:var(--space-3)}
.filter input[type=search]{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--edge);
border-radius:var(--radius);padding:5px 8px;min-width:0;width:16em}
.filter[hidden],.case[hidden],.more[hidden]{display:none}
.case{border-top:1px solid var(--line);padding:4px 0}.case>summary{display:flex;flex-wrap:wrap;
gap:2px var(--space-3);align-items:baseline;padding:5px 0}.case>summary>b{overflow-wrap:anywhere}
.case>summary::before{content:"\\25b8";color:var(--soft)}.case[open]>summary::before{content:"\\25be"}
.case>summary::-webkit-details-marker{display:none}
.case .values{color:var(--soft);font-size:var(--text-2)}.case .values.worse{color:var(--bad)}
.case .values.better{color:var(--good)}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr));gap:var(--space-3);
margin:var(--space-2) 0 var(--space-4)}
.side{border:1px solid var(--line);border-radius:var(--radius);padding:var(--space-3);min-width:0;
overflow-wrap:anywhere}.side h3{margin:0 0 var(--space-2);font-size:var(--text-2)}
.repeat{border-top:1px solid var(--line);padding:4px 0}.repeat>summary{padding:3px 0;font-size:var(--text-2)}
.side h4{margin:var(--space-3) 0 2px;font-size:var(--text-1);
color:var(--soft);font-weight:500}.side p{margin:0 0 var(--space-1)}
ins{text-decoration:none;background:var(--good-soft);color:var(--good)}
del{background:var(--bad-soft);color:var(--bad)}a{color:var(--link)}
.more{font:inherit;color:var(--link);background:var(--panel);border:1px solid var(--line);border-radius:var(--radius);
padding:6px 12px;margin-top:var(--space-3);cursor:pointer}
"""

CASES_SCRIPT = f"""
const cases=[...document.querySelectorAll(".case")],filter=document.querySelector(".filter"),
more=document.querySelector(".more"),text=filter&&filter.querySelector("[type=search]"),
only=filter&&filter.querySelector("[type=checkbox]"),count=document.getElementById("count");
let most={_FIRST};
function show(){{
const words=text.value.toLowerCase();let found=0;
for(const each of cases){{
const fits=(!only||!only.checked||!!each.dataset.worse)&&(!words||each.textContent.toLowerCase().includes(words));
found+=fits;each.hidden=!fits||found>most;
}}
count.textContent=found+(found===1?" case":" cases");
more.hidden=found<=most;more.textContent=Math.min({_FIRST},found-most)+" more";
}}
if(filter){{
filter.hidden=false;
text.addEventListener("input",()=>{{most={_FIRST};show()}});
if(only)only.addEventListener("change",()=>{{most={_FIRST};show()}});
more.addEventListener("click",()=>{{most+={_FIRST};show()}});
show();
}}
"""


def cases_section(report: EvaluationReport, ui_url: str | None) -> str:
    """Return the cases, the worst first, up to a total size."""
    order = _worst_first(report)
    wanted = dict.fromkeys(case for case, _ in order)
    items: dict[str, dict[str, list[EvaluationItem]]] = {case: {} for case in wanted}
    for item in report:
        if item.case in items:
            items[item.case].setdefault(item.variant, []).append(item)
    shown: list[str] = []
    size = 0
    for case, badness in order:
        content = _case(report, case, items[case], ui_url, is_worse=badness > 0)
        size += len(content)
        if size > _MAX_BYTES and shown:
            break
        shown.append(content)
    return _filter(report) + "".join(shown) + _rest(len(report.cases) - len(shown))


def _filter(report: EvaluationReport) -> str:
    only = '<label><input type="checkbox"> only regressions</label>' if len(report.variants) > 1 else ""
    search = '<input type="search" placeholder="filter" aria-label="filter the cases by a text">'
    return f'<div class="filter" hidden>{search}{only}<span class="soft" id="count" role="status"></span></div>'


def _rest(count: int) -> str:
    button = '<button class="more" type="button" hidden>more</button>'
    if count <= 0:
        return button
    hint = "<code>to_dicts(include_outputs=True)</code> of the report has all of them"
    return f'{button}<p class="soft">{count:,} more cases are not on this page, the best ones; {hint}.</p>'


def _worst_first(report: EvaluationReport) -> list[tuple[str, float]]:
    """Return the worst cases and how bad each is: above 0 if a score is worse than that of the baseline."""
    ranges = {score: _range(report, score) for score, kind in report._columns.kinds.items() if kind != "label"}
    found = ((-_badness(report, number, ranges), number) for number in range(len(report.cases)))
    return [(report.cases[number], -good) for good, number in nsmallest(_MAX_CASES, found)]


def _badness(report: EvaluationReport, case: int, ranges: Mapping[str, float]) -> float:
    """Return how much worse a case has become, as a part of the range of a score; for a single variant, how bad it is.

    A failure is worse than any score. That of a baseline has not become worse, but comes before other cases.
    """
    variants = report._columns.variants
    first, pairs = variants[report.variants[0]], [(variants[a], variants[b]) for b, a in report.baselines.items()]
    found = [-math.inf]
    for before, after in pairs or [(first, first)]:
        was_failed = before.failures.mean(case) or 0.0
        found += [-0.5] if was_failed else []
        found += [2.0] if (after.failures.mean(case) or 0.0) > was_failed else []
    for score, width in ranges.items():
        sign = 1.0 if is_named(score, report._reading.lower) else -1.0
        alone = None if pairs else first.scores.get(score, Column()).mean(case)
        found += [] if alone is None else [sign * alone / width - _ALONE]
        found += [sign * change / width for change in _changes_of(pairs, score, case)]
    return max(found)


def _changes_of(pairs: Sequence[tuple[VariantColumns, VariantColumns]], score: str, case: int) -> Iterator[float]:
    """Yield the changes of a score in one case, of the pairs of variants that both have it."""
    for pair in pairs:
        before, after = (each.scores.get(score, Column()).mean(case) for each in pair)
        if before is not None and after is not None:
            yield after - before


def _range(report: EvaluationReport, score: str) -> float:
    values = [value for each in report._columns.variants.values() for value in each.scores.get(score, Column()).means()]
    return (max(values) - min(values) if values else 0.0) or 1.0


def _case(
    report: EvaluationReport,
    name: str,
    items: Mapping[str, Sequence[EvaluationItem]],
    ui_url: str | None,
    *,
    is_worse: bool,
) -> str:
    number = report._columns.cases[name]
    values = "".join(_values(report, score, number) for score in report.scores)
    worse = ' data-worse="1"' if is_worse else ""
    sides = [_given(report, each[0]) for each in islice(items.values(), 1)]
    for variant in report.variants:
        if variant in items:
            first, *_ = items.get(report.baselines.get(variant, ""), [None])
            sides.append(_side(report, items[variant], first, ui_url))
    body = "".join(f'<div class="side">{side}</div>' for side in sides)
    title = f"<summary><b>{escaped(name)}</b>{values}</summary>"
    return f'<details class="case"{worse}>{title}<div class="sides">{body}</div></details>'


def _values(report: EvaluationReport, score: str, case: int) -> str:
    """Return the values of a score in one case, of all variants; only if they differ, or of a single variant."""
    variants = report._columns.variants
    found = {name: each.scores.get(score, Column()).mean(case) for name, each in variants.items()}
    if len(found) > 1 and (len(set(found.values())) == 1 or report._columns.kinds[score] == "label"):
        return ""
    baselines = report.baselines
    # Variants with the same baseline are shown in a row.
    rows = [[each, *(b for b, a in baselines.items() if a == each)] for each in dict.fromkeys(baselines.values())]
    texts = {name: "none" if value is None else number_text(value) for name, value in found.items()}
    shown = ", ".join(" → ".join(texts[name] for name in row) for row in rows or [list(found)])
    sign = 1 if is_named(score, report._reading.lower) else -1
    pairs = [(variants[a], variants[b]) for b, a in baselines.items()]
    changed = [sign * change for change in _changes_of(pairs, score, case)]
    kind = " worse" if max(changed, default=0) > 0 else " better" if min(changed, default=0) < 0 else ""
    return f'<span class="values{kind}">{escaped(score)} {shown}</span>'


def _given(report: EvaluationReport, item: EvaluationItem) -> str:
    parts = [f"<h3>case</h3><h4>input</h4>{_tree(report, item.input)}"]
    if item.expected is not None:
        parts.append(f"<h4>expected</h4>{_tree(report, item.expected)}")
    return "".join(parts)


def _tree(report: EvaluationReport, value: Any) -> str:
    return json_tree(report._secrets.hide_in(value), limit=60, longest=_MAX_TEXT_LENGTH)


def _side(
    report: EvaluationReport, items: Sequence[EvaluationItem], first: EvaluationItem | None, ui_url: str | None
) -> str:
    """Return the repeats of a case with one variant: those with the same output and scores together.

    Args:
        report: The report.
        items: The repeats.
        first: The first repeat with the variant that this one is compared with.
        ui_url: The address of the pages of runs.
    """
    hide = report._secrets.hide
    groups: dict[str, list[EvaluationItem]] = {}
    for item in items:
        told = [item.status, item.output, item.error, item.scores, item.score_errors]
        groups.setdefault(json.dumps(told, default=repr), []).append(item)
    mark = status_mark(items[0].status) if len(groups) == 1 else ""
    spread = f'<p class="soft">{escaped(hide(", ".join(_spread(items))))}</p>' if len(items) > 1 else ""
    head = f"<h3>{escaped(items[0].variant)} {mark}</h3>{spread}"
    bodies = [_body(report, group, first, ui_url) for group in groups.values()]
    if len(groups) == 1:
        return head + bodies[0]
    shown = [head]
    for group, body in zip(groups.values(), bodies, strict=True):
        which = f"repeat {', '.join(str(each.repeat + 1) for each in group)}"
        title = f"{which} {status_mark(group[0].status)}"
        shown.append(
            f'<details class="repeat"{"" if len(shown) > 1 else " open"}><summary>{title}</summary>{body}</details>'
        )
    return "".join(shown)


def _spread(items: Sequence[EvaluationItem]) -> Iterator[str]:
    """Yield how the repeats of a case differ."""
    yield f"{len(items)} repeats"
    failed = sum(not each.is_success for each in items)
    if failed:
        yield f"{failed} failed"
    for name in dict.fromkeys(name for each in items for name in each.scores):
        values = [each.scores[name] for each in items if name in each.scores]
        if any(isinstance(each, str) for each in values):
            counts = Counter(map(_score_text, values)).most_common()
            yield f"{name} {' and '.join(f'{count} x {label}' for label, count in counts)}"
        elif all(isinstance(each, bool) for each in values):
            yield f"{name} {sum(map(bool, values))} of {len(values)}"
        else:
            yield f"{name} {_ends(sorted(map(float, values)), number_text)}"
    times = sorted(each.duration for each in items if each.duration is not None)
    if times:
        yield _ends(times, duration_text)


def _ends(values: Sequence[float], text: Callable[[float], str]) -> str:
    low, high = text(values[0]), text(values[-1])
    return low if low == high else f"{low} to {high}"


def _body(
    report: EvaluationReport, items: Sequence[EvaluationItem], first: EvaluationItem | None, ui_url: str | None
) -> str:
    """Return what repeats with the same output and scores have in common, and their runs."""
    hide, item = report._secrets.hide, items[0]
    took = [f' <span class="soft">{duration_text(each.duration)}</span>' if each.duration else "" for each in items]
    parts = [f"<p>{_run(each, ui_url)}{time}</p>" for each, time in zip(items, took, strict=True)]
    scores = [f"{escaped(name)} <b>{escaped(hide(_score_text(value)))}</b>" for name, value in item.scores.items()]
    scores += [f"{escaped(name)}: {message(hide(text))}" for name, text in item.score_errors.items()]
    parts += [f"<p>{each}</p>" for each in scores]
    if item.error is not None:
        parts.append(f'<p class="problem">{message(hide(item.error[:_MAX_TEXT_LENGTH]))}</p>')
    if item.is_success:
        parts.append(f"<h4>output</h4>{_tree(report, item.output)}")
    if first is not None and first.is_success and item.is_success:
        hidden = (report._secrets.hide_in(each.output) for each in (first, item))
        found = list(_differences(*hidden))
        if found:
            parts.append(f"<h4>differences from {escaped(first.variant)}</h4>{''.join(found)}")
    return "".join(parts)


def _score_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return number_text(value) if isinstance(value, (int, float)) else str(value)


def _run(item: EvaluationItem, ui_url: str | None) -> str:
    if item.run_id is None:
        return ""
    what = f"run {item.run_id}" + ("" if item.item_index is None else f" item {item.item_index}")
    if ui_url is None:
        return f'<span class="soft">{escaped(what)}</span>'
    path = f"/runs/{item.run_id}" + ("" if item.item_index is None else f"/items/{item.item_index}")
    return f'<a href="{escape(ui_url.rstrip("/") + path)}">{escaped(what)}</a>'


def _differences(before: Any, after: Any) -> Iterator[str]:
    """Yield the places where two outputs differ."""
    found = list(value_changes(before, after))
    for each in found[:_MAX_CHANGES]:
        path = f"<code>{escaped(write_path(each.path))}</code> "
        if isinstance(each.a, str) and isinstance(each.b, str):
            yield f"<p>{path}{_words(each.a[:_MAX_TEXT_LENGTH], each.b[:_MAX_TEXT_LENGTH])}</p>"
        else:
            old, new = (None if side is ABSENT else escaped(short_json(side, 200)) for side in (each.a, each.b))
            shown = "" if old is None else f"<del>{old}</del> "
            yield f"<p>{path}{shown}{'' if new is None else f'<ins>{new}</ins>'}</p>"
    if len(found) > _MAX_CHANGES:
        yield f'<p class="soft">{len(found) - _MAX_CHANGES} more</p>'


def _words(before: str, after: str) -> str:
    """Return two texts as one, with the words that are only in one of them marked."""
    old, new = (re.findall(r"\s+|[^\s]+", text) for text in (before, after))
    parts = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = ("".join(words) for words in (old[a:b], new[c:d]))
        if kind == "equal":
            parts.append(_shown(gone))
            continue
        parts.append(f"<del>{_shown(gone)}</del>" if gone else "")
        parts.append(f"<ins>{_shown(come)}</ins>" if come else "")
    return "".join(parts)


def _shown(text: str) -> str:
    return escape(visible_lines(text)).replace("\n", "&#10;")
