"""The limits of this machine: what no engine can pass, measured in the run that they are used in,
and what all cores share once more beside each case: neighbours take of it as they come and go.

Arithmetic is measured with chains of multiply-adds that never leave the registers, as for the
roofline model (Williams, Waterman, Patterson, CACM 52(4), 2009). Bandwidth is measured as STREAM
does (McCalpin, 1995): arrays are read, added, copied and written, and the bytes that count are
those of the arrays; they fill a part of a level of memory. All threads work at once. `machine_code`
has the loops.
"""

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from einjit.bench.cases import Point
from einjit.bench.levels import MEMORY, PRIVATE, footprints, level_of
from einjit.bench.machine_code import CHAINS, UNROLLED, Loop, chains, stream
from einjit.thread_count import get_num_threads

VECTORS = (16, 32, 64)
"""Bytes of a vector: each is tried, and the fastest counts."""

STREAMS = {"read": (1, 0), "add": (2, 1), "copy": (1, 1), "write": (0, 1)}
"""Arrays read and arrays written."""

FACTOR = 0x5555555555555555
"""What integers are multiplied by, whatever their width."""

REPEATS = 5
"""Spread over the whole measurement, so that a neighbour's burst does not pass for a limit."""

LEAST = 0.01
"""Seconds of one measurement: threads are handed their part in less than a hundredth of it."""

Rate = Callable[[], float]


@dataclass(frozen=True)
class Limits:
    """FLOP/s of each dtype, and bytes/s of each level and stream, of `threads` threads together."""

    threads: int
    peak: dict[str, float]
    bandwidth: dict[str, dict[str, float]]

    def seconds(self, point: Point, bandwidth: float | None = None) -> float:
        """The least that a point can take: its FLOPs at the peak, or its bytes at the bandwidth of
        the level that holds them, or at the one given."""
        if bandwidth is None:
            bandwidth = self.bandwidth[level_of(point.bytes, self.threads)][stream_like(point)]
        return max(point.flops / self.peak[point.dtype], point.bytes / bandwidth)


def measure(points: Sequence[Point]) -> Limits:
    """The limits of what some points need, with as many threads as einjit uses."""
    threads = get_num_threads()
    dtypes = dict.fromkeys(point.dtype for point in points)
    levels = dict.fromkeys(level_of(point.bytes, threads) for point in points)
    peaks = {dtype: [_arithmetic(threads, dtype, width) for width in VECTORS] for dtype in dtypes}
    streams = {
        (level, name): rates for level in levels for name, rates in _moves(threads, level).items()
    }
    ways: dict[Any, list[Rate]] = {**peaks, **streams}
    best = dict.fromkeys(ways, 0.0)
    for _ in range(REPEATS):
        for what, rates in ways.items():
            best[what] = max(best[what], *(rate() for rate in rates))
    return Limits(
        threads,
        {dtype: best[dtype] for dtype in dtypes},
        {level: {name: best[level, name] for name in STREAMS} for level in levels},
    )


def bandwidth_now(threads: int, level: str, name: str) -> float:
    """Bytes/s of a stream in this moment, which is that of the work measured beside it."""
    return max(rate() for rate in _moves(threads, level)[name])


def stream_like(point: Point) -> str:
    """The stream whose share of writes is nearest to that of a point."""
    share = point.writes / max(1, point.bytes)
    return min(STREAMS, key=lambda name: abs(STREAMS[name][1] / sum(STREAMS[name]) - share))


def _arithmetic(threads: int, dtype: str, width: int) -> Rate:
    """FLOP/s of chains of multiply-adds, for bool of and-ors; for complex those of its parts."""
    kind = np.dtype(dtype)
    bits = 8 * kind.itemsize // (2 if kind.kind == "c" else 1)
    loop = chains("float" if kind.kind in "fc" else kind.name, bits, 8 * width // bits)
    buffers = [aligned_bytes(CHAINS * width) for _ in range(threads)]
    return _rate(loop, buffers, FACTOR, 2.0 * CHAINS * (8 * width // bits))


@functools.cache
def _moves(threads: int, level: str) -> dict[str, list[Rate]]:
    """Bytes/s of each stream over arrays that fill the level's footprint: that of its own cache for
    each thread, or its part of what all share.

    Vectors of two lengths; in memory, with stores that go past the caches as well.
    """
    step = UNROLLED * max(VECTORS)
    room = max(3 * step, footprints()[level] // (1 if level in PRIVATE else threads))
    buffers = [aligned_bytes(room) for _ in range(threads)]
    found = {}
    for name, (reads, writes) in STREAMS.items():
        part = room // (reads + writes) // step * step
        found[name] = [
            _rate(stream(reads, writes, width, past), buffers, part, part * (reads + writes))
            for width in VECTORS[1:]
            for past in ((False, True) if level == MEMORY and writes else (False,))
        ]
    return found


def _rate(loop: Loop, buffers: list[np.ndarray[Any, Any]], part: int, unit: float) -> Rate:
    """What as many threads as buffers do in a second: each a `unit` in each turn of the loop."""
    pool = _pool(len(buffers))

    def run(turns: int) -> float:
        start = time.perf_counter()
        list(pool.map(lambda buffer: loop(buffer.ctypes.data, part, turns), buffers))
        return time.perf_counter() - start

    turns = 1
    while run(turns) < LEAST:
        turns *= 2
    return lambda: unit * turns * len(buffers) / run(turns)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def aligned_bytes(size: int) -> np.ndarray[Any, Any]:
    """Bytes that begin at a cache line, and whose pages exist."""
    room = np.ones(size + max(VECTORS), np.uint8)
    start = -room.ctypes.data % max(VECTORS)
    return room[start : start + size]
