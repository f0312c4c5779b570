"""abcd->abcd

A[a, b, c, d]: uint32, in rows as they are
B[a, b, c, d]: uint32, collected in the cache, written past it
a: free
b: free, in tiles
c: free, in tiles
d: free, a row
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.streams import settle, stream
from einjit.kernel.vectors import load_first, prefetch, store

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint32)
    B = restrict(operands[1], uint32)
    # extents n_a, those of tiles box_a; strides A_a in elements, where not 1
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    A_b = sizes[4]
    A_c = sizes[5]
    B_a = sizes[6]
    B_b = sizes[7]
    B_c = sizes[8]
    box_b = sizes[9]
    box_c = sizes[10]
    ahead = sizes[11]
    n_d = 5
    made = scratch(16392, uint32)  # a tile of the result
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    for tile in range(first, last):  # free, parallel
        b0 = tile % boxes_b * box_b
        rest = tile // boxes_b
        c0 = rest % boxes_c * box_c
        rest = rest // boxes_c
        a = rest
        e_b = minimum(box_b, n_b - b0)
        e_c = minimum(box_c, n_c - c0)
        at_A = a * A_a + b0 * A_b + c0 * A_c
        at_B = a * B_a + b0 * B_b + c0 * B_c
        row = e_c * n_d  # from one b to the next
        for b in range(e_b):
            for c in range(e_c):
                source = at_A + b * A_b + c * A_c
                to = b * row + c * n_d
                for d in range(0, n_d, 8):
                    prefetch(A, source + d + ahead)
                    some = minimum(8, n_d - d)
                    part = load_first(A, source + d, 1, some, 8)
                    store(part, made, to + d)
        rows, length = e_b, row
        if B_b == row:
            rows, length = 1, e_b * row
        for step in range(rows):
            at = at_B + step * B_b
            stream(made, step * length, B, at, length, 8)
    settle()
