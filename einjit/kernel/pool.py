"""Memory of large results, below Python: what one result leaves, the next one takes.

Functions that numpy calls for the memory of an array (NEP 49), each of words: the pool's (see
`layout`), then what numpy hands it. numpy holds the GIL meanwhile, so nothing else is at the pool.
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.layout import (
    ALLOCATE,
    BLOCK_HEADER,
    HUGE,
    IDLE,
    IDLE_BYTES,
    KEPT,
    LEND,
    LIMIT,
    MAP,
    MOST_IDLE,
    PROTECTION,
    RELEASED,
    SETTLE,
)
from einjit.kernel.memory import call3, madvise, memcpy, memset, mmap, munmap, put, word

FIRM = 256 << 20
"""Bytes up to which the block that was released last is not lent: after a loan the next result
takes a tenth longer to write."""


def allocate(pool: int, size: int, unused: int) -> int:
    """Memory of so many bytes, at the start of a cache line: the smallest idle block that fits and
    is not an eighth too large, or a new one."""
    whole = (size + BLOCK_HEADER + SETTLE - 1) & -SETTLE
    n, kept = word(pool + 8 * IDLE), pool + 8 * KEPT
    best, least = n, whole + whole // 8
    for i in range(n):
        capacity = word(kept + 16 * i + 8)
        if whole <= capacity and capacity <= least:
            best, least = i, capacity
    if best < n:
        block = word(kept + 16 * best)
        n -= 1
        for i in range(best, n):
            put(kept + 16 * i, word(kept + 16 * i + 16))
            put(kept + 16 * i + 8, word(kept + 16 * i + 24))
        put(pool + 8 * IDLE, n)
        put(pool + 8 * IDLE_BYTES, word(pool + 8 * IDLE_BYTES) - least)
        whole = least
    else:
        protection, how = word(pool + 8 * PROTECTION), word(pool + 8 * MAP)
        block = mmap(0, whole, protection, how, -1, 0)
        if block == -1:  # what lies idle may be what is missing
            for i in range(n):
                munmap(word(kept + 16 * i), word(kept + 16 * i + 8))
            put(pool + 8 * IDLE, 0)
            put(pool + 8 * IDLE_BYTES, 0)
            block = mmap(0, whole, protection, how, -1, 0)
            if block == -1:
                return 0
        if word(pool + 8 * HUGE) != 0:
            madvise(block, whole, word(pool + 8 * HUGE))
    put(block, whole)
    return block + BLOCK_HEADER


def release(pool: int, place: int, unused: int) -> int:
    """Keep the memory for the next result. Beyond the limit, what was left first goes.

    The system may have the pages of idle blocks, but for the last one unless it is large: to lend
    them takes a tenth of a millisecond, and so does their return.
    """
    if place == 0:
        return 0
    block = place - BLOCK_HEADER
    capacity, limit, kept = word(block), word(pool + 8 * LIMIT), pool + 8 * KEPT
    if capacity > limit:
        munmap(block, capacity)
        return 0
    n, total = word(pool + 8 * IDLE), word(pool + 8 * IDLE_BYTES) + capacity
    gone = 0
    while total > limit or n - gone == MOST_IDLE:
        munmap(word(kept + 16 * gone), word(kept + 16 * gone + 8))
        total -= word(kept + 16 * gone + 8)
        gone += 1
    n -= gone
    if gone != 0:
        for i in range(n):
            put(kept + 16 * i, word(kept + 16 * (i + gone)))
            put(kept + 16 * i + 8, word(kept + 16 * (i + gone) + 8))
    if n > 0 and word(pool + 8 * LEND) != 0:
        madvise(word(kept + 16 * n - 16), word(kept + 16 * n - 8), word(pool + 8 * LEND))
    if capacity > FIRM and word(pool + 8 * LEND) != 0:
        madvise(block, capacity, word(pool + 8 * LEND))
    put(kept + 16 * n, block)
    put(kept + 16 * n + 8, capacity)
    put(pool + 8 * IDLE, n + 1)
    put(pool + 8 * IDLE_BYTES, total)
    return 0


def clear(pool: int, number: int, size: int) -> int:
    """Memory of zeros."""
    place = call3(word(pool + 8 * ALLOCATE), (pool, number * size, 0))
    if place != 0:
        memset(place, 0, number * size)
    return place


def reallocate(pool: int, place: int, size: int) -> int:
    """Memory of another size with what lies at `place`, which is given up."""
    room = word(place - BLOCK_HEADER) - BLOCK_HEADER if place != 0 else 0
    if place != 0 and size <= room:
        return place
    found = call3(word(pool + 8 * ALLOCATE), (pool, size, 0))
    if found != 0 and place != 0:
        memcpy(found, place, minimum(room, size))
        call3(word(pool + 8 * RELEASED), (pool, place, 0))
    return found
