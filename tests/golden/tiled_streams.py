"""ab,ab->ab

A[a, b]: float64
B[a, b]: float64, turned round in the cache
C[a, b]: float64, written past the caches
a: free, in tiles
b: free, in tiles
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.streams import settle, stream
from einjit.kernel.turning import turn
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a, those of tiles box_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    C_a = sizes[4]
    box_a = sizes[5]
    box_b = sizes[6]
    B_turned = scratch(2048, float64)  # a tile, in the cache
    row = parts(box_b, 4) * 4  # of a tile that is turned
    made = scratch(2048, float64)  # a tile of the result
    boxes_a = parts(n_a, box_a)
    a0 = first % boxes_a * box_a
    rest = first // boxes_a
    b0 = rest * box_b
    for _ in range(first, last):  # free, parallel
        e_a = minimum(box_a, n_a - a0)
        e_b = minimum(box_b, n_b - b0)
        at_B = a0 + b0 * B_b
        ahead = at_B + 2 * box_a
        for b in range(0, e_b, 4):  # blocks that are transposed
            b = minimum(b, e_b - 4)  # overlaps the one before at the end
            for a in range(0, e_a, 4):
                a = minimum(a, e_a - 4)  # overlaps the one before at the end
                turn(B_turned, a * row + b, row, B, at_B + b * B_b + a, B_b, 4, 4, 0, 4)
                for step in range(4):
                    prefetch(B, ahead + (b + step) * B_b + a)
        at_A = a0 * A_a + b0
        ahead = at_A + 2 * box_a * A_a
        for a in range(e_a):  # tiles of A
            for b in range(0, e_b, 8):
                prefetch(A, ahead + a * A_a + b)
        for a in range(e_a):
            for b in range(e_b):  # innermost
                product = A[(a0 + a) * A_a + (b0 + b)]
                made[a * e_b + b] = product * B_turned[a * row + b] + float64(0)
        at_C = a0 * C_a + b0
        rows, length = e_a, e_b
        if C_a == e_b:
            rows, length = 1, e_a * e_b
        for step in range(rows):
            at = at_C + step * C_a
            stream(made, step * length, C, at, length, 4)
        a0 += box_a
        if a0 >= n_a:
            a0 = 0
            b0 += box_b
    settle()
