"""ab,b->a

A[a, b]: bool
B[b]: bool
C[a]: bool, summed in bool
a: free, runs in parallel
b: contracted, innermost, unit stride in A, B
"""

from numba.types import uint8

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint8)
    B = restrict(operands[1], uint8)
    C = restrict(operands[2], uint8)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    C_a = sizes[2]
    for a in range(first, last):  # free, parallel: a tile each
        total = uint8(0)
        for b in range(n_b):  # contracted, innermost
            product = uint8(A[a * A_a + b] != 0)
            total = uint8(total | uint8(product & uint8(B[b] != 0)))
        C[a * C_a] = total
