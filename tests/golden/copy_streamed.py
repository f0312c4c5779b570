"""abc->abc

A[a, b, c]: complex128
B[a, b, c]: complex128, written past the caches
a: free, runs in parallel
b: free, runs in parallel
c: free, innermost, unit stride in A, B
c: 2 at a time
"""

from numba.types import complex128

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.streams import settle, store_past, to_line
from einjit.kernel.vectors import load

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex128)
    B = restrict(operands[1], complex128)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    A_b = sizes[3]
    B_a = sizes[4]
    B_b = sizes[5]
    b = first % n_b
    rest = first // n_b
    a = rest
    for _ in range(first, last):  # free, parallel: a, b
        c = 0
        begin = minimum(c + to_line(B, a * B_a + b * B_b + c), n_c)
        vectors = (n_c - begin) // 2
        for c in range(begin):
            B[a * B_a + b * B_b + c] = A[a * A_a + b * A_b + c]
        for step in range(vectors):  # innermost
            c = begin + step * 2
            made = load(A, a * A_a + b * A_b + c, 1, 2)
            store_past(made, B, a * B_a + b * B_b + c)
        for c in range(begin + vectors * 2, n_c):
            B[a * B_a + b * B_b + c] = A[a * A_a + b * A_b + c]
        b += 1
        if b >= n_b:
            b = 0
            a += 1
    settle()
