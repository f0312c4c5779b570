"""The structure of a loop nest: all that its source depends on, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from einjit.names import index_name, operand_name, term

STRIP = 32 << 10
"""Bytes of a strip: the piece of the innermost free loop whose sums are kept in the cache. Long
strips read memory in long runs. Measured, four rows at a time: from half to twice as long, a matrix
of 800 MB times a vector takes as long or up to a third more."""


FAR_STRIP = 128 << 10
"""The same where the rows come from memory, which is read in runs as long; the sums are in the L2
cache then. Measured together with FAR_TOGETHER: 0.80 to 0.98 of the time."""

STRIPS = 16
"""Strips of sums that are tiles are so many, or a multiple of it: cores share them evenly."""


def strip_length(compute: str, far: bool = False) -> int:
    """Elements that a strip of sums of this type has at most, of rows that are `far`."""
    return (FAR_STRIP if far else STRIP) // np.dtype(compute).itemsize


TOGETHER = 4
"""Sums, or rows that are added to the sums of a strip, that are taken in one go: they share loads
and stores, and memory is read from as many places at once."""

SHORT_ROW = 32
"""Extent of an innermost loop up to which it is a number in the source: a loop of unknown length is
unrolled for long ones."""

BLOCK = 256
"""Terms that are summed one after the other before they are added to the total. numpy's test of a
sum to 15 decimals passes with it (a plain loop misses by three digits)."""


def strip_loop(loops: int, contracted: Sequence[int]) -> int | None:
    """Of so many loops the one that is run in strips: the innermost free one, unless all contracted
    ones are inside it."""
    free = [i for i in range(loops) if i not in contracted]
    if not free or (contracted and free[-1] < min(contracted)):
        return None
    return free[-1]


@dataclass(frozen=True, slots=True)
class Nest:
    """A loop nest: loops 0, 1, … from the outermost, free ones first, then the contracted ones,
    the innermost of either kind. A free loop may stand between contracted ones and the innermost.

    `terms` has the loops of each operand, the result last; `unit` says which of them have unit
    stride along the innermost loop; `dtypes` are theirs, and sums are held as `compute`. Tiles are
    what runs in parallel: the iterations of the first `tile` loops and, with `strip`, of the
    strips of the innermost loop; or, with `span`, fixed pieces of that contracted loop, each of
    which gives a result of its own. `short` sums have no more than BLOCK terms. The loops
    from `unrolled` on have a known few iterations: `constants` are those of `sizes()` that the
    source holds as numbers. With `together`, rows are taken TOGETHER at a time: the rows of terms
    that are added to a strip, or the sums of as many iterations of loop 0, which are a tile then.
    With `far`, rows that come from memory are added to long strips, all as long, so many at a time.
    With `lanes`, such rows are added as vectors of so many elements: complex ones, whose parts LLVM
    takes apart for each, or short ones to their end. What follows the short rows of the operands
    `asked` is asked for, since they come from memory.
    """

    terms: tuple[tuple[int, ...], ...]
    unit: tuple[bool, ...]
    dtypes: tuple[str, ...]
    compute: str
    loops: int
    tile: int = 0
    strip: bool = False
    span: int | None = None
    short: bool = False
    unrolled: int | None = None
    together: bool = False
    far: int = 0
    asked: tuple[int, ...] = ()
    constants: tuple[tuple[str, int], ...] = ()
    lanes: int = 0

    def __str__(self) -> str:
        """The step in the field's notation: `ab,bc->ac`, its letters those of the loops."""
        return ",".join(map(term, self.terms[:-1])) + "->" + term(self.terms[-1])

    @property
    def needs(self) -> tuple[()]:
        """A nest calls no other kernel."""
        return ()

    @property
    def contracted(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.loops) if i not in self.terms[-1])

    def is_held(self, operand: int) -> bool:
        """Whether an operand has no other loops than unrolled ones: it is read once and held."""
        loops = self.terms[operand]
        return self.unrolled is not None and bool(loops) and min(loops) >= self.unrolled

    @property
    def unrolls_inside(self) -> bool:
        """Whether there is a loop between the tiles and what is unrolled. Vectors had better run
        along it; what it does not change may be too much for the registers."""
        return self.unrolled is not None and self.unrolled > self.tile

    @property
    def known_inside(self) -> bool:
        """Whether all loops inside of the tiles have a known number of iterations."""
        known = {name for name, _ in self.constants}
        return all(f"n_{index_name(i)}" in known for i in range(self.tile, self.loops))

    @property
    def sums_innermost(self) -> bool:
        """Whether the innermost loop is contracted: its sum is held in a register."""
        return bool(self.contracted) and self.contracted[-1] == self.loops - 1

    @property
    def strip_loop(self) -> int | None:
        """The free loop that is run in strips; None where each sum is held in a register."""
        return strip_loop(self.loops, self.contracted)

    @property
    def even(self) -> bool:
        """Whether strips are as long as each other: those of rows that are added are, as tiles."""
        return self.far > 0 or (self.strip and bool(self.contracted) and not self.sums_innermost)

    @property
    def strip_length(self) -> int:
        """Elements that a strip has at most."""
        return strip_length(self.compute, self.far > 0)

    @property
    def rows_together(self) -> int:
        """How many rows are taken at a time where they are taken `together`."""
        return self.far or TOGETHER

    @property
    def takes_together(self) -> bool:
        """Whether several rows share loads and stores: those that are added to the sums of a strip,
        or those of a matrix that is multiplied with a vector."""
        if not self.sums_innermost:
            return bool(self.contracted)
        shared = any(0 not in loops and self.loops - 1 in loops for loops in self.terms[:-1])
        return shared and self.loops == 2 and self.tile == 1 and self.span is None

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        if not self.contracted:
            return "product"
        return "register_sum" if self.strip_loop is None else "strip_sum"

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        lines = [
            f"{name}[{', '.join(map(index_name, indices))}]: {dtype}"
            for name, indices, dtype in zip(self.operands, self.terms, self.dtypes, strict=True)
        ]
        if self.contracted:
            lines[-1] += f", summed in {self.compute}"
        for i in range(self.loops):
            role = "contracted" if i in self.contracted else "free"
            notes = [role]
            if i == self.span:
                notes.append("its spans run in parallel")
            elif i < self.tile:
                notes.append("runs in parallel")
            if i == self.loops - 1:
                unit = [n for n, u in zip(self.operands, self.unit, strict=True) if u]
                notes.append("innermost")
            if i == self.strip_loop and self.strip:
                notes.append("its strips run in parallel")
            if i == self.loops - 1 and unit:
                notes.append(f"unit stride in {', '.join(unit)}")
            lines.append(f"{index_name(i)}: {', '.join(notes)}")
        return lines

    @property
    def operands(self) -> tuple[str, ...]:
        return tuple(operand_name(number) for number in range(len(self.terms)))

    def sizes(self) -> list[tuple[str, int | None, int]]:
        """What the compiled kernel is handed besides addresses, in this order: the name, and where
        the value is found: (None, loop) an extent, (operand, loop) a stride in elements.

        Of a nest with spans, the extent of loop `loops` is the span, and the result's stride along
        it goes from one span's result to the next.
        """
        # The outermost tile loop is given as first..last, so nothing asks for its extent.
        given = 1 if self.tile and not (self.together and self.sums_innermost) else 0
        found: list[tuple[str, int | None, int]] = [
            (f"n_{index_name(i)}", None, i) for i in range(given, self.loops)
        ]
        for number, (name, indices) in enumerate(zip(self.operands, self.terms, strict=True)):
            found += [
                (f"{name}_{index_name(i)}", number, i)
                for i in indices
                if not (self.unit[number] and i == self.loops - 1)
            ]
        if self.span is not None:
            found += [("span", None, self.loops)]
            found += [(f"{self.operands[-1]}_tile", len(self.terms) - 1, self.loops)]
        known = dict(self.constants)
        return [size for size in found if size[0] not in known]
