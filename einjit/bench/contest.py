"""The contest: engines in processes of their own take turns on each point, round after round."""

import multiprocessing
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from einjit.bench.cases import Point
from einjit.bench.engines import ENGINES, OWN
from einjit.bench.worker import serve

LONGEST = 60.0
"""Seconds after which an engine is left out of a case."""

SLOW = 1.0
"""Seconds of a call, and"""

FAR = 10
"""how many times the best engine's it takes, for one round of it to do."""


@dataclass
class Row:
    """What became of a point: the seconds that each engine's call took, or what kept it from that.

    `limit` is the least that it can take on this machine, where that was measured.
    """

    point: Point
    level: str = ""
    limit: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> str | None:
        """The fastest peer."""
        peers = [name for name in self.seconds if name != OWN]
        return min(peers, key=self.seconds.__getitem__, default=None)

    @property
    def ratio(self) -> float | None:
        """The fastest peer's time over einjit's: above 1, einjit is ahead."""
        return None if self.best is None else self.over(self.best)

    def over(self, name: str) -> float | None:
        """An engine's time over einjit's, where both are known."""
        if name not in self.seconds or OWN not in self.seconds:
            return None
        return self.seconds[name] / self.seconds[OWN]

    @property
    def share(self) -> float | None:
        """The limit over einjit's time: 1 is the limit."""
        own = self.seconds.get(OWN)
        return None if self.limit is None or own is None else self.limit / own


class Contest:
    """The engines' processes, for a `with` block; an engine whose process ends gets another.

    `limit` measures the least seconds that a point can take; it has a turn in each round as well.
    """

    def __init__(
        self,
        names: Sequence[str],
        rounds: int,
        seconds: float,
        limit: Callable[[Point], float] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.rounds = rounds
        self.limit = limit
        self.turn = seconds / rounds / len(names)
        self._processes: dict[str, _Process] = {}

    def __enter__(self) -> "Contest":
        self._processes = {name: _Process(name) for name in self.names}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes.values():
            process.end()

    def rows(self, points: Iterable[Point]) -> Iterator[Row]:
        """A row for each point, when it is done."""
        return map(self._row, points)

    def _row(self, point: Point) -> Row:
        row = Row(point)
        for name in self.names:
            if point.loops > ENGINES[name].most_loops:
                row.problems[name] = f"left out: {point.loops:.0e} iterations in one loop nest"
            elif problem := self._processes[name].ask(point):
                row.problems[name] = problem
        samples: dict[str, list[float]] = {n: [] for n in self.names if n not in row.problems}
        limits = []
        for _ in range(self.rounds):
            if self.limit:
                limits.append(self.limit(point))
                row.limit = statistics.median(limits)
            for name in self._worth_a_turn(row.seconds, samples):
                answer = self._processes[name].ask(self.turn)
                if isinstance(answer, str):
                    row.problems[name] = answer
                    row.seconds.pop(name, None)
                    del samples[name]
                else:
                    samples[name] += answer
                    row.seconds[name] = statistics.median(samples[name])
        return row

    @staticmethod
    def _worth_a_turn(seconds: dict[str, float], samples: dict[str, list[float]]) -> list[str]:
        """The engines left, without those that are far behind and take long to be so."""
        best = min(seconds.values(), default=0.0)
        bound = max(SLOW, FAR * best)
        return [name for name in samples if seconds.get(name, 0.0) <= bound]


class _Process:
    """An engine's process, started anew where it ended or had to be ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._answers, asked = context.Pipe()
        self._process = context.Process(target=serve, args=(self.name, asked), daemon=True)
        self._process.start()
        asked.close()

    def ask(self, question: Any) -> Any:
        """What the process answers, or text that says why it does not."""
        try:
            self._answers.send(question)
            if self._answers.poll(LONGEST):
                return self._answers.recv()
            problem = f"left out: over {LONGEST:.0f} s"
        except (EOFError, OSError):
            self._process.join()
            problem = f"its process ended with {self._process.exitcode}"
        self.end()
        self._start()
        return problem

    def end(self) -> None:
        """End the process."""
        self._answers.close()
        self._process.kill()
        self._process.join()
