"""abcd->abcd

A[a, b, c, d]: uint64, turned round in registers
B[a, b, c, d]: uint64, collected in the cache, written past it
a: free
b: free, in tiles
c: free, in tiles
d: free, in tiles
"""

from numba.types import uint64

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.streams import settle, stream
from einjit.kernel.turning import turn
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint64)
    B = restrict(operands[1], uint64)
    # extents n_a, those of tiles box_a; strides A_a in elements, where not 1
    n_b = sizes[1]
    n_c = sizes[2]
    n_d = sizes[3]
    A_a = sizes[4]
    A_b = sizes[5]
    A_d = sizes[6]
    B_a = sizes[7]
    B_b = sizes[8]
    B_c = sizes[9]
    box_b = sizes[10]
    box_c = sizes[11]
    box_d = sizes[12]
    ahead = sizes[13]
    made = scratch(8192, uint64)  # a tile of the result
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    for tile in range(first, last):  # free, parallel
        c0 = tile % boxes_c * box_c
        rest = tile // boxes_c
        d0 = rest % boxes_d * box_d
        rest = rest // boxes_d
        b0 = rest % boxes_b * box_b
        rest = rest // boxes_b
        a = rest
        e_b = minimum(box_b, n_b - b0)
        e_c = minimum(box_c, n_c - c0)
        e_d = minimum(box_d, n_d - d0)
        at_A = a * A_a + b0 * A_b + c0 + d0 * A_d
        at_B = a * B_a + b0 * B_b + c0 * B_c + d0
        row = e_b * e_d  # from one c to the next
        for b in range(e_b):
            for d in range(0, e_d, 4):  # blocks that are transposed
                d = minimum(d, e_d - 4)  # overlaps the one before at the end
                for c in range(0, e_c, 4):
                    c = minimum(c, e_c - 4)  # overlaps the one before at the end
                    source, to = at_A + d * A_d + c + b * A_b, c * row + d + b * e_d
                    for step in range(4):
                        prefetch(A, source + step * A_d + ahead)
                    turn(made, to, row, A, source, A_d, 4, 4, 0, 4)
        rows, length = e_c, row
        if B_c == row:
            rows, length = 1, e_c * row
        for step in range(rows):
            at = at_B + step * B_c
            stream(made, step * length, B, at, length, 4)
    settle()
