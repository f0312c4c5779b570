"""a,a->

A[a]: bool
B[a]: bool
C[]: bool, summed in bool
a: contracted, innermost, unit stride in A, B
"""

from numba.types import uint8

from einjit.kernel.intrinsics import minimum, restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint8)
    B = restrict(operands[1], uint8)
    C = restrict(operands[2], uint8)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    for _ in range(first, last):  # one tile
        total = uint8(0)
        block, length = 0, 512
        while block < n_a and total == 0:  # of terms, twice as many each
            end = minimum(n_a, block + length)
            for a in range(block, end):  # contracted, innermost
                product = uint8(uint8(A[a] != 0) & uint8(B[a] != 0))
                total = uint8(total | product)
            block, length = end, 2 * length
        C[0] = total
