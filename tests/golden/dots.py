"""ac,bc->ab

A[a, c]: float32
B[b, c]: float32
C[a, b]: float32, summed in float32
a: free, 4 at a time
b: free, 2 at a time
c: contracted, innermost, unit stride in A, B
"""

from numba.types import float32

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.rows import row_sums

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float32)
    B = restrict(operands[1], float32)
    C = restrict(operands[2], float32)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    B_b = sizes[4]
    C_a = sizes[5]
    C_b = sizes[6]
    sums = scratch(8, float32)  # of rows of A times rows of B
    parts_b = parts(n_b, 2)
    for tile in range(first, last):  # free, parallel
        a = tile * 4
        for part_b in range(parts_b):  # free
            b = part_b * 2
            a_1 = minimum(a + 1, n_a - 1)
            a_2 = minimum(a + 2, n_a - 1)
            a_3 = minimum(a + 3, n_a - 1)
            b_1 = minimum(b + 1, n_b - 1)
            at_A_0 = a * A_a
            at_A_1 = a_1 * A_a
            at_A_2 = a_2 * A_a
            at_A_3 = a_3 * A_a
            at_B_0 = b * B_b
            at_B_1 = b_1 * B_b
            row_sums(
                sums,
                A,
                (at_A_0, at_A_1, at_A_2, at_A_3),
                B,
                (at_B_0, at_B_1),
                minimum(n_c, 2048),
                4 * A_a,
                0,
                8,
            )
            for block in range(1, parts(n_c, 2048)):  # of terms
                at_A_0 += 2048
                at_A_1 += 2048
                at_A_2 += 2048
                at_A_3 += 2048
                at_B_0 += 2048
                at_B_1 += 2048
                row_sums(
                    sums,
                    A,
                    (at_A_0, at_A_1, at_A_2, at_A_3),
                    B,
                    (at_B_0, at_B_1),
                    minimum(n_c - block * 2048, 2048),
                    4 * A_a,
                    1,
                    8,
                )
            at = a * C_a + b * C_b
            C[at] = sums[0]
            if b + 1 < n_b:
                C[at + 1 * C_b] = sums[1]
            if a + 1 < n_a:
                C[at + 1 * C_a] = sums[2]
                if b + 1 < n_b:
                    C[at + 1 * C_a + 1 * C_b] = sums[3]
            if a + 2 < n_a:
                C[at + 2 * C_a] = sums[4]
                if b + 1 < n_b:
                    C[at + 2 * C_a + 1 * C_b] = sums[5]
            if a + 3 < n_a:
                C[at + 3 * C_a] = sums[6]
                if b + 1 < n_b:
                    C[at + 3 * C_a + 1 * C_b] = sums[7]
