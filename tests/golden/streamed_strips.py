"""a,a->a

A[a]: float64
B[a]: float64
C[a]: float64, written past the caches
a: free, innermost, its strips run in parallel, unit stride in A, B, C
a: 4 at a time
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.streams import multiplied, settle, store_past, to_line
from einjit.kernel.vectors import load

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    for tile in range(first, last):  # free, parallel: strips of a
        low = tile * 4096
        high = minimum(n_a, low + 4096)
        a = low
        begin = minimum(a + to_line(C, a), high)
        vectors = (high - begin) // 4
        for a in range(low, begin):
            C[a] = A[a] * B[a] + float64(0)
        for step in range(vectors):  # innermost
            a = begin + step * 4
            made = load(A, a, 1, 4)
            made = multiplied(made, load(B, a, 1, 4))
            store_past(made, C, a)
        for a in range(begin + vectors * 4, high):
            C[a] = A[a] * B[a] + float64(0)
    settle()
