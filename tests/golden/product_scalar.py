""",a->a

A[]: bool
B[a]: bool
C[a]: bool
a: free, innermost, unit stride in B, C
"""

from numba.types import uint8

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint8)
    B = restrict(operands[1], uint8)
    C = restrict(operands[2], uint8)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    hoisted_1 = uint8(A[0] != 0)
    for _ in range(first, last):  # one tile
        for a in range(n_a):  # free, innermost
            C[a] = uint8(hoisted_1 & uint8(B[a] != 0))
