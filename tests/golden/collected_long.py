"""ab->ab

A[a, b]: uint8, turned round in registers
B[a, b]: uint8, collected in the cache, written past it
a: free, in tiles
b: free, in tiles
"""

from numba.types import uint8

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.streams import settle, stream
from einjit.kernel.turning import turn
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint8)
    B = restrict(operands[1], uint8)
    # extents n_a, those of tiles box_a; strides A_a in elements, where not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_b = sizes[2]
    B_a = sizes[3]
    box_a = sizes[4]
    box_b = sizes[5]
    ahead = sizes[6]
    made = scratch(65536, uint8)  # a tile of the result
    boxes_a = parts(n_a, box_a)
    for tile in range(first, last):  # free, parallel
        a0 = tile % boxes_a * box_a
        rest = tile // boxes_a
        b0 = rest * box_b
        e_a = minimum(box_a, n_a - a0)
        e_b = minimum(box_b, n_b - b0)
        at_A = a0 + b0 * A_b
        at_B = a0 * B_a + b0
        row = e_b  # from one a to the next
        for b in range(0, e_b, 16):  # blocks that are transposed
            b = minimum(b, e_b - 16)  # overlaps the one before at the end
            for a in range(0, e_a, 16):
                a = minimum(a, e_a - 16)  # overlaps the one before at the end
                source, to = at_A + b * A_b + a, a * row + b
                for step in range(16):
                    prefetch(A, source + step * A_b + ahead)
                turn(made, to, row, A, source, A_b, 16, 16, 0, 16)
        rows, length = e_a, row
        if B_a == row:
            rows, length = 1, e_a * row
        for step in range(rows):
            at = at_B + step * B_a
            stream(made, step * length, B, at, length, 16)
    settle()
