"""ab->ab

A[a, b]: uint32, turned round in the L1 cache
B[a, b]: uint32
a: free, in tiles
b: free, in tiles
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.vectors import prefetch, transpose_first

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint32)
    B = restrict(operands[1], uint32)
    # extents n_a, those of tiles box_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_b = sizes[2]
    B_a = sizes[3]
    box_a = sizes[4]
    box_b = sizes[5]
    A_turned = scratch(4096, uint32)  # a tile, in the L1 cache
    row = parts(box_b, 8) * 8  # of a tile that is turned
    boxes_a = parts(n_a, box_a)
    for tile in range(first, last):  # free, parallel
        a0 = tile % boxes_a * box_a
        rest = tile // boxes_a
        b0 = rest * box_b
        e_a = minimum(box_a, n_a - a0)
        e_b = minimum(box_b, n_b - b0)
        at_A = a0 + b0 * A_b
        ahead = at_A + 2 * box_a
        for b in range(0, e_b, 8):  # blocks that are transposed
            for a in range(0, e_a, 8):
                transpose_first(
                    A_turned, a * row + b, row, A, at_A + b * A_b + a, A_b, e_b - b, e_a - a, 8
                )
                for i in range(8):
                    prefetch(A, ahead + (b + i) * A_b + a)
        for a in range(e_a):
            for b in range(e_b):  # innermost
                B[(a0 + a) * B_a + (b0 + b)] = A_turned[a * row + b]
