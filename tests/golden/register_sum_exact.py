"""ac,bc->ab

A[a, c]: int16
B[b, c]: int16
C[a, b]: int16, summed in int16
a: free, runs in parallel
b: free, runs in parallel
c: contracted, innermost, unit stride in A, B
"""

from numba.types import int16

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], int16)
    B = restrict(operands[1], int16)
    C = restrict(operands[2], int16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    C_a = sizes[4]
    C_b = sizes[5]
    b = first % n_b
    rest = first // n_b
    a = rest
    for _ in range(first, last):  # free, parallel: a, b
        total = int16(0)
        for c in range(n_c):  # contracted, innermost
            total = int16(total + int16(A[a * A_a + c] * B[b * B_b + c]))
        C[a * C_a + b * C_b] = total
        b += 1
        if b >= n_b:
            b = 0
            a += 1
