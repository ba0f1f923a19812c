"""Draw a benchmark run's plots, in the environment that has matplotlib.

Usage: python -m benchmarks.plots FIGURES.json FOLDER. Prints the names of the files it writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]
from matplotlib import pyplot  # type: ignore[import-not-found,unused-ignore]

from benchmarks.peers import CALLERS
from benchmarks.series import Key, Results, Spread

_COLOURS = dict(zip(CALLERS, ("#0b5fa5", "#5aa9e6", "#9ec9a1", "#8c8c8c", "#d1495b", "#1b1b1b"), strict=True))
_RATE, _TIME = ("throughput", "calls per second"), ("latency", "time of a call, ms")


def main() -> None:
    results, folder = Results.load(Path(sys.argv[1])), Path(sys.argv[2])
    # Make the output reproducible for the same figures.
    mpl.rcParams |= {"svg.hashsalt": "stepflow", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    tables = set(results.tables())
    if _RATE in tables:
        throughput(results, folder / "throughput.svg")
    if _TIME in tables:
        latency(results, folder / "latency.svg")


def throughput(results: Results, path: Path) -> None:
    """Draw a group of bars for each level of concurrency."""
    columns = _columns(results, _RATE)
    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    width = 0.8 / len(CALLERS)
    for place, peer in enumerate(CALLERS):
        spreads = [_spread(results, _RATE, at, peer) for at in columns]
        where = [column + (place - (len(CALLERS) - 1) / 2) * width for column in range(len(columns))]
        heights = [each.median for each in spreads]
        errors = [[each.median - each.least for each in spreads], [each.most - each.median for each in spreads]]
        axes.bar(where, heights, width * 0.92, yerr=errors, color=_COLOURS[peer], label=peer, ecolor="#555", capsize=2)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_ylabel("run() per second; more is better")
    axes.set_title("Throughput: median of the rounds, smallest to largest", loc="left")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(ncols=len(CALLERS), loc="outside lower center", frameon=False)
    _save(figure, path)


def latency(results: Results, path: Path) -> None:
    """Draw a line per peer, with a mark for each percentile."""
    columns = _columns(results, _TIME)
    figure, axes = pyplot.subplots(figsize=(9, 3.8), layout="constrained")
    for row, peer in enumerate(CALLERS):
        middles = [_spread(results, _TIME, at, peer).median for at in columns]
        axes.plot(middles, [row] * len(middles), color=_COLOURS[peer], linewidth=2, alpha=0.5)
        for value, mark in zip(middles, "o|D", strict=False):
            axes.plot(value, row, mark, color=_COLOURS[peer], markersize=10 if mark == "|" else 6, markeredgewidth=2)
        axes.annotate(
            f"{middles[0]:.2f} ms", (middles[0], row), (0, 9), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if str(value).strip("0.")[:1] in "25" else "")
    axes.set_yticks(range(len(CALLERS)), list(CALLERS))
    axes.set_ylim(len(CALLERS) - 0.5, -0.7)
    axes.set_xlabel("ms for one run(), logarithmic; less is better")
    axes.set_title("Latency: ● p50   | p95   ◆ p99, medians of the rounds", loc="left")
    axes.grid(axis="x", which="both", alpha=0.3)
    _save(figure, path)


def _columns(results: Results, table: tuple[str, str]) -> list[str]:
    return list(dict.fromkeys(key.at for key in results.rounds if (key.case, key.measure) == table))


def _spread(results: Results, table: tuple[str, str], at: str, peer: str) -> Spread:
    return results.spread(Key(*table, at, peer)) or Spread(0, 0, 0)


def _save(figure: pyplot.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    print(path.name)


if __name__ == "__main__":
    main()
