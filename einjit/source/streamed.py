"""Write products of vectors, whose whole lines go past the caches or not."""

from contextlib import ExitStack

from einjit.names import index_name
from einjit.plan.streamed import Streamed
from einjit.source.elements import ELEMENTS
from einjit.source.nest import NestWriter
from einjit.source.writer import Writer


def write_streamed(nest: Streamed, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last of the nest."""
    _StreamedWriter(nest, writer).write()


class _StreamedWriter(NestWriter):
    nest: Streamed

    def write(self) -> None:
        super().write()
        self.w.drop_unused()

    def _close(self) -> None:
        if self.nest.past:
            self.w.line("settle()")

    def _store_products(self, stack: ExitStack) -> None:
        """A run of the result: elements up to a cache line's start, if they go past the caches,
        vectors, and the rest."""
        nest, w, x, lanes = self.nest, self.w, index_name(self.inner), self.nest.lanes
        start, stop = ("low", "high") if nest.strip else ("0", self._extent())
        c, at = self._placed(len(nest.terms) - 1)
        begin, write = start, "store"
        if nest.past:
            begin, write = "begin", "store_past"
            w.line(f"{x} = {start}")
            w.line(f"begin = minimum({x} + to_line({c}, {at}), {stop})")
        length = stop if begin == "0" else f"({stop} - {begin})"
        before = "" if begin == "0" else f"{begin} + "
        w.line(f"vectors = {length} // {lanes}")
        factor = self.factors[-1] if self.factors else ""
        if factor:
            w.line(f"factor = fill({factor}, {lanes})")
        if nest.past:
            self._elements(start, begin)
        with w.block("for step in range(vectors):", "innermost"):
            w.line(f"{x} = {before}step * {lanes}")
            loaded = [
                f"load({name}, {at}, 1, {lanes})" for name, at in map(self._placed, self.waiting)
            ]
            made, *others = ["factor"] * bool(factor) + loaded
            if not made.isidentifier():
                w.line(f"made = {made}")
                made = "made"
            for other in others:
                w.line(f"made = multiplied({made}, {other})")
                made = "made"
            w.line(f"{write}({made}, {c}, {at})")
        self._elements(f"{before}vectors * {lanes}", stop)

    def _elements(self, start: str, stop: str) -> None:
        """Elements that fill no vector, one by one."""
        limits = f"{start}, {stop}".removeprefix("0, ")
        with self._apart(), self.w.block(f"for {index_name(self.inner)} in range({limits}):"):
            value = self._term()
            if not (ELEMENTS[self.nest.compute].exact or self.nest.copies):
                value = f"{value} + {self.compute}(0)"
            self._store(value)
