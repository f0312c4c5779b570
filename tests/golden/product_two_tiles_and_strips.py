"""a,b,c->abc

A[a]: int8
B[b]: int8
C[c]: int8
D[a, b, c]: int8
a: free, runs in parallel
b: free, runs in parallel
c: free, innermost, its strips run in parallel, unit stride in C, D
"""

from numba.types import int8

from einjit.kernel.intrinsics import minimum, pointer

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = pointer(operands[0], int8)
    B = pointer(operands[1], int8)
    C = pointer(operands[2], int8)
    D = pointer(operands[3], int8)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    D_a = sizes[4]
    D_b = sizes[5]
    strips = (n_c + 16383) // 16384
    for tile in range(first, last):  # free, parallel: a, b, strips of c
        low = tile % strips * 16384
        rest = tile // strips
        high = minimum(n_c, low + 16384)
        b = rest % n_b
        a = rest // n_b
        hoisted_1 = int8(A[a * A_a] * B[b * B_b])
        for c in range(low, high):  # free, innermost
            D[a * D_a + b * D_b + c] = int8(hoisted_1 * C[c])
