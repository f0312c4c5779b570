"""What many rows come to, and what is told of each as JSON."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from einjit.bench.contest import Row
from einjit.bench.engines import OWN
from einjit.bench.levels import MEMORY

ALL = "all"

FAR = "beyond the caches"
"""The rows whose operands and result no cache holds: a group across the others."""


@dataclass(frozen=True)
class Means:
    """Geometric means over some rows, and the worst of them; None where nothing was measured."""

    cases: int
    ratio: float | None
    worst_ratio: float | None
    worst_ratio_case: str | None
    share: float | None
    worst_share: float | None
    worst_share_case: str | None


def means_of(rows: Sequence[Row], peer: str | None = None) -> dict[str, Means]:
    """The means of each group, of the rows in memory, and of all where there are several groups.

    The ratio is to the best peer of each row, or to the same one in all.
    """
    groups = dict.fromkeys(row.point.case.group for row in rows)
    found = {g: _means([row for row in rows if row.point.case.group == g], peer) for g in groups}
    if len(groups) > 1:
        if far := [row for row in rows if row.level == MEMORY]:
            found[FAR] = _means(far, peer)
        found[ALL] = _means(rows, peer)
    return found


def _means(rows: Sequence[Row], peer: str | None) -> Means:
    ratios = [(row.ratio if peer is None else row.over(peer), _name(row)) for row in rows]
    shares = [(row.share, _name(row)) for row in rows]
    return Means(len(rows), *_mean_and_worst(ratios), *_mean_and_worst(shares))


def _mean_and_worst(
    values: Iterable[tuple[float | None, str]],
) -> tuple[float | None, float | None, str | None]:
    found = [(value, name) for value, name in values if value is not None]
    if not found:
        return None, None, None
    return statistics.geometric_mean(value for value, _ in found), *min(found)


def _name(row: Row) -> str:
    """What a row is known by: its case, dtype and sizes."""
    return f"{row.point.case.name} {row.point.dtype} {row.point.sizes_text}"


def failures(rows: Iterable[Row]) -> list[str]:
    """The cases that einjit itself could not do, or not right."""
    return [f"{_name(row)}: {row.problems[OWN]}" for row in rows if OWN in row.problems]


def row_facts(row: Row) -> dict[str, Any]:
    """A row for JSON: times in seconds."""
    case = row.point.case
    return {
        "suite": case.suite,
        "group": case.group,
        "case": case.name,
        "equation": case.equation,
        "sizes": dict(row.point.sizes),
        "dtype": row.point.dtype,
        "flops": row.point.flops,
        "bytes": row.point.bytes,
        "level": row.level or None,
        "limit": row.limit,
        "seconds": row.seconds,
        "best": row.best,
        "ratio": row.ratio,
        "share": row.share,
        "problems": row.problems,
    }
