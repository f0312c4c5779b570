"""The boxes of a packed contraction: how many of each index they hold, and which of them make up a
tile.

The sizes follow BLIS's model (Low et al., *Analytical modeling is enough for high-performance
BLIS*): a micropanel of B in half of the L1 cache, the box of B in most of the L2 cache, that of A
in an eighth; and Octavian's rule that an extent is cut evenly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from einjit.plan.groups import wants_swap
from einjit.plan.indices import PAGE, WAYS, Loops, bytes_moved
from einjit.plan.packed import LINE, MOST_TERMS, SCRATCH, SPARE_TERMS, Packed, macrokernel, move
from einjit.plan.packing import COPY_TIME, KEPT_ROWS, NEAR_BATCH, Packing
from einjit.plan.spans import Span
from einjit.plan.task import FMA_TIME, PARALLEL_TIME, move_time
from einjit.target import cores, last_cache

SCATTER_TIME = 2 * COPY_TIME
"""The same where boxes are scattered."""

READ_TIME = 2
"""What reading an element costs that is not copied, once for each box of B."""

TALL = 256
"""Rows of a box of A that is read where it lies: it takes no room, but tiles are made of boxes."""

KEPT = 2 << 20
"""Bytes of a box of A that is kept for all boxes of N."""

STRIPS = 3
"""Strips of a box of A where iterations lie side by side: B's boxes take half of the scratch
memory, so that A is packed once or twice. Measured: 0.82 to 0.96 of the time, 2 to 4 strips."""

SHORT_SUM = 16
"""Terms of a sum up to which strips have no more than WAYS rows of C that begin whole pages apart:
they take up to twice as long."""

SWEPT_WIDTH = 8192
"""Bytes of the rows of a box of B that is swept: of boxes for the caches, or of blocks of 256 rows,
memory gives up to half as much, and less of 8 rows."""

SHARED_ROW = 4000
"""What a row of C costs that two cores write to, in multiplications and additions of a lane: each
prefetches lines that the other one writes, even where none has elements of both."""

LEAST_DEPTH = 64
"""Terms that strips of A are measured by at least."""

EMPTY_LANES = 3
"""One of how many columns in micropanels that begin with each row of C may be empty."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A packed contraction with its numbers: `sizes` those of `packed.sizes()`, `order` which of
    the step's operands is A and which is B, `most_terms` from how many on a sum is to be cut
    into spans, `time` a rough estimate of one thread's nanoseconds."""

    packed: Packed
    loops: Loops
    sizes: tuple[int, ...]
    tiles: int
    order: tuple[int, ...]
    most_terms: int | None
    time: float


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


