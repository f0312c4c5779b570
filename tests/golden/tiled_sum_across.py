"""ab,ab->b

A[a, b]: complex64, turned round in the cache
B[a, b]: complex64
C[b]: complex64, summed in complex64
a: contracted, in tiles
b: free, in tiles
"""

from numba.types import complex64

from einjit.kernel.intrinsics import minimum, restrict, scratch, times
from einjit.kernel.memory import parts
from einjit.kernel.turning import turn
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex64)
    B = restrict(operands[1], complex64)
    C = restrict(operands[2], complex64)
    # extents n_a, those of tiles box_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    A_b = sizes[1]
    B_a = sizes[2]
    box_a = sizes[3]
    box_b = sizes[4]
    n_b = 30
    A_turned = scratch(2048, complex64)  # a tile, in the cache
    row = parts(box_b, 4) * 4  # of a tile that is turned
    total = scratch(2048, complex64)  # sums of a tile
    part = scratch(2048, complex64)  # and of a block of terms
    boxes_a = parts(n_a, box_a)
    b0 = first * box_b
    for _ in range(first, last):  # free, parallel
        e_b = minimum(box_b, n_b - b0)
        for step in range(e_b):
            total[step] = complex64(0)
            part[step] = complex64(0)
        terms = 0
        for box in range(boxes_a):  # contracted, in tiles
            a0 = box * box_a
            e_a = minimum(box_a, n_a - a0)
            at_A = a0 + b0 * A_b
            ahead = at_A + 2 * box_a
            for b in range(0, e_b, 4):  # blocks that are transposed
                b = minimum(b, e_b - 4)  # overlaps the one before at the end
                for a in range(0, e_a, 4):
                    a = minimum(a, e_a - 4)  # overlaps the one before at the end
                    turn(A_turned, a * row + b, row, A, at_A + b * A_b + a, A_b, 4, 4, 0, 4)
                    for step in range(4):
                        prefetch(A, ahead + (b + step) * A_b + a)
            at_B = a0 * B_a + b0
            ahead = at_B + 2 * box_a * B_a
            for a in range(e_a):  # tiles of B
                for b in range(0, e_b, 8):
                    prefetch(B, ahead + a * B_a + b)
            for a in range(e_a):
                for b in range(e_b):  # innermost
                    run = part[b]
                    product = A_turned[a * row + b]
                    product = times(product, B[(a0 + a) * B_a + (b0 + b)])
                    run = run + product
                    part[b] = run
            terms += e_a
            if terms >= 256:
                for step in range(e_b):
                    total[step] = total[step] + part[step]
                    part[step] = complex64(0)
                terms = 0
        for b in range(e_b):
            C[(b0 + b)] = total[b] + part[b]
        b0 += box_b
