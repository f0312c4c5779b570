"""How a contraction is packed: which operand's indices run along the lanes, in which order the
indices of a group are flattened, what is copied and what is read where it lies.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from einjit.plan.groups import MOST_LOOPS, Groups, unit_loop
from einjit.plan.indices import PAGE, WAYS, Loops
from einjit.plan.packed import LINE, MOST_TERMS, SCRATCH, by_pairs, macrokernel
from einjit.plan.spans import Span
from einjit.target import caches, is_far, last_cache, vector_registers

COPY_TIME = 20
"""What packing or copying an element costs, in multiplications and additions of a lane: up to 34
were measured of B and 16 of A where memory is far, 6 where it is near."""

KEPT_COLUMNS = 512
"""Columns of boxes of B from which on A is copied again for each of them. Measured: to pack it once
saves 2 to 9 percent where they are 300, up to 7 where they are 150 complex ones, none where 600."""

KEPT_BOXES = 8
"""Boxes of N from which on single lines of A are copied once for all of them. Measured: 0.92 to
0.94 of the time where there are 13 (K of two loops of 96), 1.0 to 1.03 for 5, up to 1.2 for 3;
1.02 and more where A's rows or columns are long."""

KEPT_ROWS = 512
"""Rows of A from which packing them less often gains: packing 300 once takes up to 4 percent more,
wider boxes of N beside 84 up to 9."""

FEW_ROWS = 128
"""Rows of A up to which B is read where it lies in the last cache."""

FEW_OF_FAR, LOW_OF_FAR = 64, 24
"""Rows of A up to which B is read where it lies in memory: it is swept. The second for low tiles:
packing takes 0.75 to 0.9 of the time for more rows, 0.85 to 1.17 for fewer."""

SWEPT_ROWS = 64
"""Rows of a block of B that is swept: half as many take up to 5 percent more."""

FEW_PANELS = 16
"""Micropanels of B up to which columns of A are read where they lie: their lines are asked for
ahead, and come from the L2 cache for each micropanel. Measured: packing them takes up to 8 percent
more for 9 to 16 micropanels, up to 17 for 4 to 8, 4 to 50 for one or two."""

MANY_STRIPS = 32
"""Strips of A from which on a small B that the L1 cache has no room for is packed for low tiles."""

LONG_SUM = 128
"""Terms from which one of them may be added by itself."""

LONG_SUM_OF_FAR = 32
"""The same where B comes from memory and would have to be packed."""

NEAR_BATCH = 8
"""Iterations of short batch loops that are packed together at most."""

TURNED_COLUMNS = 40
"""Columns of B above which columns of A are packed where tiles are low: a strip has less than half
of each line of its columns, and those drive each other out of the L1 cache. Measured: 0.66 to 0.97
of the time from there on, up to 1.23 before; of half as many complex columns 0.7 to 0.93 from there
on, up to 1.2 before. Those that lie whole pages apart are from one micropanel on, 0.67 to 0.98 of
the time, and of a large A for any B: 0.35 to 0.7. Where terms are read by fours all are from one
micropanel on: those of a row lie side by side."""

SHORT_BLOCK = 64
"""Elements of the last two loops of a box up to which it is scattered: calls that move so few
take longer than a table."""


