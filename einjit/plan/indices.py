"""The loops of one step: which indices become one loop, and which loop runs inside which."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LINE = 64
"""Bytes of a cache line: what one strided access costs to move."""

PAGE = 4096
"""Bytes of a page, within which prefetchers keep. Rows that begin a multiple of it apart have the
same place in each way of an L1 cache, and drive each other out of it."""

WAYS = 8
"""Rows that one set of an L1 cache has room for, of those that lie whole pages apart."""

SHORT = 4.0
"""What starting an innermost loop costs, in lines moved: long loops are better innermost."""


@dataclass(frozen=True, slots=True)
class Loops:
    """The loops of one step: the indices each one runs over, its extent, and a row of strides, in
    elements, for each operand, the result last.

    A stride of 0 says that the operand does not vary along the loop; in the result's row, that the
    loop is contracted.
    """

    indices: tuple[tuple[int, ...], ...]
    extents: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def contracted(self) -> tuple[int, ...]:
        """Loops along which the result does not vary."""
        return tuple(i for i, stride in enumerate(self.strides[-1]) if stride == 0)

    @property
    def iterations(self) -> int:
        return math.prod(self.extents)

    def take(self, order: Sequence[int]) -> "Loops":
        """The same loops in another order, or some of them."""
        return Loops(
            tuple(self.indices[i] for i in order),
            tuple(self.extents[i] for i in order),
            tuple(tuple(row[i] for i in order) for row in self.strides),
        )


def simplify(loops: Loops) -> Loops:
    """Without loops of one iteration, and with neighbours fused.

    Two loops are one where, in every operand, stepping the outer one is the same as running the
    inner one to its end: neither is there, or the strides are `inner`'s times its extent.
    """
    loops = loops.take([i for i, extent in enumerate(loops.extents) if extent != 1])
    fused = True
    while fused:
        fused = False
        for outer in range(len(loops.extents)):
            for inner in range(len(loops.extents)):
                if outer != inner and _neighbours(loops, outer, inner):
                    loops = _fuse(loops, outer, inner)
                    fused = True
                    break
            if fused:
                break
    return loops


def _neighbours(loops: Loops, outer: int, inner: int) -> bool:
    extent = loops.extents[inner]
    return all(row[outer] == row[inner] * extent for row in loops.strides)


def _fuse(loops: Loops, outer: int, inner: int) -> Loops:
    indices, extents = list(loops.indices), list(loops.extents)
    indices[inner] = indices[outer] + indices[inner]
    extents[inner] *= extents[outer]
    rest = [i for i in range(len(extents)) if i != outer]
    return Loops(tuple(indices), tuple(extents), loops.strides).take(rest)


def arrange(loops: Loops, itemsizes: Sequence[int]) -> Loops:
    """The loops in the order they are nested: free ones, contracted ones, the innermost.

    The innermost is the one that moves least memory an iteration; the others run with the large
    strides outside, so that memory is walked forwards. Where a sum takes rows from places far apart
    (`ijk->j`), the free loop of the rows that lie side by side runs within the contracted ones.
    """
    if not loops.extents:
        return loops
    inner = min(range(len(loops.extents)), key=lambda i: inner_cost(loops, itemsizes, i))
    contracted = loops.contracted
    result, inputs = loops.strides[-1], loops.strides[:-1]

    def reach(i: int) -> int:
        return sum(abs(row[i]) for row in inputs)

    free = [i for i in range(len(loops.extents)) if i not in contracted and i != inner]
    free.sort(key=lambda i: (-abs(result[i]), -reach(i)))
    summed = sorted((i for i in contracted if i != inner), key=lambda i: -reach(i))
    rows = []
    if inner in contracted and summed and free:
        nearest = min(free, key=reach)
        if reach(summed[0]) > reach(nearest):
            free.remove(nearest)
            rows.append(nearest)
    return loops.take([*free, *summed, *rows, inner])


def inner_cost(loops: Loops, itemsizes: Sequence[int], inner: int) -> float:
    """Cache lines that one iteration of a loop moves when it is the innermost, and its start.

    The result is stored once for all contracted iterations where its sums can wait in the cache.
    """
    cost = SHORT / loops.extents[inner]
    for row, size in zip(loops.strides, itemsizes, strict=True):
        if row[inner]:
            cost += size / LINE if row[inner] == 1 else 1.0
    if loops.strides[-1][inner]:
        summed = math.prod(loops.extents[i] for i in loops.contracted)
        cost += (itemsizes[-1] / LINE if loops.strides[-1][inner] == 1 else 1.0) / summed
    return cost


def bytes_moved(loops: Loops, itemsizes: Sequence[int]) -> list[int]:
    """Bytes of each operand and of the result."""
    return [
        size * math.prod(n for n, stride in zip(loops.extents, row, strict=True) if stride)
        for row, size in zip(loops.strides, itemsizes, strict=True)
    ]
