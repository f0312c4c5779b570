"""Write a copy whose tiles are collected in the cache and written past it."""

from contextlib import ExitStack

from einjit.names import index_name
from einjit.plan.collected import Collected
from einjit.source.elements import ELEMENTS
from einjit.source.tiles import blocks, decode
from einjit.source.writer import Writer


def write_collected(nest: Collected, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last of the copy."""
    _CollectedWriter(nest, writer).write()


class _CollectedWriter:
    def __init__(self, nest: Collected, writer: Writer) -> None:
        self.nest, self.w = nest, writer
        *deep, self.y, self.x = map(index_name, nest.tiles)
        self.z = deep[0] if deep else ""
        self.boxes = [*deep, self.y, self.x]

    def write(self) -> None:
        nest, w, carrier = self.nest, self.w, ELEMENTS[self.nest.compute].carrier
        with w.block("def contract(first, last, operands, sizes):"):
            for number, name in enumerate(nest.operands):
                w.line(f"{name} = restrict(operands[{number}], {carrier})")
            w.line("# extents n_a, those of tiles box_a; strides A_a in elements, where not 1")
            for number, (name, _, _) in enumerate(nest.sizes()):
                w.line(f"{name} = sizes[{number}]")
            for name, value in nest.constants:
                w.line(f"{name} = {value}")
            w.line(f"made = scratch({nest.room}, {carrier})", "a tile of the result")
            for i in self.boxes:
                w.line(f"boxes_{i} = parts(n_{i}, box_{i})")
            with w.block("for tile in range(first, last):", "free, parallel"):
                self._decode()
                if nest.rows:
                    self._collect_rows()
                else:
                    self._collect()
                self._stream()
            w.line("settle()")
        w.drop_unused()

    def _decode(self) -> None:
        """Where a tile lies. The next one is the next along the source's rows, since both may have
        a part of a line."""
        nest, w = self.nest, self.w
        outer = map(index_name, reversed(range(nest.tiles.start)))
        decode(w, "tile", [self.y, self.x, *([self.z] if self.z else []), *outer], self.boxes)
        for i in self.boxes:
            w.line(f"e_{i} = minimum(box_{i}, n_{i} - {i}0)")
        for number, one in enumerate(nest.units):
            name = nest.operands[number]
            loops = [i for i in nest.terms[number] if i <= nest.inner]
            places = [(i, index_name(i) + "0" * (i in nest.tiles)) for i in loops]
            w.total(
                f"at_{name}",
                [place + f" * {name}_{index_name(i)}" * (i != one) for i, place in places],
            )

    def _collect(self) -> None:
        """Transpose the blocks of a tile into the cache, in the order the result has them in."""
        nest, w, x, y, z = self.nest, self.w, self.x, self.y, self.z
        (a, _), lanes = nest.operands, nest.side
        together = z and not nest.whole
        w.line(f"row = e_{z} * e_{x}" if together else f"row = e_{x}", f"from one {y} to the next")
        with ExitStack() as stack:
            source, to = f"at_{a} + {x} * {a}_{x} + {y}", f"{y} * row + {x}"
            if z:
                stack.enter_context(w.block(f"for {z} in range(e_{z}):"))
                source += f" + {z} * {a}_{z}"
                to += f" + {z} * e_{x}" if together else f" + {z} * e_{y} * row"
            loops = [(i, f"e_{i}", f"e_{i}") for i in (x, y)]
            stack.enter_context(blocks(w, loops, lanes, nest.overlaps))
            w.line(f"source, to = {source}, {to}")
            with w.block(f"for step in range({lanes}):"):
                w.line(f"prefetch({a}, source + step * {a}_{x} + ahead)")
            rest = f"{lanes}, {lanes}" if nest.overlaps else f"e_{x} - {x}, e_{y} - {y}"
            w.line(f"turn(made, to, row, {a}, source, {a}_{x}, {rest}, 0, {lanes})")

    def _collect_rows(self) -> None:
        """Move the rows of a tile, in whole vectors: what is behind a row is written after it."""
        nest, w, x, y = self.nest, self.w, self.x, self.y
        (a, _), lanes, r = nest.operands, nest.lanes, index_name(nest.loops - 1)
        w.line(f"row = e_{x} * n_{r}", f"from one {y} to the next")
        with w.block(f"for {y} in range(e_{y}):"), w.block(f"for {x} in range(e_{x}):"):
            w.line(f"source = at_{a} + {y} * {a}_{y} + {x} * {a}_{x}")
            w.line(f"to = {y} * row + {x} * n_{r}")
            with w.block(f"for {r} in range(0, n_{r}, {lanes}):"):
                w.line(f"prefetch({a}, source + {r} + ahead)")
                w.line(f"some = minimum({lanes}, n_{r} - {r})")
                w.line(f"part = load_first({a}, source + {r}, 1, some, {lanes})")
                w.line(f"store(part, made, to + {r})")

    def _stream(self) -> None:
        """Write the tile past the caches, in one run where its rows follow each other."""
        nest, w, x, y, z = self.nest, self.w, self.x, self.y, self.z
        c = nest.operands[1]
        if nest.whole:
            w.line(f"stream(made, 0, {c}, at_{c}, e_{z} * e_{y} * e_{x}, {nest.lanes})")
            return
        w.line(f"rows, length = e_{y}, row")
        with w.block(f"if {c}_{y} == row:"):
            w.line(f"rows, length = 1, e_{y} * row")
        with w.block("for step in range(rows):"):
            w.line(f"at = at_{c} + step * {c}_{y}")
            w.line(f"stream(made, step * length, {c}, at, length, {nest.lanes})")
