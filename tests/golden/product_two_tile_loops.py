"""a,b,c->abc

A[a]: float32
B[b]: float32
C[c]: float32
D[a, b, c]: float32
a: free, runs in parallel
b: free, runs in parallel
c: free, innermost, unit stride in C, D
"""

from numba.types import float32

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float32)
    B = restrict(operands[1], float32)
    C = restrict(operands[2], float32)
    D = restrict(operands[3], float32)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    D_a = sizes[4]
    D_b = sizes[5]
    b = first % n_b
    rest = first // n_b
    a = rest
    for _ in range(first, last):  # free, parallel: a, b
        hoisted_1 = A[a * A_a] * B[b * B_b]
        for c in range(n_c):  # free, innermost
            D[a * D_a + b * D_b + c] = hoisted_1 * C[c] + float32(0)
        b += 1
        if b >= n_b:
            b = 0
            a += 1
