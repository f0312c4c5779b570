"""a,ab,b->a

A[a]: int32
B[a, b]: int32
C[b]: int32
D[a]: int32, summed in int32
a: free, runs in parallel
b: contracted, innermost, unit stride in B, C
"""

from numba.types import int32

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], int32)
    B = restrict(operands[1], int32)
    C = restrict(operands[2], int32)
    D = restrict(operands[3], int32)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_a = sizes[2]
    B_a = sizes[3]
    D_a = sizes[4]
    for tile in range(first, last):  # free, parallel: 4 of a each
        a = tile * 4
        if a + 4 <= n_a:
            hoisted_1 = A[a * A_a]
            hoisted_1_1 = A[(a + 1) * A_a]
            hoisted_1_2 = A[(a + 2) * A_a]
            hoisted_1_3 = A[(a + 3) * A_a]
            total = int32(0)
            total_1 = int32(0)
            total_2 = int32(0)
            total_3 = int32(0)
            for b in range(n_b):  # contracted, innermost
                product = int32(int32(hoisted_1 * B[a * B_a + b]) * C[b])
                total = int32(total + product)
                product = int32(hoisted_1_1 * B[(a + 1) * B_a + b])
                total_1 = int32(total_1 + int32(product * C[b]))
                product = int32(hoisted_1_2 * B[(a + 2) * B_a + b])
                total_2 = int32(total_2 + int32(product * C[b]))
                product = int32(hoisted_1_3 * B[(a + 3) * B_a + b])
                total_3 = int32(total_3 + int32(product * C[b]))
            D[a * D_a] = total
            D[(a + 1) * D_a] = total_1
            D[(a + 2) * D_a] = total_2
            D[(a + 3) * D_a] = total_3
        else:
            for a in range(tile * 4, n_a):
                hoisted_1 = A[a * A_a]
                total = int32(0)
                for b in range(n_b):  # contracted, innermost
                    product = int32(int32(hoisted_1 * B[a * B_a + b]) * C[b])
                    total = int32(total + product)
                D[a * D_a] = total
