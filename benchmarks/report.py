"""The results as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.peers import BARE, BARE_JSON, OURS, PLAIN_HTTPX, UPSTREAM
from benchmarks.series import Key, Results, Spread
from benchmarks.targets import TARGETS

_COMPARED = (BARE, BARE_JSON, UPSTREAM, PLAIN_HTTPX)


def page(results: Results, plots: Iterable[str]) -> str:
    """Return the complete page.

    Args:
        results: The figures.
        plots: File names of plots next to the page.
    """
    return "\n".join([*_head(results), *_targets(results), *_ratios(results), *_tables(results, plots)]) + "\n"


def _head(results: Results) -> Iterator[str]:
    yield "# Results"
    yield ""
    kind = "A quick run: the figures are rough. " if results.quick else ""
    yield f"{kind}{results.started}. Written by `python -m benchmarks`; `benchmarks/README.md` says how to read it."
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in results.machine.items()) + "."
    yield ""
    for remark in results.remarks:
        yield f"- {remark}"
    if results.remarks:
        yield ""


def _targets(results: Results) -> Iterator[str]:
    yield "## Targets"
    yield ""
    rows = []
    measured = {key.case for key in results.rounds}
    for target in (target for target in TARGETS if target.above.case in measured):
        ratio, verdict = target.verdict(results)
        rows.append([target.text, f"{target.bound} {target.limit:g}", _cell(ratio), verdict])
    yield from _table(["ratio", "target", "measured", ""], rows)


def _ratios(results: Results) -> Iterator[str]:
    rows = []
    for case, measure, at in dict.fromkeys(key[:3] for key in results.rounds):
        ours = Key(case, measure, at, OURS)
        ratios = [results.ratio(ours, Key(case, measure, at, peer)) for peer in _COMPARED]
        if any(ratios):
            rows.append([f"{case}: {measure}", at, *map(_cell, ratios)])
    if rows:
        yield "## Ours as a multiple of the others"
        yield ""
        yield "For calls and events per second more is better, for everything else less."
        yield ""
        yield from _table(["", "", *(f"ours / {peer}" for peer in _COMPARED)], rows)


def _tables(results: Results, plots: Iterable[str]) -> Iterator[str]:
    shown = set(plots)
    case_before = ""
    for case, measure in results.tables():
        if case != case_before:
            yield f"## {case.capitalize()}"
            yield ""
            if f"{case}.svg" in shown:
                yield f"![{case}]({case}.svg)"
                yield ""
            case_before = case
        yield from _figures(results, case, measure)


def _figures(results: Results, case: str, measure: str) -> Iterator[str]:
    keys = [key for key in results.rounds if (key.case, key.measure) == (case, measure)]
    columns = list(dict.fromkeys(key.at for key in keys))
    peers = dict.fromkeys(key.peer for key in keys)
    rounds = max(len(results.rounds[key]) for key in keys)
    yield f"{measure[0].upper()}{measure[1:]} ({rounds} round{'s' if rounds > 1 else ''})"
    yield ""
    rows = [[peer, *(_cell(results.spread(Key(case, measure, at, peer))) for at in columns)] for peer in peers]
    yield from _table(["", *columns], rows)


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' + '---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _cell(spread: Spread | None) -> str:
    if spread is None:
        return ""
    middle, least, most = (_number(each) for each in spread)
    return middle if least == most else f"{middle} ({least}..{most})"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
