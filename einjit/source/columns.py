"""Write sums of few columns, over rows that are read a vector at a time."""

import math
from contextlib import ExitStack

from einjit.names import index_name
from einjit.plan.columns import Columns
from einjit.plan.nest import BLOCK
from einjit.source.elements import ELEMENTS
from einjit.source.writer import Writer


def write_columns(nest: Columns, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last of the nest."""
    _ColumnsWriter(nest, writer).write()


class _ColumnsWriter:
    def __init__(self, nest: Columns, writer: Writer) -> None:
        self.nest, self.w = nest, writer
        self.rows = index_name(nest.rows)
        self.sums = nest.columns * max(1, nest.others)

    def write(self) -> None:
        nest, w = self.nest, self.w
        with w.block("def contract(first, last, operands, sizes):"):
            for number, (name, dtype) in enumerate(zip(nest.operands, nest.dtypes, strict=True)):
                w.line(f"{name} = restrict(operands[{number}], {ELEMENTS[dtype].carrier})")
            w.line("# extents n_a; strides A_a in elements, where they are not known")
            for number, (name, _, _) in enumerate(nest.sizes()):
                w.line(f"{name} = sizes[{number}]")
            kind = ELEMENTS[nest.compute].compute
            w.line(f"sums = scratch({self.sums}, {kind})")
            one = not nest.outer and nest.span is None
            tiles = "one tile" if one else "parallel"
            with w.block(f"for {'_' if one else 'tile'} in range(first, last):", tiles):
                self._decode()
                with w.block(f"for step in range({self.sums}):"):
                    w.line(f"sums[step] = {kind}(0)")
                self._sum()
                self._store()
            w.drop_unused()

    def _decode(self) -> None:
        """The values of the free loops outside, and the rows of a span."""
        nest, w, joint = self.nest, self.w, "tile"
        for i in reversed(nest.outer):
            name = index_name(i)
            last = i == nest.outer[0] and nest.span is None
            w.line(f"{name} = {joint}" + f" % n_{name}" * (not last))
            if not last:
                w.line(f"rest = {joint} // n_{name}")
                joint = "rest"
        end = f"n_{self.rows}"
        if nest.span is not None:
            w.line(f"piece = {joint}")
            w.line("begin = piece * span")
            end = f"minimum({end} - begin, span)"
        w.line(f"length = {end}", "rows")

    def _sum(self) -> None:
        """Add what the contracted loops run through, a block of rows at a time."""
        nest, w = self.nest, self.w
        names, elements = nest.operands, [nest.columns, nest.others or nest.columns]
        with ExitStack() as stack:
            for i in nest.contracted[:-1]:
                name = index_name(i)
                stack.enter_context(w.block(f"for {name} in range(n_{name}):", "contracted"))
            places = []
            for number, count in zip(range(len(names) - 1), elements, strict=False):
                name = names[number]
                parts = [f"{index_name(i)} * {name}_{index_name(i)}" for i in self._loops(number)]
                times = f" * {count}" * (count > 1)
                parts += [f"begin{times}"] * (nest.span is not None)
                w.total(f"at_{name}", parts)
                places.append(f"{name}, at_{name} + row{times}")
            # Each sum in a register is of every so many rows: those that fill whole vectors.
            step = BLOCK * nest.lanes // math.gcd(nest.columns, nest.lanes)
            with w.block(f"for block in range(parts(length, {step})):", "of rows"):
                w.line(f"row = block * {step}")
                rows = f"minimum(length - row, {step})"
                how = f"{nest.far:d}, {nest.compute == 'bool':d}, {nest.lanes}"
                if len(places) == 1:
                    w.line(f"column_sums(sums, {places[0]}, {rows}, {nest.columns}, {how})")
                    return
                w.line(f"rows = {rows}")
                for first, last in nest.sets:
                    counts = f"{nest.columns}, {nest.others}, {first}, {last}"
                    given = f"{', '.join(places)}, rows, {counts}, {how}"
                    w.line(f"column_products(sums, {given})")

    def _loops(self, operand: int) -> list[int]:
        """The loops of an operand outside of its rows."""
        return [i for i in self.nest.terms[operand] if i < self.nest.rows]

    def _store(self) -> None:
        nest, w = self.nest, self.w
        name, last = nest.operands[-1], len(nest.terms) - 1
        parts = [f"{index_name(i)} * {name}_{index_name(i)}" for i in self._loops(last)]
        parts += [f"piece * {name}_tile"] * (nest.span is not None)
        w.total("at", parts)
        column, place = index_name(nest.loops - 1), "at"
        with ExitStack() as stack:
            if nest.others > 1:
                other = index_name(nest.loops - 2)
                stack.enter_context(w.block(f"for {other} in range({nest.others}):"))
                place += f" + {other} * {name}_{other}"
                number = f"{other} * {nest.columns} + {column}"
            else:
                number = column
            stack.enter_context(w.block(f"for {column} in range({nest.columns}):"))
            w.line(f"{name}[{place} + {column} * {name}_{column}] = sums[{number}]")
