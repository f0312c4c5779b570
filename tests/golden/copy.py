"""ab->ab

A[a, b]: uint32, turned round in registers
B[a, b]: uint32
a: free, in tiles
b: free, in tiles
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.memory import parts
from einjit.kernel.turning import turn

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
    boxes_a = parts(n_a, box_a)
    a0 = first % boxes_a * box_a
    rest = first // boxes_a
    b0 = rest * box_b
    for _ in range(first, last):  # free, parallel
        e_a = minimum(box_a, n_a - a0)
        e_b = minimum(box_b, n_b - b0)
        at_A = a0 + b0 * A_b
        at_B = a0 * B_a + b0
        for a in range(0, e_a, 8):  # blocks that are transposed
            a = minimum(a, n_a - a0 - 8)  # overlaps the one before at the end
            for b in range(0, e_b, 8):
                b = minimum(b, n_b - b0 - 8)  # overlaps the one before at the end
                source = at_A + b * A_b + a
                to = at_B + a * B_a + b
                turn(B, to, B_a, A, source, A_b, 8, 8, 0, 8)
        a0 += box_a
        if a0 >= n_a:
            a0 = 0
            b0 += box_b
