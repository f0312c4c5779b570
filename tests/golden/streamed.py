""",a,ab->ab

A[]: complex64
B[a]: complex64
C[a, b]: complex64
D[a, b]: complex64, written past the caches
a: free, runs in parallel
b: free, innermost, unit stride in C, D
b: 4 at a time
"""

from numba.types import complex64

from einjit.kernel.intrinsics import minimum, restrict, times
from einjit.kernel.streams import fill, multiplied, settle, store_past, to_line
from einjit.kernel.vectors import load

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex64)
    B = restrict(operands[1], complex64)
    C = restrict(operands[2], complex64)
    D = restrict(operands[3], complex64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    B_a = sizes[1]
    C_a = sizes[2]
    D_a = sizes[3]
    hoisted_1 = A[0]
    for a in range(first, last):  # free, parallel: a tile each
        hoisted_2 = times(hoisted_1, B[a * B_a])
        b = 0
        begin = minimum(b + to_line(D, a * D_a + b), n_b)
        vectors = (n_b - begin) // 4
        factor = fill(hoisted_2, 4)
        for b in range(begin):
            D[a * D_a + b] = times(hoisted_2, C[a * C_a + b]) + complex64(0)
        for step in range(vectors):  # innermost
            b = begin + step * 4
            made = multiplied(factor, load(C, a * C_a + b, 1, 4))
            store_past(made, D, a * D_a + b)
        for b in range(begin + vectors * 4, n_b):
            D[a * D_a + b] = times(hoisted_2, C[a * C_a + b]) + complex64(0)
    settle()
