"""An engine's own process: it makes a point ready, checks the answer and times the call."""

import os
import time
from collections.abc import Callable
from itertools import repeat
from multiprocessing.connection import Connection
from typing import Any

from einjit.bench.cases import Point
from einjit.bench.check import fault
from einjit.bench.engines import ENGINES, OWN, Call
from einjit.registry import registry

SAMPLE = 2e-4
"""Seconds of one sample: shorter calls are timed several at a time."""

MOST_SAMPLES = 1000

QUIET = 0.005
"""Seconds without work after which an engine's threads are taken to be at rest."""

PATIENCE = 1.0
"""Seconds to wait for that."""


def serve(name: str, asked: "Connection[Any, Any]") -> None:
    """Answer what is asked until nobody asks any more.

    A point makes it ready: the answer is None, or text where the engine fails or is wrong. A
    number of seconds times it: the answer is the seconds that a call took, of each sample.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what a library prints is not part of a table
        os.dup2(nowhere, stream)
    worker = Worker(name)
    while True:
        try:
            question = asked.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            new = isinstance(question, Point)
            answer: Any = worker.prepare(question) if new else worker.time(question)
        except Exception as problem:  # an engine's failure is a result
            lines = str(problem).strip().splitlines() or [""]
            answer = f"{type(problem).__name__}: {lines[0][:120]}"
        rest()
        asked.send(answer)


class Worker:
    """An engine with the call it is ready for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.call: Call = (bool, ())
        if name == OWN:
            registry.fetch_threads()

    def prepare(self, point: Point) -> str | None:
        """Make the call ready and do it once, which may compile; what is wrong with the answer."""
        self.call = (bool, ())  # the memory of the last one is free before the next is taken
        operands = point.operands()
        self.call = function, arguments = ENGINES[self.name].call(point, operands)
        return fault(point, operands, function(*arguments))

    def time(self, seconds: float) -> list[float]:
        """Seconds that a call takes: samples for so long, of which there is at least one."""
        function, arguments = self.call
        end = time.perf_counter() + seconds
        samples = [_mean(function, arguments, 1)]
        count = max(1, int(SAMPLE / max(samples[0], 1e-9)))
        if count > 1:  # the first call was but the measure of the others
            count = max(1, int(SAMPLE / _mean(function, arguments, max(1, count // 8))))
            samples = [_mean(function, arguments, count)]
        while time.perf_counter() < end and len(samples) < MOST_SAMPLES:
            samples.append(_mean(function, arguments, count))
        return samples


def _mean(function: Callable[..., Any], arguments: tuple[Any, ...], count: int) -> float:
    """Seconds a call, of so many; each result is dropped at once."""
    turns = repeat(None, count)
    start = time.perf_counter()
    for _ in turns:
        function(*arguments)
    return (time.perf_counter() - start) / count


def rest() -> None:
    """Wait until no thread of this process works: OpenBLAS's spin on for tens of milliseconds, on
    cores that the next engine needs."""
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(QUIET)
        if time.process_time() - before < QUIET / 10:
            return
