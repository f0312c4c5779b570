"""a,b,c->abc

A[a]: bool
B[b]: bool
C[c]: bool
D[a, b, c]: bool
a: free, runs in parallel
b: free, runs in parallel
c: free, innermost, its strips run in parallel, unit stride in C, D
"""

from numba.types import uint8

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint8)
    B = restrict(operands[1], uint8)
    C = restrict(operands[2], uint8)
    D = restrict(operands[3], uint8)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    D_a = sizes[4]
    D_b = sizes[5]
    strips = parts(n_c, 32768)
    low = first % strips * 32768
    rest = first // strips
    b = rest % n_b
    rest = rest // n_b
    a = rest
    for _ in range(first, last):  # free, parallel: a, b, strips of c
        high = minimum(n_c, low + 32768)
        product = uint8(A[a * A_a] != 0)
        hoisted_1 = uint8(product & uint8(B[b * B_b] != 0))
        for c in range(low, high):  # free, innermost
            D[a * D_a + b * D_b + c] = uint8(hoisted_1 & uint8(C[c] != 0))
        low += 32768
        if low >= n_c:
            low = 0
            b += 1
            if b >= n_b:
                b = 0
                a += 1