class _Blocking(Packing):
    """The numbers of one contraction."""

    def blocked(self, order: tuple[int, ...]) -> Blocked:
        """The contraction, blocked."""
        packed = self._packed()
        box, per_tile, tiles = self._tiles(packed)
        arranged = self.loops.take([*self.h, *self.m, *self.n, *self.k])
        sizes = self._sizes(packed, box, per_tile)
        return Blocked(packed, arranged, sizes, tiles, order, self._most_terms(), self._time())

    def _packed(self) -> Packed:
        """The structure of the contraction."""
        name = {old: new for new, old in enumerate([*self.h, *self.m, *self.n, *self.k])}
        moves = [tuple(name[i] for i in move) for move in self.moves]
        single = len(self.k) == 1 and not self.s
        pack_a = not (single and (self.direct or len(self.m) == 1) and self._leaves_a())
        return Packed(
            batch=len(self.h),
            m=len(self.m),
            n=len(self.n),
            k=len(self.k),
            macrokernel=self.kernel,
            move=move(self.dtype),
            rows=self.rows,
            strips=self.strips,
            pack_a=pack_a,
            pack_b=self.pack_b,
            kept=self.kept,
            guarded=self.guarded,
            panels=self._has_panels(),
            direct=self.direct,
            far=(pack_a and self._is_turned_far(0), self.pack_b and self._is_turned_far(1)),
            past=self.past,
            boxed=len(self.s),
            span=name[self.span.loop] if self.span else None,
            a_move=moves[0],
            b_move=moves[1],
            c_move=moves[2],
            scattered=self.scattered,
        )

    def _time(self) -> float:
        """One thread's nanoseconds, about: four multiplications each of complex numbers, of which
        a vector has half as many."""
        fma_time = 2 * FMA_TIME if np.dtype(self.dtype).kind == "c" else FMA_TIME
        moved = sum(bytes_moved(self.loops, [self.size] * 3))
        return self.loops.iterations / self.kernel.lanes * fma_time + move_time(moved)

    def _tiles(self, packed: Packed) -> tuple[dict[int, int], int, int]:
        """The boxes, how many boxes of M are a tile's, and the number of tiles.

        Fewer tiles pack less, more keep the cores busy: what takes least is chosen, on every
        number of threads the same.
        """
        best: tuple[float, dict[int, int], int, int] | None = None
        busy = cores() if self._time() >= PARALLEL_TIME else 1
        time_a, time_b = (SCATTER_TIME if one else COPY_TIME for one in packed.scattered[:2])
        terms = self.volume(self.k)
        copy_a = time_a if packed.pack_a or self.paged else READ_TIME
        # What is swept keeps its long rows.
        cuts: tuple[float, ...] = (1, 2, 4) if self.swept else (1, 1.5, 2, 3, 4, 6, 8, 16)
        if packed.pack_a and self.volume(self.m) >= KEPT_ROWS:
            cuts = (1, 1.2, *cuts[1:])  # much of A is packed for each box: few and even ones
        for parts in cuts[: 1 if busy == 1 else None]:
            box = self._boxes(packed, parts, busy)
            boxes = {i: -(-self.extents[i] // box[i]) for i in box}
            of_m, of_n = (math.prod(boxes[i] for i in group) for group in (self.m, self.n))
            spans = self.span.number if self.span else 1
            outer = self.h if self.kept else (*self.h, *self.n)
            others = spans * math.prod(boxes.get(i, self.extents[i]) for i in outer)
            whole = spans * math.prod(self.extents[i] / box.get(i, 1) for i in outer)
            most = self._most_per_tile(box)
            width, height = (math.prod(box[i] for i in group) for group in (self.n, self.m))
            if self.kept:  # a tile is a box of M and all of N
                most, width = 1, self.volume(self.n)
            shared = 0.0
            if of_n > 1 and self.units[2] in self.n:
                shared = SHARED_ROW / (max(width, self.volume(self.n) / busy) * terms)
            for share in dict.fromkeys(-(-of_m // n) for n in range(1, 4 * busy + 1)):
                per_tile = min(share, most)
                tiles = others * -(-of_m // per_tile)
                of_a_core = self.volume(self.m) * whole / busy  # rows, were all work shared
                rows = min(height * per_tile, self.volume(self.m))
                cost = -(-tiles // busy) * rows / of_a_core + busy / (16 * tiles)
                cost *= 1 + packed.pack_b * time_b / rows + copy_a / width + shared
                if best is None or cost < best[0]:
                    best = cost, box, per_tile, tiles
        assert best
        return best[1:]

    def _boxes(self, packed: Packed, parts: float, busy: int) -> dict[int, int]:
        """The extent of each loop's box, where that of N, or of M where A is kept, is so many times
        smaller than it could, and so many cores are to have work."""
        whole = PAGE if self.many else LINE
        a, b, c = map(self._nearest, self.loops.strides, (whole, whole, LINE))
        deep = self.depth()
        of_k = self._fill(self.k, deep, [*b, *a], 1)
        depth = math.prod(of_k.values())
        cut = max(depth, 3 * deep // 4)
        # Cores are to have rows of C of their own, not parts of the same ones.
        wide = self.columns(depth if packed.direct else cut)
        high = self._rows(packed, cut, busy)
        if self.kept:  # the more of A, the less often B is packed
            high = min(KEPT // (cut * self.size), self.volume(self.m))
            high, parts = int(high // parts), 1
        if self.swept:
            wide = SWEPT_WIDTH // self.size
        if not self.direct and self.volume(self.k) <= deep:  # C is moved while it is in the cache
            wide = min(wide, high * (4 if packed.scattered[0] else 2))  # A is scattered less often
        most = NEAR_BATCH if self.many else LINE // self.size
        side = {i: min(self.extents[i], most) for i in self.s}
        if self.many:
            wide, high = (n // math.prod(side.values()) for n in (wide, high))
        elif self.s:  # cubes in place of panels: every iteration side by side has boxes of its own
            room = min(SCRATCH, last_cache() // cores())
            wide = room // (2 * cut * math.prod(side.values()) * self.size)
            high = STRIPS * self.kernel.rows
        wide = max(2 * self.wide, int(min(wide, self.volume(self.n)) // parts))
        box = side | of_k
        box |= self._fill(self.n, wide, [*c, *b], self.wide)
        box |= self._fill(self.m, high, [*a, *c], self.kernel.rows)
        while self._places(box)[-1] > SCRATCH:  # short rows, each padded to a line
            longest = max((*self.m, *self.n), key=lambda i: box[i])
            box[longest] = -(-box[longest] // 2)
        return box

    def _rows(self, packed: Packed, cut: int, busy: int) -> int:
        """Rows of a box of A."""
        rows, all_rows = self.kernel.rows, self.volume(self.m)
        terms, pitch = self.volume(self.k), self.c[self.m[-1]] * self.size
        high = self.room() // (8 * cut * self.size)
        if packed.strips:  # the longer its columns are, the sooner they come
            high = self.room() // (4 * max(LEAST_DEPTH, min(cut, terms)) * self.size)
        if not packed.direct:
            return max(1, high)
        high = max(1, high // rows) * rows  # whole strips
        if terms <= SHORT_SUM and pitch % PAGE == 0:
            return min(WAYS, rows)
        if packed.rows and not packed.pack_a:
            high = max(high, -(-TALL // rows) * rows)  # whole strips
        boxes = -(-all_rows // (busy * high))  # of each core: as many
        return max(-(-all_rows // (busy * boxes)), rows)

    def _most_terms(self) -> int | None:
        """How many terms a sum may have of blocks so small: as many blocks as others have terms."""
        return self.depth() * MOST_TERMS if self.swept else None

    def _places(self, box: dict[int, int]) -> tuple[int, int, int]:
        """Bytes behind the boxes of A, of B and of C: where the next one begins."""
        side, height, width, depth = (
            math.prod(box[i] for i in group) for group in (self.s, self.m, self.n, self.k)
        )

        def padded(count: int) -> int:
            return (-(-count * self.size // LINE) | 1) * LINE

        to_b = side * (height * padded(depth) if self.rows else depth * padded(height))
        if self.strips:
            first = box[self.m[-1]]
            height = height // first * self.kernel.stripped(first)
            to_b = padded(height * (depth + SPARE_TERMS) + self.kernel.high)
        last = box[self.n[-1]]
        panels = width // last * self.kernel.panelled(last) * self.size
        to_c = to_b + side * depth * (panels if self._has_panels() else padded(width))
        return to_b, to_c, to_c + (0 if self.direct else side * height * padded(width))

    def _has_panels(self) -> bool:
        """Whether a packed B lies in micropanels. Each row of C begins one, so that of several
        loops of N, or where iterations lie side by side, the last ones are not to be too empty."""
        most = self.extents[self.n[-1]]
        if self.direct:
            most += most // EMPTY_LANES
        single = len(self.n) == 1 and not self.s
        fit = single or self.kernel.panelled(self.extents[self.n[-1]]) <= most
        return fit and not self.scattered[1]

    def _holds(self, box: dict[int, int]) -> bool:
        """Whether boxes of C wait for the next block of K."""
        return not self.direct and any(box[i] < self._extent(i) for i in self.k)

    def _most_per_tile(self, box: dict[int, int]) -> int:
        """How many boxes of M a tile may have: as many boxes of C as there is room for."""
        _, before, behind = self._places(box)
        if not self._holds(box):
            return self.volume(self.m)
        return max(1, (SCRATCH - before) // (behind - before))

    def _nearest(self, strides: Sequence[int], room: int) -> list[int]:
        """The loops that so many bytes of an operand hold more than one iteration of, the nearest
        first."""
        near = [i for i, stride in enumerate(strides) if 0 < abs(stride) * self.size < room]
        return sorted(near, key=lambda i: abs(strides[i]))

    def _fill(
        self, group: tuple[int, ...], room: int, first: list[int], step: int
    ) -> dict[int, int]:
        """Extents of a group's box within a room: what fills lines of operands along the first
        loops, then whole loops from the innermost."""
        box = dict.fromkeys(group, 1)
        wanted = [i for i in first if i in box and i != group[-1]]
        for i in wanted:
            nearest = min(abs(row[i]) for row in self.loops.strides if row[i])
            free = max(1, room // (math.prod(box.values()) // box[i]))
            box[i] = max(1, min(self._extent(i), free, LINE // (self.size * nearest)))
        for i in [group[-1], *wanted, *reversed(group)]:
            free = max(1, room // (math.prod(box.values()) // box[i]))
            if box[i] < free:
                box[i] = self._even(self._extent(i), free, step if i == group[-1] else 1)
        return box

    def _extent(self, i: int) -> int:
        """The extent of a loop, or of a span of it."""
        return self.span.length if self.span and i == self.span.loop else self.extents[i]

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
