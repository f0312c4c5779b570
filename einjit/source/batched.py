"""Write small products: register tiles straight from the operands to the result."""

import math
from contextlib import ExitStack

from einjit.names import index_name
from einjit.plan.batched import Batched, Heights
from einjit.source.nest import NestWriter
from einjit.source.writer import Writer


def write_batched(nest: Batched, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last of the nest."""
    _BatchedWriter(nest, writer).write()


class _BatchedWriter(NestWriter):
    nest: Batched

    def write(self) -> None:
        nest, w = self.nest, self.w
        tiled = nest.tile_loops
        with w.block("def contract(first, last, operands, sizes):"):
            self._unpack()
            if not nest.unit[1]:
                size = math.prod(self.extents[i] for i in tiled[1:])
                w.line(f"turned = scratch({size}, {nest.compute})", "B, its columns side by side")
            if nest.turns_once:
                self._place(1)
                self._turn()
            with ExitStack() as stack:
                self._open_tiles(stack)
                if nest.boxes is None:
                    self._matrix(nest.heights)
                else:
                    self._open_loops(stack, list(range(nest.tile, nest.boxes + 1)), "free")
                    self._box()
            if nest.past:
                w.line("settle()")
        w.drop_unused()

    def _box(self) -> None:
        """A box of many rows; where it is not whole, one row after the other."""
        nest, w = self.nest, self.w
        height = math.prod(nest.heights[0])
        w.line(f"row = {index_name(nest.boxes or 0)} * {height}", "of a box")
        w.line(f"rest = rows - row if row + {height} > rows else 0")
        with w.block("if rest == 0:"):
            self._matrix(nest.heights)
        with w.block("for _ in range(rest):"):
            self._matrix(((1, 1),))
            w.line("row += 1")

    def _matrix(self, heights: Heights) -> None:
        """A product in tiles of these heights."""
        nest, tiled = self.nest, self.nest.tile_loops
        first = nest.tile if nest.boxes is None else max(nest.tile, nest.boxes + 1)
        loops = [i for i in range(first, nest.loops) if i not in tiled]
        free = [i for i in loops if i not in nest.contracted]
        contracted = [i for i in loops if i in nest.contracted]
        before = " + ".join(map(index_name, contracted)) or "0"
        with ExitStack() as stack:
            self._open_loops(stack, free, "free")
            self._open_loops(stack, contracted, "contracted")
            for operand in range(3):
                self._place(operand)
            if not (nest.unit[1] or nest.turns_once):
                self._turn()
            top = 0
            for number, height in heights:
                self._tiles(top, number, height, before)
                top += number * height

    def _turn(self) -> None:
        """Copy a matrix of B with its columns side by side."""
        w, b = self.w, self.nest.operands[1]
        _, terms, columns = map(index_name, self.nest.tile_loops)
        with (
            w.block(f"for {terms} in range(n_{terms}):"),
            w.block(f"for {columns} in range(n_{columns}):"),
        ):
            place = f"at_{b} + {terms} * {b}_{terms} + {columns} * {b}_{columns}"
            w.line(f"turned[{terms} * n_{columns} + {columns}] = {b}[{place}]")

    def _tiles(self, top: int, number: int, height: int, before: str) -> None:
        """So many tiles below each other, each of them for every width."""
        w, rows = self.w, index_name(self.nest.tile_loops[0])
        with ExitStack() as stack:
            if number > 1:
                stack.enter_context(w.block(f"for box in range({number}):", f"tiles of {rows}"))
                w.line(f"{rows} = box * {height}")
            else:
                w.line(f"{rows} = {top}")
            left = 0
            for vectors, lanes in self.nest.widths:
                self._tile(left, (height, vectors, lanes), before)
                left += vectors * lanes

    def _place(self, operand: int) -> None:
        """Where the matrix of an operand begins."""
        nest, name = self.nest, self.nest.operands[operand]
        rows = index_name(nest.tile_loops[0])
        parts = [
            f"row * {name}_{rows}"
            if i == nest.boxes
            else f"{index_name(i)} * {name}_{index_name(i)}"
            for i in nest.terms[operand]
            if i not in nest.tile_loops
        ]
        self.w.total(f"at_{name}", parts)

    def _tile(self, left: int, shape: tuple[int, int, int], before: str) -> None:
        """A register tile of (rows, vectors, lanes), from a column on; it is added to what is there
        unless what is contracted `before` is 0."""
        rows, terms, columns = map(index_name, self.nest.tile_loops)
        a, b, c = self.nest.operands
        right = f" + {left}" * (left > 0)
        factors = f"{a}, at_{a} + {rows} * {a}_{rows}, {a}_{rows}, {a}_{terms}"
        vectors = f"{b}, at_{b}{right}, {b}_{terms}"
        if not self.nest.unit[1]:
            vectors = f"turned, {left}, n_{columns}"
        below = self.nest.below * (left == 0 and shape[0] > 1)
        asked = "0"
        if below:
            beyond = f"at_{a} + ({rows} + {below}) * {a}_{rows}"
            further = f"{a}_{terms}" if self.nest.stands else str(shape[0])
            asked = f"({a}, {beyond}, {further}, n_{terms}, 0)"
        size = f"{shape[0]}, {shape[1]}, 0, 0, {asked}, {shape[2]}"
        self.w.line(f"tile = product({factors}, {vectors}, n_{terms}, {size})")
        place = f"{c}, at_{c} + {rows} * {c}_{rows}{right}, {c}_{rows}"
        if self.nest.past:
            self.w.line(f"update_past(tile, {place}, {shape[2]})")
        else:
            self.w.line(f"update(tile, {place}, {shape[2]}, {before})")
