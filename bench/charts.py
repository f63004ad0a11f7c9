"""The charts: plain, labelled with units, small enough for a documentation page. Without matplotlib there are none."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COLOURS = ("#1f5fa8", "#8c8c8c", "#c4622d", "#3a8a55", "#7a4fa3", "#b0a030")
OURS = "Elastic Jobs"
_DPI = 100


def available() -> bool:
    """Whether charts can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


@contextmanager
def figure(file: Path, *, columns: int = 1, height: float = 3.6) -> Iterator[Sequence[Any]]:
    """Axes to draw on, side by side; written to ``file`` afterwards."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        drawn, axes = pyplot.subplots(1, columns, figsize=(4.9 * columns, height), layout="constrained", squeeze=False)
        try:
            yield list(axes[0])
            file.parent.mkdir(parents=True, exist_ok=True)
            drawn.savefig(file, dpi=_DPI, metadata={"Software": None})
        finally:
            pyplot.close(drawn)


def bars(axes: Any, values: Mapping[str, tuple[float, float, float]], *, title: str, unit: str) -> None:
    """Horizontal bars of (median, least, most) with their values."""
    names = list(values)[::-1]
    medians = [values[name][0] for name in names]
    low = [max(0.0, values[name][0] - values[name][1]) for name in names]
    high = [max(0.0, values[name][2] - values[name][0]) for name in names]
    colours = [COLOURS[0] if name.startswith(OURS) else COLOURS[1] for name in names]
    spread = {"xerr": [low, high], "error_kw": {"elinewidth": 1, "capsize": 3}} if any(low + high) else {}
    axes.barh(names, medians, color=colours, **spread)
    room = max((values[name][2] for name in names), default=1.0) or 1.0
    for place, (median, up) in enumerate(zip(medians, high, strict=True)):
        axes.annotate(
            _short(median), (median + up, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_xlim(0, room * 1.18)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(unit)


def stacked(axes: Any, values: Mapping[str, Mapping[str, float]], *, title: str, unit: str) -> None:
    """Horizontal bars, each made of named parts that have the same colour everywhere."""
    names = list(values)[::-1]
    parts = list(dict.fromkeys(part for row in values.values() for part in row))
    left = [0.0] * len(names)
    for number, part in enumerate(parts):
        widths = [values[name].get(part, 0.0) for name in names]
        axes.barh(names, widths, left=left, label=part, color=COLOURS[number % len(COLOURS)])
        left = [before + width for before, width in zip(left, widths, strict=True)]
    for place, total in enumerate(left):
        axes.annotate(_short(total), (total, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_xlim(0, max(left, default=1.0) * 1.18)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(unit)
    axes.figure.legend(loc="outside lower right", ncols=len(parts), fontsize=8, frameon=False)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def lines(
    axes: Any,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    markers: bool = True,
) -> None:
    """One line per name, through (x values, y values)."""
    for number, (name, (across, up)) in enumerate(series.items()):
        axes.plot(
            across, up, marker="o" if markers else "", markersize=4, label=name, color=COLOURS[number % len(COLOURS)]
        )
    if log_x:
        axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if len(series) > 1:
        axes.legend(fontsize=8, frameon=False)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
