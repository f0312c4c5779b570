""",ab,b->ab

A[]: complex128
B[a, b]: complex128
C[b]: complex128
D[a, b]: complex128
a: free, runs in parallel
b: free, innermost, unit stride in B, C, D
b: 2 at a time
"""

from numba.types import complex128

from einjit.kernel.intrinsics import restrict, times
from einjit.kernel.streams import fill, multiplied
from einjit.kernel.vectors import load, store

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex128)
    B = restrict(operands[1], complex128)
    C = restrict(operands[2], complex128)
    D = restrict(operands[3], complex128)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    B_a = sizes[1]
    D_a = sizes[2]
    hoisted_1 = A[0]
    for a in range(first, last):  # free, parallel: a tile each
        vectors = n_b // 2
        factor = fill(hoisted_1, 2)
        for step in range(vectors):  # innermost
            b = step * 2
            made = multiplied(factor, load(B, a * B_a + b, 1, 2))
            made = multiplied(made, load(C, b, 1, 2))
            store(made, D, a * D_a + b)
        for b in range(vectors * 2, n_b):
            product = times(times(hoisted_1, B[a * B_a + b]), C[b])
            D[a * D_a + b] = product + complex128(0)
