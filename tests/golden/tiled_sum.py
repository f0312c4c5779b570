"""abc,abc->bc

A[a, b, c]: float64
B[a, b, c]: float64, turned round in the cache
C[b, c]: float64, summed in float64
a: contracted
b: free, in tiles
c: free, in tiles
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
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
    A_b = sizes[3]
    B_a = sizes[4]
    B_c = sizes[5]
    C_b = sizes[6]
    box_b = sizes[7]
    box_c = sizes[8]
    n_c = 30
    B_turned = scratch(14336, float64)  # a tile, in the cache
    row = parts(box_c, 4) * 4  # of a tile that is turned
    total = scratch(14336, float64)  # sums of a tile
    part = scratch(14336, float64)  # and of a block of terms
    boxes_b = parts(n_b, box_b)
    b0 = first % boxes_b * box_b
    rest = first // boxes_b
    c0 = rest * box_c
    for _ in range(first, last):  # free, parallel
        e_b = minimum(box_b, n_b - b0)
        e_c = minimum(box_c, n_c - c0)
        for step in range(e_b * e_c):
            total[step] = float64(0)
            part[step] = float64(0)
        terms = 0
        for a in range(n_a):  # contracted
            at_B = a * B_a + b0 + c0 * B_c
            ahead = at_B + 2 * B_a
            for c in range(0, e_c, 4):  # blocks that are transposed
                c = minimum(c, e_c - 4)  # overlaps the one before at the end
                for b in range(0, e_b, 4):
                    b = minimum(b, e_b - 4)  # overlaps the one before at the end
                    turn(B_turned, b * row + c, row, B, at_B + c * B_c + b, B_c, 4, 4, 0, 4)
                    for step in range(4):
                        prefetch(B, ahead + (c + step) * B_c + b)
            at_A = a * A_a + b0 * A_b + c0
            ahead = at_A + 2 * A_a
            for b in range(e_b):  # tiles of A
                for c in range(0, e_c, 8):
                    prefetch(A, ahead + b * A_b + c)
            for b in range(e_b):
                for c in range(e_c):  # innermost
                    run = part[b * e_c + c]
                    product = A[a * A_a + (b0 + b) * A_b + (c0 + c)]
                    run = run + product * B_turned[b * row + c]
                    part[b * e_c + c] = run
            terms += 1
            if terms >= 256:
                for step in range(e_b * e_c):
                    total[step] = total[step] + part[step]
                    part[step] = float64(0)
                terms = 0
        for b in range(e_b):
            for c in range(e_c):
                C[(b0 + b) * C_b + (c0 + c)] = total[b * e_c + c] + part[b * e_c + c]
        b0 += box_b
        if b0 >= n_b:
            b0 = 0
            c0 += box_c
