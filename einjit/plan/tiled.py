"""The structure of a nest whose result is made tile by tile in the cache.

Where operands have unit stride along different loops, one of them is turned round: a tile of it is
transposed in registers, into the cache, so that each line of memory is read whole and vectors
run along the other loop (Springer et al., *HPTT*, arXiv 1704.04374). Where the result is too large
for the caches, whole lines of its tiles are written past them.
"""

from dataclasses import dataclass

import numpy as np

from einjit.names import index_name
from einjit.plan.nest import Nest

TILE = 16 << 10
"""Bytes of a tile at most."""

TILE_OF_SUMS = 112 << 10
"""The same where sums of a tile wait for all terms: memory is read in longer rows."""

LANES = 16
"""Elements along the side of the largest block that is transposed in registers."""


@dataclass(frozen=True, slots=True)
class Tiled(Nest):
    """A nest in tiles of its two last loops, the innermost of which is free.

    Loops are numbered from the outermost: free ones, contracted ones, then the two of the tiles.
    The `turned` operands have unit stride along the last loop but one and are read through the
    cache, `vector` bytes at a time. With `streams` a product is collected in a tile and written
    past the caches. With `copies` nothing is computed: elements of one operand move as they are.
    Blocks of at most `side` elements square are transposed; with `overlaps` all of them are whole:
    the last one overlaps the one before. With `asks` the source is asked for ahead.
    """

    turned: tuple[int, ...] = ()
    streams: bool = False
    copies: bool = False
    vector: int = 64
    side: int = LANES
    overlaps: bool = False
    asks: bool = False

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "copy" if self.copies else "tiled"

    @property
    def moves(self) -> bool:
        """Whether blocks are transposed from memory to memory."""
        return self.copies and bool(self.turned)

    @property
    def inner(self) -> int:
        """The loop along which vectors run."""
        return self.loops - 1

    @property
    def across(self) -> int:
        """The other loop of a tile."""
        return self.loops - 2

    @property
    def outer(self) -> tuple[int, ...]:
        """The free loops outside of the tiles."""
        return tuple(i for i in self.terms[-1] if i < self.across)

    @property
    def sums_wait(self) -> bool:
        """Whether what is summed lies outside of the tiles."""
        return bool(self.contracted) and self.across not in self.contracted

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        turned = {self.operands[number] for number in self.turned}
        where = "registers" if self.moves else "the cache"
        lines = [
            f"{name}[{', '.join(map(index_name, indices))}]: {dtype}"
            + f", turned round in {where}" * (name in turned)
            for name, indices, dtype in zip(self.operands, self.terms, self.dtypes, strict=True)
        ]
        if self.contracted:
            lines[-1] += f", summed in {self.compute}"
        if self.streams:
            lines[-1] += ", written past the caches"
        for i in range(self.loops):
            role = "contracted" if i in self.contracted else "free"
            lines.append(f"{index_name(i)}: {role}" + ", in tiles" * (i >= self.across))
        return lines

    def sizes(self) -> list[tuple[str, int | None, int]]:
        """What the compiled kernel is handed besides addresses, as `Nest.sizes` has it. The extents
        of a tile along its two loops are those of two more loops, behind the others; that of one
        more is how many elements ahead a source that is moved is prefetched."""
        found: list[tuple[str, int | None, int]] = [
            (f"n_{index_name(i)}", None, i) for i in range(self.loops)
        ]
        for number, (name, indices) in enumerate(zip(self.operands, self.terms, strict=True)):
            found += [
                (f"{name}_{index_name(i)}", number, i)
                for i in indices
                if i != (self.across if number in self.turned else self._unit_loop(number))
            ]
        for more, i in enumerate((self.across, self.inner)):
            found.append((f"box_{index_name(i)}", None, self.loops + more))
        if self.moves and self.asks:
            found.append(("ahead", None, self.loops + 2))
        known = dict(self.constants)
        return [size for size in found if size[0] not in known]

    def _unit_loop(self, operand: int) -> int | None:
        return self.inner if self.unit[operand] else None

    @property
    def room(self) -> int:
        """Elements of a tile, whole blocks of turned operands included."""
        size = TILE_OF_SUMS if self.sums_wait else TILE
        return size // max(np.dtype(dtype).itemsize for dtype in (*self.dtypes, self.compute))

    def lanes_of(self, operand: int) -> int:
        """Elements of a turned operand that are transposed in one vector."""
        return min(self.side, self.vector // np.dtype(self.dtypes[operand]).itemsize)
