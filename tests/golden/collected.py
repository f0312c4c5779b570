"""abc->abc

A[a, b, c]: uint32, turned round in registers
B[a, b, c]: uint32, collected in the cache, written past it
a: free, in tiles
b: free, in tiles
c: free, in tiles
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.streams import settle, stream
from einjit.kernel.turning import turn
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint32)
    B = restrict(operands[1], uint32)
    # extents n_a, those of tiles box_a; strides A_a in elements, where not 1
    n_a = sizes[0]
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    A_c = sizes[4]
    B_a = sizes[5]
    B_b = sizes[6]
    box_a = sizes[7]
    box_b = sizes[8]
    box_c = sizes[9]
    ahead = sizes[10]
    made = scratch(16384, uint32)  # a tile of the result
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    for tile in range(first, last):  # free, parallel
        b0 = tile % boxes_b * box_b
        rest = tile // boxes_b
        c0 = rest % boxes_c * box_c
        rest = rest // boxes_c
        a0 = rest * box_a
        e_a = minimum(box_a, n_a - a0)
        e_b = minimum(box_b, n_b - b0)
        e_c = minimum(box_c, n_c - c0)
        at_A = a0 * A_a + b0 + c0 * A_c
        at_B = a0 * B_a + b0 * B_b + c0
        row = e_c  # from one b to the next
        for a in range(e_a):
            for c in range(0, e_c, 8):  # blocks that are transposed
                c = minimum(c, e_c - 8)  # overlaps the one before at the end
                for b in range(0, e_b, 8):
                    b = minimum(b, e_b - 8)  # overlaps the one before at the end
                    source, to = at_A + c * A_c + b + a * A_a, b * row + c + a * e_b * row
                    for step in range(8):
                        prefetch(A, source + step * A_c + ahead)
                    turn(made, to, row, A, source, A_c, 8, 8, 0, 8)
        stream(made, 0, B, at_B, e_a * e_b * e_c, 8)
    settle()
