"""The runs of the benchmark: engines compared, and the price of a call."""

import platform
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any

from einjit.bench.cases import Point
from einjit.bench.contest import Contest, Row
from einjit.bench.engines import OWN, installed, version_of
from einjit.bench.levels import PRIVATE, level_of
from einjit.bench.limits import Limits, bandwidth_now, measure, stream_like
from einjit.bench.summary import failures, means_of, row_facts
from einjit.bench.table import Table, comparison, means_lines, prices, problem_lines

Show = Callable[[str], None]
Report = tuple[dict[str, Any], str]
"""What is told as JSON, and the text that ends the table."""

NUMPY = "numpy"
"""The peer that the price of a call is compared with."""


def compare(
    points: Sequence[Point], peers: Sequence[str], rounds: int, seconds: float, show: Show
) -> Report:
    """einjit beside the best of its peers and beside the limits of the machine, case by case."""
    engines = _engines(peers, show)
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:  # its arrays and threads go with it
        limits = apart.submit(measure, points).result()
        show("\n".join(_limit_lines(limits)))

        def level(point: Point) -> str:
            return level_of(point.bytes, limits.threads)

        def limit(point: Point) -> float:
            where = level(point)
            if where in PRIVATE:
                return limits.seconds(point)
            now = apart.submit(bandwidth_now, limits.threads, where, stream_like(point)).result()
            return limits.seconds(point, now)

        def with_level(row: Row) -> Row:
            row.level = level(row.point)
            return row

        with Contest(engines, rounds, seconds, limit) as contest:
            rows = _collect(map(with_level, contest.rows(points)), comparison(points), show)
    return _report(rows, engines, limits=asdict(limits))


def price_calls(
    points: Sequence[Point], peers: Sequence[str], rounds: int, seconds: float, show: Show
) -> Report:
    """What a call costs where the arithmetic costs nothing, beside np.einsum's."""
    engines = _engines(peers, show)
    with Contest(engines, rounds, seconds) as contest:
        rows = _collect(contest.rows(points), prices(points, engines), show)
    return _report(rows, engines, peer=NUMPY)


def _engines(peers: Sequence[str], show: Show) -> list[str]:
    """einjit and those of the peers that are installed."""
    engines = [OWN, *(name for name in peers if installed(name))]
    show("engines: " + ", ".join(f"{name} {version_of(name)}" for name in engines))
    if absent := [name for name in peers if name not in engines]:
        show("not installed: " + ", ".join(absent))
    return engines


def _limit_lines(limits: Limits) -> list[str]:
    """The limits, as they are printed."""
    peaks = ", ".join(f"{dtype} {rate / 1e9:.0f}" for dtype, rate in limits.peak.items())
    lines = [f"limits of {limits.threads} threads, in GFLOP/s: {peaks}"]
    for level, streams in limits.bandwidth.items():
        rates = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in streams.items())
        lines.append(f"  {level} in GB/s: {rates}")
    return lines


def _collect(found: Iterable[Row], table: Table, show: Show) -> list[Row]:
    """The rows, each shown when it is there; those so far where the user stops the run."""
    rows: list[Row] = []
    try:
        for row in found:
            group = row.point.case.group
            if not rows or rows[-1].point.case.group != group:
                show(f"\n{group}\n{table.head}")
            show(table.line(row))
            rows.append(row)
    except KeyboardInterrupt:
        show("stopped")
    return rows


def _report(
    rows: Sequence[Row], engines: Sequence[str], peer: str | None = None, **more: Any
) -> Report:
    """All that was found, and the text behind the table: means and problems."""
    means = means_of(rows, peer)
    facts = {
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "engines": {name: version_of(name) for name in engines},
        **more,
        "rows": [row_facts(row) for row in rows],
        "means": {name: asdict(mean) for name, mean in means.items()},
        "failed": failures(rows),
    }
    return facts, "\n".join(["", *means_lines(means), *problem_lines(rows)])
