"""abc->abc

A[a, b, c]: uint8
B[a, b, c]: uint8
a: free
b: free, in tiles
c: free, in tiles
"""

from numba.types import uint8

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint8)
    B = restrict(operands[1], uint8)
    # extents n_a, those of tiles box_a; strides A_a in elements, where they are not 1
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    A_b = sizes[4]
    B_a = sizes[5]
    B_b = sizes[6]
    box_b = sizes[7]
    box_c = sizes[8]
    boxes_c = parts(n_c, box_c)
    boxes_b = parts(n_b, box_b)
    b0 = first % boxes_b * box_b
    rest = first // boxes_b
    c0 = rest % boxes_c * box_c
    rest = rest // boxes_c
    a = rest
    for _ in range(first, last):  # free, parallel
        e_b = minimum(box_b, n_b - b0)
        e_c = minimum(box_c, n_c - c0)
        for b in range(e_b):
            for c in range(e_c):  # innermost
                B[a * B_a + (b0 + b) * B_b + (c0 + c)] = A[a * A_a + (b0 + b) * A_b + (c0 + c)]
        b0 += box_b
        if b0 >= n_b:
            b0 = 0
            c0 += box_c
            if c0 >= n_c:
                c0 = 0
                a += 1
