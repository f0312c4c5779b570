"""abc->ac

A[a, b, c]: float32
B[a, c]: float32, summed in float32
a: free
b: contracted, each follows the one before
c: free, 3 side by side
"""

from numba.types import float32

from einjit.kernel.columns import column_sums
from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float32)
    B = restrict(operands[1], float32)
    # extents n_a; strides A_a in elements, where they are not known
    n_b = sizes[1]
    A_a = sizes[2]
    B_a = sizes[3]
    B_c = sizes[4]
    sums = scratch(3, float32)
    for tile in range(first, last):  # parallel
        a = tile
        length = n_b  # rows
        for step in range(3):
            sums[step] = float32(0)
        at_A = a * A_a
        for block in range(parts(length, 2048)):  # of rows
            row = block * 2048
            column_sums(sums, A, at_A + row * 3, minimum(length - row, 2048), 3, 0, 0, 8)
        at = a * B_a
        for c in range(3):
            B[at + c * B_c] = sums[c]
