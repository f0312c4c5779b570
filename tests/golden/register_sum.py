"""ac,bc->ab

A[a, c]: complex128
B[b, c]: complex128
C[a, b]: complex128, summed in complex128
a: free, runs in parallel
b: free
c: contracted, innermost, unit stride in A, B
"""

from numba.types import complex128

from einjit.kernel.intrinsics import minimum, restrict, times

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex128)
    B = restrict(operands[1], complex128)
    C = restrict(operands[2], complex128)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    C_a = sizes[4]
    C_b = sizes[5]
    for a in range(first, last):  # free, parallel: a tile each
        for b in range(n_b):  # free
            total = complex128(0)
            part = complex128(0)
            terms = 0
            for block in range(0, n_c, 256):  # of terms
                end = minimum(n_c, block + 256)
                run = complex128(0)
                for c in range(block, end):  # contracted, innermost
                    run = run + times(A[a * A_a + c], B[b * B_b + c])
                part = part + run
                terms += end - block
                if terms >= 256:
                    total = total + part
                    part = complex128(0)
                    terms = 0
            C[a * C_a + b * C_b] = total + part