class Packing:
    """The decisions of one contraction, in the order they are made.

    `h`, `m`, `n` and `k` are its loops by role, the last of each innermost in a box; `s` is the
    batch loop whose iterations lie side by side, if there is one. `a`, `b` and `c` are the strides
    of A, B and C, and `units` the loops along which those are 1. `many` says that there are more
    loops than are nested: each is short, and boxes are scattered. `turned` says that columns of A
    are packed in rows. With `low` tiles of few rows B passes by so often that it has to lie well.
    """

    def __init__(self, loops: Loops, dtype: str, span: Span | None) -> None:
        self.span = span
        self.dtype, self.size = dtype, np.dtype(dtype).itemsize
        self.kernel = macrokernel(dtype)
        self.wide = self.kernel.wide
        self.loops, self.extents = loops, loops.extents
        self.a, self.b, self.c = loops.strides
        self.units = tuple(map(unit_loop, loops.strides))
        groups = Groups.of(loops)
        self.many = len(self.extents) > MOST_LOOPS
        self.m, self.n, self.k = groups.m, groups.n, groups.k
        self.s = self._last(tuple(self._side_by_side(groups.h)), self.units[2], self.c)
        far = tuple(i for i in groups.h if i not in self.s)
        self.h = (*self._last(far, None, self.c), *self.s)
        columns = self.units[0] in self.m
        self.low = vector_registers() <= 16
        self.turned = columns and self.volume(self.n) > self._turned_columns()
        self.rows = self.turned or not columns
        self.m = self._last(self.m, self._row_loop(), self.c)
        self.k = self._last(self.k, *self._first_of(self.k), self.a)
        self.n = self._last(self.n, self._lane_loop(), self.c)
        if self.many:
            self._turn_lines()
        self.direct = self._is_direct()
        self.strips = self.turned and self._has_strips()
        if self.strips:
            self.turned = self.rows = False
        self.paged = self.rows and self.a[self.m[-1]] * self.size % PAGE == 0
        self.moves, self.scattered = self._moves()
        self.swept = self._is_swept()
        self.kept = self._is_kept()
        self.pack_b = not (self.swept or (self._keeps_b(LONG_SUM) and self._leaves_b()))
        self.guarded = not (self.pack_b or self._is_whole())
        self.past = self._is_past()
        asked = self.swept or self._is_asked_for()
        kernel = replace(self.kernel, far=asked, past=self.past and self.direct)
        extents = self.volume(self.m), self.volume(self.n), self.volume(self.k)
        self.kernel = by_pairs(kernel, extents, self.rows)

    def _moves(self) -> tuple[tuple[tuple[int, ...], ...], tuple[bool, bool, bool]]:
        """The loops of the boxes of A, B and C in the order they are moved, and whether they are
        scattered: the last two are too short for a call of their own."""
        a, b, c = self.units
        of_a = (*self.m, *self.k) if self.rows else (*self.k, *self.m)
        boxes = (of_a, (*self.k, *self.n), (*self.m, *self.n))
        firsts = ((a, self.m[-1] if self.rows else None), (b,), (c,))
        moves, scattered = [], []
        for box, rows, strides in zip(boxes, firsts, self.loops.strides, strict=True):
            move = self._move((*self.s, *box), box[-1], rows, strides)
            short = self.many or self.volume(move[-2:]) <= SHORT_BLOCK
            scattered.append(len(move) > 2 and short)
            moves.append(self._last((*self.s, *box), None, strides) if scattered[-1] else move)
        if self.strips:  # term by term: behind each is written what is overwritten by the next
            moves[0], scattered[0] = (*self.m[:-1], *self.k, self.m[-1]), False
        return tuple(moves), (scattered[0], scattered[1], scattered[2])

    def _move(
        self,
        loops: tuple[int, ...],
        column: int,
        rows: tuple[int | None, ...],
        strides: Sequence[int],
    ) -> tuple[int, ...]:
        """The order in which a box is moved: as the operand lies, the two loops last that one call
        runs: the box's columns, and as its rows the first of some loops, or the nearest one."""
        others = self._last(tuple(i for i in loops if i != column), None, strides)
        row = next((i for i in rows if i in others), others[-1])
        return (*(i for i in others if i != row), row, column)

    # ------------------------------------------------------------ the order of the loops

    def _side_by_side(self, batch: Sequence[int]) -> list[int]:
        """The batch loops whose iterations are packed together: the one that lies side by side in
        the result; of many short loops also a few that lie within pages of the larger operand,
        since what memory brings of one iteration is that of the others too."""
        found = [i for i in batch if i == self.units[2]]
        larger = self.a if self.volume(self.m) > self.volume(self.n) else self.b
        steps = {i: abs(larger[i]) * self.size for i in batch}
        for i in sorted(batch, key=lambda i: steps[i]) if self.many else ():
            room = NEAR_BATCH // self.volume(found)
            if i not in found and 0 < steps[i] < PAGE and self.extents[i] <= room:
                found.append(i)
        return found

    def _turn_lines(self) -> None:
        """Reorder groups of short loops: the innermost ones of boxes are others than the lines of
        the operands hold, so that blocks are transposed between the two."""
        of_a, of_b, of_c = (self._line_of(row) for row in self.loops.strides)
        self.n = self._away_from([*of_b, *of_c], self.n, self.b)
        if self.rows:
            self.k = self._away_from(of_a, self.k, self.a)
        else:
            self.m = self._away_from(of_a, self.m, self.a)

    def _line_of(self, strides: Sequence[int]) -> list[int]:
        """The loops along which a vector's elements lie side by side, as far as they do."""
        found: list[int] = []
        while self.volume(found) < self.kernel.lanes:
            side = self.volume(found)
            beside = [i for i, stride in enumerate(strides) if stride == side and i not in found]
            if not beside:
                break
            found += beside[:1]
        return found

    def _away_from(
        self, lines: Sequence[int], group: tuple[int, ...], strides: Sequence[int]
    ) -> tuple[int, ...]:
        """A group with loops innermost that are in no line: the nearest ones, if they fill one."""
        near = sorted((i for i in group if i not in lines), key=lambda i: abs(strides[i]))
        number = 1
        while number < len(near) and self.volume(near[:number]) < self.kernel.lanes:
            number += 1
        if self.volume(near[:number]) < self.kernel.lanes:
            return group
        inner = near[:number][::-1]
        return (*(i for i in group if i not in inner), *inner)

    def _first_of(self, group: tuple[int, ...]) -> tuple[int | None]:
        a, b, _ = self.units
        return (a if a in group else b,)

    def _last(
        self, group: tuple[int, ...], last: int | None, strides: Sequence[int]
    ) -> tuple[int, ...]:
        """A group in the order it is flattened, large strides first and one loop last."""
        return tuple(sorted(group, key=lambda i: (i == last, -abs(strides[i]))))

    def _row_loop(self) -> int:
        """The loop that a register tile's rows run along: A's unit stride or C's shortest, unless
        that is too short for a tile."""
        unit = self.units[0]
        nearest = unit if unit in self.m else min(self.m, key=lambda i: abs(self.c[i]))
        if self.extents[nearest] >= self.kernel.rows:
            return nearest
        return max(self.m, key=lambda i: (self.extents[i], i == nearest))

    def _lane_loop(self) -> int | None:
        """The loop that lanes run along: C's unit stride or, where turning C round is less work
        than turning B round for every box of M, B's."""
        _, b, c = self.units
        if c not in self.n or b not in self.n or b == c:
            return c if c in self.n else b
        m, k = self.volume(self.m), self.volume(self.k)
        return c if k * -(-m // 1024) < m else b

    # ------------------------------------------------------------ what is packed, and what not

    def _is_direct(self) -> bool:
        """Whether C is written from registers: a box costs more than the lanes that runs of C
        leave idle."""
        last = self.n[-1]
        if self.units[2] != last or self.many:
            return False
        extent = self.extents[last]
        idle = -extent % self.kernel.lanes / extent
        return len(self.n) == 1 or idle * self.volume(self.k) <= COPY_TIME

    def _turned_columns(self) -> float:
        """Columns of B up to which columns of A are read where they lie, as measured."""
        if self.kernel.terms == 4:
            return self.wide
        if not self.low:
            return math.inf
        if self.volume(self.k) > WAYS and self.a[self.k[-1]] * self.size % PAGE == 0:
            large = self.volume((*self.m, *self.k)) * self.size >= last_cache() // 4
            return 0 if large else self.wide
        return TURNED_COLUMNS // (1 + (np.dtype(self.dtype).kind == "c"))

    def _has_strips(self) -> bool:
        """Whether columns of A can be packed as they lie, each strip's by themselves: its rows
        follow each other in A, and in C. Fours of terms have to lie side by side."""
        follow = self.m[-1] == self.units[0] and (self.direct or len(self.m) == 1)
        long = self.volume((self.m[-1], self.k[-1])) > SHORT_BLOCK
        return follow and long and not self.s and not self.many and self.kernel.terms != 4

    def _is_past(self) -> bool:
        """Whether C is so large that it leaves the caches anyway: written past them it is not read
        before. Each element is written once, and in whole lines. Measured: 0.6 to 0.98 of the
        time."""
        if self.direct:
            lines = self.c[self.m[-1]] * self.size % LINE == 0
            fit = lines and self.volume(self.k) <= self.depth() and not self.guarded
        else:
            fit = not self.scattered[2]
        far = is_far(self.volume((*self.h, *self.m, *self.n)) * self.size)
        return fit and far and not self.span

    def _leaves_a(self) -> bool:
        """Whether reading A where it lies costs less than packing it: its rows are read along K,
        or it is used too little."""
        if self.kept or self.turned or self.strips:
            return False
        return self.rows or self.volume(self.n) <= FEW_PANELS * self.wide

    def _is_kept(self) -> bool:
        """Whether A is packed once for several boxes of N, each of which would copy it again: its
        columns, or rows that drive each other out of the L1 cache where they lie, or single lines
        of longer rows, which memory gives slowly."""
        columns = self.columns(min(self.volume(self.k), self.depth()))
        width = self.volume(self.n)
        if len(self.k) == 1:
            lies_in_columns = self.turned or not self.rows
            copied = (self.paged or lies_in_columns) and columns < min(width, KEPT_COLUMNS)
        else:
            copied = self._crosses() and KEPT_BOXES * columns < width
        return self.direct and not self.swept and copied and self.volume(self.m) >= KEPT_ROWS

    def _crosses(self) -> bool:
        """Whether A and B have unit stride along different loops of K: boxes hold short rows of
        both."""
        a, b, _ = self.units
        return a != b and {a, b} <= set(self.k)

    def _keeps_b(self, long_sum: int) -> bool:
        """Whether B can be read where it lies, if one term of so many may be added by itself."""
        if len(self.k) > 1 or self.s or self.b[self.n[-1]] != 1:
            return False
        return (self.direct or len(self.n) == 1) and (
            self._is_whole() or self._is_guardable(long_sum)
        )

    def _leaves_b(self) -> bool:
        """Whether reading B where it lies costs less than packing it: its rows, of whole cache
        lines, lie so near to each other that the caches and the page tables see one run; or it is
        small enough to be found in the L2 cache, or in the last one and used by one strip of A, or
        by a few if its rows are not far apart. From farther away, packing reads it in long rows.

        Measured, for rows of 256 B to 16 KB and operands from the L2 cache to memory: packing takes
        2 to 9 percent more where rows are near as said, and 3 to 16 less where they are farther or
        no whole lines; from the last cache 40 more for 16 rows of A, 10 for 60, 3 less for 240. For
        low tiles it takes 2 to 40 less from two strips of A on, however near the rows are; 15 to 45
        less where more than WAYS of them lie whole pages apart, of the smallest B, too; of others
        that only the L2 cache has room for 0 to 18 less from MANY_STRIPS of A on."""
        bytes_ = self._bytes_of_b()
        row = abs(self.b[self.k[-1]]) * self.size
        m, (l1, l2) = self.volume(self.m), caches()
        most = PAGE // (2 if self._batch_of_b() <= 2 * l2 else 4)
        near = not self.low and row % LINE == 0 and row <= most
        once = m <= self.kernel.rows or (not self.low and m <= FEW_ROWS and row < 2 * PAGE)
        often = self.low and m >= 2 * self.kernel.rows and self.volume(self.k) > WAYS
        worth = self._are_whole_pages() or (m >= MANY_STRIPS * self.kernel.rows and bytes_ >= l1)
        small = bytes_ <= l2 // 4 and not (often and worth)
        return near or small or (once and not is_far(bytes_))

    def _is_whole(self) -> bool:
        """Whether rows of B are whole vectors, or else one more would be read."""
        return self.extents[self.n[-1]] % self.kernel.lanes == 0

    def _is_guardable(self, long_sum: int) -> bool:
        """Whether all rows of B but the last can be read in whole vectors: what is behind a row
        begins the next. The last one's part of the sum is added by itself, so sums are long."""
        last = self.extents[self.k[-1]] >= long_sum
        return last and self.extents[self.n[-1]] >= self.wide and self.b[self.k[-1]] >= self.wide

    def _is_swept(self) -> bool:
        """Whether B comes from memory and is used by a few rows of A: reading it is all that takes
        time, and it is read in long rows. Where those are whole pages apart, they drive each other
        out before a second strip of A uses them."""
        few = LOW_OF_FAR if self.low else FEW_OF_FAR
        most = self.kernel.rows if self._are_whole_pages() else few
        far = is_far(self._batch_of_b())
        return far and self.volume(self.m) <= most and self._keeps_b(LONG_SUM_OF_FAR)

    def _is_asked_for(self) -> bool:
        """Whether a few rows of A read B where it lies beyond the L2 cache. Measured: 0.8 to 1 of
        the time if what is read next is asked for."""
        few = self.volume(self.m) <= FEW_ROWS
        return few and not self.pack_b and self._bytes_of_b() > 2 * caches()[1]

    def _are_whole_pages(self) -> bool:
        """Whether rows of B are whole pages apart."""
        return self.b[self.k[-1]] * self.size % PAGE == 0

    def _bytes_of_b(self) -> int:
        return self.volume(self.k) * self.volume(self.n) * self.size

    def _is_turned_far(self, operand: int) -> bool:
        """Whether boxes of A or of B are transposed out of memory."""
        strides = self.loops.strides[operand]
        row = self.moves[operand][-2]
        elements = self.volume([i for i, stride in enumerate(strides) if stride])
        turned = strides[row] == 1 and not self.scattered[operand]
        return turned and is_far(elements * self.size)

    def _batch_of_b(self) -> int:
        """Bytes of all matrices of B."""
        return self.volume([i for i in self.h if self.b[i]]) * self._bytes_of_b()

    # ------------------------------------------------------------ what boxes are measured by

    def volume(self, loops: Sequence[int]) -> int:
        return math.prod(self.extents[i] for i in loops)

    def depth(self) -> int:
        """Terms of a block of K."""
        if self.swept:
            return SWEPT_ROWS // (1 + self._are_whole_pages())
        if self.s and not self.many:
            return MOST_TERMS if self.volume(self.k) <= MOST_TERMS else 4 * self.wide
        return min(MOST_TERMS, 3 * caches()[0] // (4 * self.kernel.rows * self.size))

    def columns(self, terms: int) -> int:
        """Columns of a box of B that takes most of the L2 cache."""
        return 3 * self.room() // (5 * terms * self.size)

    def room(self) -> int:
        """Bytes of the L2 cache, and no more than there is scratch memory for."""
        l1, l2 = caches()
        return min(l2, SCRATCH // 2, 64 * l1)
