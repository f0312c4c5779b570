"""The boxes of a packed contraction: which operand's indices run along the lanes, in which order
the indices of a group are flattened, and how many of each a box holds.

The sizes follow BLIS's model (Low et al., *Analytical modeling is enough for high-performance
BLIS*): a micropanel of B in half of the L1 cache, the box of B in most of the L2 cache, that of A
in an eighth; and Octavian's rule that an extent is cut evenly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from einjit.plan.groups import Groups, unit_loop, wants_swap
from einjit.plan.indices import PAGE, Loops
from einjit.plan.packed import LINE, MOST_TERMS, SCRATCH, Packed, macrokernel, move
from einjit.plan.spans import Span
from einjit.target import caches, cores, last_cache

COPY_TIME = 20
"""What packing or copying an element costs, in multiplications and additions of a lane: up to 34
were measured of B and 16 of A where memory is far, 6 where it is near."""

READ_TIME = 2
"""What reading an element costs that is not copied, once for each box of B."""

TALL = 256
"""Rows of a box of A that is read where it lies: it takes no room, but tiles are made of boxes."""

FEW_ROWS = 128
"""Rows of A up to which B is read where it lies in the last cache."""

FEW_OF_FAR = 64
"""Rows of A up to which B is read where it lies in memory: swept, in blocks of"""

SWEPT_ROWS = 32
"""rows, as K is cut, of which boxes of N hold"""

SWEPT_WIDTH = 8192
"""bytes each. Measured: of 256 rows, and of boxes for the caches, memory gives up to half as much,
and less of 8 rows."""

LONG_SUM = 128
"""Terms from which one of them may be added by itself."""

LONG_SUM_OF_FAR = 32
"""The same where B comes from memory and would have to be packed."""

WORTH_SHARING = 1 << 20
"""Multiplications from which a contraction is cut into tiles for several cores."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A packed contraction with its numbers: `sizes` those of `packed.sizes()`, `order` which of
    the step's operands is A and which is B, `most_terms` from how many on a sum is to be cut
    into spans."""

    packed: Packed
    loops: Loops
    sizes: tuple[int, ...]
    tiles: int
    order: tuple[int, ...]
    most_terms: int | None


def block(loops: Loops, dtype: str, span: Span | None = None) -> Blocked:
    """Block a contraction of two operands, simplified, whose groups M, N and K are not empty.

    With a `span` one of its contracted loops is cut.
    """
    order = (0, 1)
    if wants_swap(loops, macrokernel(dtype)):
        order = (1, 0)
        loops = Loops(
            loops.indices, loops.extents, (loops.strides[1], loops.strides[0], loops.strides[2])
        )
    return _Blocking(loops, dtype, span).blocked(order)


class _Blocking:
    """The decisions of one contraction, in the order they are made."""

    def __init__(self, loops: Loops, dtype: str, span: Span | None) -> None:
        self.span = span
        self.dtype, self.size = dtype, np.dtype(dtype).itemsize
        self.kernel = macrokernel(dtype)
        self.wide = self.kernel.wide
        self.loops, self.extents = loops, loops.extents
        self.a, self.b, self.c = loops.strides
        self.units = tuple(map(unit_loop, loops.strides))
        groups = Groups.of(loops)
        self.h = tuple(sorted(groups.h, key=lambda i: -abs(self.c[i])))
        self.m, self.n, self.k = groups.m, groups.n, groups.k
        self.rows = self.units[0] not in self.m
        self.m = self._last(self.m, self._row_loop(), self.c)
        self.k = self._last(self.k, *self._first_of(self.k), self.a)
        if span:  # the loop that is cut comes first
            self.k = (span.loop, *(i for i in self.k if i != span.loop))
        self.n = self._last(self.n, self._lane_loop(), self.c)
        self.direct = self._is_direct()
        self.s = self.h[-1:] if self.units[2] in self.h else ()
        self.swept = self._is_swept()
        if self.swept:
            self.kernel = replace(self.kernel, far=True)

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
        m, k = self._volume(self.m), self._volume(self.k)
        return c if k * -(-m // 1024) < m else b

    def _is_direct(self) -> bool:
        """Whether C is written from registers: a box costs more than the lanes that runs of C
        leave idle."""
        last = self.n[-1]
        if self.units[2] != last:
            return False
        extent = self.extents[last]
        idle = -extent % self.kernel.lanes / extent
        return len(self.n) == 1 or idle * self._volume(self.k) <= COPY_TIME

    def _volume(self, loops: Sequence[int]) -> int:
        return math.prod(self.extents[i] for i in loops)

    # ------------------------------------------------------------ boxes

    def blocked(self, order: tuple[int, ...]) -> Blocked:
        """The contraction, blocked."""
        packed = self._packed()
        box, per_tile, tiles = self._tiles(packed)
        arranged = self.loops.take([*self.h, *self.m, *self.n, *self.k])
        sizes = self._sizes(packed, box, per_tile)
        return Blocked(packed, arranged, sizes, tiles, order, self._most_terms())

    def _tiles(self, packed: Packed) -> tuple[dict[int, int], int, int]:
        """The boxes, how many boxes of M are a tile's, and the number of tiles.

        Fewer tiles pack less, more keep the cores busy: what takes least is chosen, on every
        number of threads the same.
        """
        best: tuple[float, dict[int, int], int, int] | None = None
        work = self._volume(range(len(self.extents)))
        busy = cores() if work >= WORTH_SHARING else 1
        # Rows that would drive each other out of the L1 cache are copied.
        copies_a = packed.pack_a or (self.rows and self.a[self.m[-1]] * self.size % PAGE == 0)
        copy_a = COPY_TIME if copies_a else READ_TIME
        # What is swept keeps its long rows.
        cuts: tuple[float, ...] = (1, 2, 4) if self.swept else (1, 1.5, 2, 3, 4, 6, 8, 16)
        for parts in cuts[: 1 if busy == 1 else None]:
            box = self._boxes(packed, parts)
            boxes = {i: -(-self.extents[i] // box[i]) for i in box}
            of_m = math.prod(boxes[i] for i in self.m)
            spans = self.span.number if self.span else 1
            others = spans * math.prod(boxes.get(i, self.extents[i]) for i in (*self.h, *self.n))
            whole = spans * math.prod(self.extents[i] / box.get(i, 1) for i in (*self.h, *self.n))
            most = self._most_per_tile(box)
            width, height = (math.prod(box[i] for i in group) for group in (self.n, self.m))
            for share in dict.fromkeys(-(-of_m // n) for n in range(1, 4 * busy + 1)):
                per_tile = min(share, most)
                tiles = others * -(-of_m // per_tile)
                of_a_core = self._volume(self.m) * whole / busy  # rows, were all work shared
                rows = min(height * per_tile, self._volume(self.m))
                cost = -(-tiles // busy) * rows / of_a_core + busy / (16 * tiles)
                cost *= 1 + packed.pack_b * COPY_TIME / rows + copy_a / width
                if best is None or cost < best[0]:
                    best = cost, box, per_tile, tiles
        assert best
        return best[1:]

    def _boxes(self, packed: Packed, parts: float) -> dict[int, int]:
        """The extent of each loop's box, where that of N is so many times smaller than it could."""
        l1, l2 = caches()
        l2 = min(l2, SCRATCH // 2, 64 * l1)
        a, b, c = self.units
        deep = 4 * self.wide if self.s else self._depth()
        of_k = self._fill(self.k, deep, [b], 1)
        cut = max(math.prod(of_k.values()), 3 * deep // 4)
        wide, high = 3 * l2 // (5 * cut * self.size), l2 // (8 * cut * self.size)
        if packed.direct and packed.rows and not packed.pack_a:
            high = max(high, -(-TALL // self.kernel.rows) * self.kernel.rows)  # whole strips
        if self.swept:
            wide = SWEPT_WIDTH // self.size
        if not self.direct and self._volume(self.k) <= deep:  # C is moved while it is in the cache
            wide = min(wide, high * 2)
        if self.s:  # cubes in place of panels: every iteration side by side has boxes of its own
            high = wide = min(l2 // (2 * LINE * deep), math.isqrt(2 * l2 // LINE))
        wide = max(2 * self.wide, int(min(wide, self._volume(self.n)) // parts))
        box = {i: min(self.extents[i], LINE // self.size) for i in self.s} | of_k
        box |= self._fill(self.n, wide, [c, b], self.wide)
        box |= self._fill(self.m, high, [a, c], self.kernel.rows)
        while self._places(box)[-1] > SCRATCH:  # short rows, each padded to a line
            longest = max((*self.m, *self.n), key=lambda i: box[i])
            box[longest] = -(-box[longest] // 2)
        return box

    def _depth(self) -> int:
        """Terms of a block of K."""
        if self.swept:
            return SWEPT_ROWS // (1 + self._are_whole_pages())
        return min(MOST_TERMS, 3 * caches()[0] // (4 * self.kernel.rows * self.size))

    def _most_terms(self) -> int | None:
        """How many terms a sum may have of blocks so small: as many blocks as others have terms."""
        return self._depth() * MOST_TERMS if self.swept else None

    def _places(self, box: dict[int, int]) -> tuple[int, int, int]:
        """Bytes behind the boxes of A, of B and of C: where the next one begins."""
        side, height, width, depth = (
            math.prod(box[i] for i in group) for group in (self.s, self.m, self.n, self.k)
        )

        def padded(count: int) -> int:
            return (-(-count * self.size // LINE) | 1) * LINE

        to_b = side * (height * padded(depth) if self.rows else depth * padded(height))
        panels = -(-width // self.wide) * self.wide * self.size
        to_c = to_b + side * depth * (panels if self._has_panels() else padded(width))
        return to_b, to_c, to_c + (0 if self.direct else side * height * padded(width))

    def _holds(self, box: dict[int, int]) -> bool:
        """Whether boxes of C wait for the next block of K."""
        return not self.direct and any(box[i] < self.extents[i] for i in self.k)

    def _most_per_tile(self, box: dict[int, int]) -> int:
        """How many boxes of M a tile may have: as many boxes of C as there is room for."""
        _, before, behind = self._places(box)
        if not self._holds(box):
            return self._volume(self.m)
        return max(1, (SCRATCH - before) // (behind - before))

    def _fill(
        self, group: tuple[int, ...], room: int, first: list[int | None], step: int
    ) -> dict[int, int]:
        """Extents of a group's box within a room: a line's worth along the unit strides first, then
        whole loops from the innermost."""
        box = dict.fromkeys(group, 1)
        line = 64 // self.size
        wanted = [i for i in first if i in box and i != group[-1]]
        for i in wanted:
            box[i] = min(self.extents[i], line)
        for i in [group[-1], *wanted, *reversed(group)]:
            free = max(1, room // (math.prod(box.values()) // box[i]))
            if box[i] < free:
                box[i] = self._even(self.extents[i], free, step if i == group[-1] else 1)
        return box

    def _even(self, extent: int, most: int, step: int) -> int:
        """The largest part of at most `most` that cuts an extent evenly, in steps where it can, and
        where they are those of micropanels: strips of A may be of any height."""
        if extent <= most:
            return extent
        part = -(-extent // -(-extent // most))
        stepped = -(-part // step) * step
        if stepped <= most:
            return stepped
        return max(step, most // step * step) if step == self.wide else part

    # ------------------------------------------------------------ the structure and its numbers

    def _packed(self) -> Packed:
        a, b, c = self.units
        in_a, in_b = (*self.s, *self.m, *self.k), (*self.s, *self.k, *self.n)
        a_column = (self.k if self.rows else self.m)[-1]
        moves = (
            self._move(in_a, a_column, (a, self.m[-1] if self.rows else None), self.a),
            self._move(in_b, self.n[-1], (b,), self.b),
            self._move((*self.s, *self.m, *self.n), self.n[-1], (c,), self.c),
        )
        single = len(self.k) == 1 and not self.s
        keeps_a = single and (self.direct or len(self.m) == 1)
        pack_b = not (self.swept or (self._keeps_b(LONG_SUM) and self._leaves_b()))
        return Packed(
            batch=len(self.h),
            m=len(self.m),
            n=len(self.n),
            k=len(self.k),
            macrokernel=self.kernel,
            move=move(self.dtype),
            rows=self.rows,
            pack_a=not (keeps_a and self._leaves_a()),
            pack_b=pack_b,
            guarded=not (pack_b or self._is_whole()),
            panels=self._has_panels(),
            direct=self.direct,
            boxed=bool(self.s),
            spans=self.span is not None,
            a_move=moves[0],
            b_move=moves[1],
            c_move=moves[2],
        )

    def _move(
        self,
        loops: tuple[int, ...],
        column: int,
        rows: tuple[int | None, ...],
        strides: Sequence[int],
    ) -> tuple[int, ...]:
        """The order in which a box is moved: as the operand lies, the two loops last that one call
        runs: the box's columns, and as its rows the first of some loops, or the nearest one."""
        name = {old: new for new, old in enumerate([*self.h, *self.m, *self.n, *self.k])}
        others = sorted((i for i in loops if i != column), key=lambda i: -abs(strides[i]))
        row = next((i for i in rows if i in others), others[-1])
        return (*(name[i] for i in others if i != row), name[row], name[column])

    def _has_panels(self) -> bool:
        """Whether a packed B lies in micropanels: several loops of N are flattened in rows."""
        return len(self.n) == 1 and not self.s

    def _leaves_a(self) -> bool:
        """Whether reading A where it lies costs less than packing it: its rows are read along K,
        or it is used too little."""
        return self.rows or self._volume(self.n) <= 4 * self.wide

    def _keeps_b(self, long_sum: int) -> bool:
        """Whether B can be read where it lies, if one term of so many may be added by itself."""
        if len(self.k) > 1 or self.s or self.b[self.n[-1]] != 1:
            return False
        return (self.direct or len(self.n) == 1) and (
            self._is_whole() or self._is_guardable(long_sum)
        )

    def _is_whole(self) -> bool:
        """Whether rows of B are whole vectors, or else one more would be read."""
        return self.extents[self.n[-1]] % self.kernel.lanes == 0

    def _is_swept(self) -> bool:
        """Whether B comes from memory and is used by a few rows of A: reading it is all that takes
        time, and it is read in long rows. Where those are whole pages apart, they drive each other
        out before a second strip of A uses them."""
        most = self.kernel.rows if self._are_whole_pages() else FEW_OF_FAR
        batch = self._volume([i for i in self.h if self.b[i]])
        far = batch * self._bytes_of_b() > last_cache() // 2
        return far and self._volume(self.m) <= most and self._keeps_b(LONG_SUM_OF_FAR)

    def _are_whole_pages(self) -> bool:
        """Whether rows of B are whole pages apart."""
        return self.b[self.k[-1]] * self.size % PAGE == 0

    def _bytes_of_b(self) -> int:
        return self._volume(self.k) * self._volume(self.n) * self.size

    def _is_guardable(self, long_sum: int) -> bool:
        """Whether all rows of B but the last can be read in whole vectors: what is behind a row
        begins the next. The last one's part of the sum is added by itself, so sums are long."""
        last = self.extents[self.k[-1]] >= long_sum
        return last and self.extents[self.n[-1]] >= self.wide and self.b[self.k[-1]] >= self.wide

    def _leaves_b(self) -> bool:
        """Whether reading B where it lies costs less than packing it: its rows, of whole cache
        lines, lie so near to each other that the caches and the page tables see one run; or it is
        small enough to be found in the L2 cache, or in the last one and used by one strip of A, or
        by a few if its rows are not far apart. From farther away, packing reads it in long rows.

        Measured, for rows of 256 B to 16 KB and operands from the L2 cache to memory: packing takes
        2 to 9 percent more where rows are near as said, and 3 to 16 less where they are farther or
        no whole lines; from the last cache 40 more for 16 rows of A, 10 for 60, 3 less for 240."""
        bytes_ = self._bytes_of_b()
        row = abs(self.b[self.k[-1]]) * self.size
        m, l2 = self._volume(self.m), caches()[1]
        near = row % LINE == 0 and row <= (PAGE // 2 if bytes_ <= 2 * l2 else PAGE // 4)
        once = m <= self.kernel.rows or (m <= FEW_ROWS and row < 2 * PAGE)
        return near or bytes_ <= l2 // 4 or (once and bytes_ <= last_cache() // 2)

    def _sizes(self, packed: Packed, box: dict[int, int], per_tile: int) -> tuple[int, ...]:
        h, m, n, k = self.h, self.m, self.n, self.k
        sizes = [self.extents[i] for i in (*h, *m, *n, *k)]
        sizes += [box[i] for i in (*self.s, *m, *n, *k)]
        sizes += [per_tile, *self._places(box)[:2], int(self._holds(box))]
        if self.span:
            sizes += [self.span.length, self.span.stride]
        terms = ((*h, *m, *k), (*h, *k, *n), (*h, *m, *n))
        for row, term in zip((self.a, self.b, self.c), terms, strict=True):
            sizes += [row[i] for i in term]
        return tuple(sizes)
