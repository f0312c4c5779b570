""",->

A[]: float64
B[]: float64
C[]: float64
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    hoisted_1 = A[0] * B[0]
    for _ in range(first, last):  # one tile
        C[0] = hoisted_1 + float64(0)
