"""abd,acd->abc

A[a, b, d]: float32
B[a, c, d]: float32
C[a, b, c]: float32, summed in float32
a: free, runs in parallel
b: free
c: free
d: contracted, innermost, unit stride in A
"""

from numba.types import float32

from einjit.kernel.intrinsics import restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float32)
    B = restrict(operands[1], float32)
    C = restrict(operands[2], float32)
    # extents n_a; strides A_a in elements, where they are not 1
    A_a = sizes[0]
    B_a = sizes[1]
    C_a = sizes[2]
    n_b = 3
    n_c = 3
    n_d = 3
    A_b = 3
    B_c = 1
    B_d = 3
    C_b = 3
    C_c = 1
    totals = scratch(9, float32)  # in registers
    for a in range(first, last):  # free, parallel: a tile each
        for b in range(n_b):
            for c in range(n_c):
                total = float32(0)
                for d in range(n_d):  # contracted
                    product = A[a * A_a + b * A_b + d]
                    total = total + product * B[a * B_a + c * B_c + d * B_d]
                totals[b * 3 + c] = total
        for b in range(n_b):
            for c in range(n_c):
                C[a * C_a + b * C_b + c * C_c] = totals[b * 3 + c]
