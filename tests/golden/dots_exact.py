"""abce,acde->abcd

A[a, b, c, e]: int16
B[a, c, d, e]: int16
C[a, b, c, d]: int16, summed in int16
a: free
b: free, 4 at a time
c: free
d: free, 2 at a time
e: contracted, innermost, unit stride in A, B
"""

from numba.types import int16

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.rows import row_sums

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], int16)
    B = restrict(operands[1], int16)
    C = restrict(operands[2], int16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[1]
    n_c = sizes[2]
    n_d = sizes[3]
    n_e = sizes[4]
    A_a = sizes[5]
    A_b = sizes[6]
    A_c = sizes[7]
    B_a = sizes[8]
    B_c = sizes[9]
    B_d = sizes[10]
    C_a = sizes[11]
    C_b = sizes[12]
    C_c = sizes[13]
    C_d = sizes[14]
    sums = scratch(8, int16)  # of rows of A times rows of B
    parts_b = parts(n_b, 4)
    parts_d = parts(n_d, 2)
    for tile in range(first, last):  # free, parallel
        b = tile % parts_b * 4
        rest = tile // parts_b
        a = rest
        for c in range(n_c):  # free
            for part_d in range(parts_d):  # free
                d = part_d * 2
                b_1 = minimum(b + 1, n_b - 1)
                b_2 = minimum(b + 2, n_b - 1)
                b_3 = minimum(b + 3, n_b - 1)
                d_1 = minimum(d + 1, n_d - 1)
                at_A_0 = a * A_a + b * A_b + c * A_c
                at_A_1 = a * A_a + b_1 * A_b + c * A_c
                at_A_2 = a * A_a + b_2 * A_b + c * A_c
                at_A_3 = a * A_a + b_3 * A_b + c * A_c
                at_B_0 = a * B_a + c * B_c + d * B_d
                at_B_1 = a * B_a + c * B_c + d_1 * B_d
                row_sums(
                    sums,
                    A,
                    (at_A_0, at_A_1, at_A_2, at_A_3),
                    B,
                    (at_B_0, at_B_1),
                    minimum(n_e, 4096),
                    4 * A_b,
                    0,
                    16,
                )
                for block in range(1, parts(n_e, 4096)):  # of terms
                    at_A_0 += 4096
                    at_A_1 += 4096
                    at_A_2 += 4096
                    at_A_3 += 4096
                    at_B_0 += 4096
                    at_B_1 += 4096
                    row_sums(
                        sums,
                        A,
                        (at_A_0, at_A_1, at_A_2, at_A_3),
                        B,
                        (at_B_0, at_B_1),
                        minimum(n_e - block * 4096, 4096),
                        4 * A_b,
                        1,
                        16,
                    )
                at = a * C_a + b * C_b + c * C_c + d * C_d
                C[at] = sums[0]
                if d + 1 < n_d:
                    C[at + 1 * C_d] = sums[1]
                if b + 1 < n_b:
                    C[at + 1 * C_b] = sums[2]
                    if d + 1 < n_d:
                        C[at + 1 * C_b + 1 * C_d] = sums[3]
                if b + 2 < n_b:
                    C[at + 2 * C_b] = sums[4]
                    if d + 1 < n_d:
                        C[at + 2 * C_b + 1 * C_d] = sums[5]
                if b + 3 < n_b:
                    C[at + 3 * C_b] = sums[6]
                    if d + 1 < n_d:
                        C[at + 3 * C_b + 1 * C_d] = sums[7]
