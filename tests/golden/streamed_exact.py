"""a,b,c->abc

A[a]: int32
B[b]: int32
C[c]: int32
D[a, b, c]: int32, written past the caches
a: free, runs in parallel
b: free, runs in parallel
c: free, innermost, unit stride in C, D
c: 8 at a time
"""

from numba.types import int32

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.streams import fill, multiplied, settle, store_past, to_line
from einjit.kernel.vectors import load

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], int32)
    B = restrict(operands[1], int32)
    C = restrict(operands[2], int32)
    D = restrict(operands[3], int32)
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
        hoisted_1 = int32(A[a * A_a] * B[b * B_b])
        c = 0
        begin = minimum(c + to_line(D, a * D_a + b * D_b + c), n_c)
        vectors = (n_c - begin) // 8
        factor = fill(hoisted_1, 8)
        for c in range(begin):
            D[a * D_a + b * D_b + c] = int32(hoisted_1 * C[c])
        for step in range(vectors):  # innermost
            c = begin + step * 8
            made = multiplied(factor, load(C, c, 1, 8))
            store_past(made, D, a * D_a + b * D_b + c)
        for c in range(begin + vectors * 8, n_c):
            D[a * D_a + b * D_b + c] = int32(hoisted_1 * C[c])
        b += 1
        if b >= n_b:
            b = 0
            a += 1
    settle()
