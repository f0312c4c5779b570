"""macrokernel 2×16

C[i, j] = Σ A[i, k] B[k, j] in uint32, added to C with `accumulate`
microkernels of 2 rows × 2 vectors of 8 lanes, or as large
j has unit stride in B and C; the other strides are given in elements
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, pointer
from einjit.kernel.vectors import prefetch, product, update

CODEGEN = 1


def contract(m, n, depth, a, a_m, a_k, b, b_k, c, c_m, accumulate):
    A = pointer(a, uint32)
    B = pointer(b, uint32)
    C = pointer(c, uint32)
    j = 0
    while j < n:  # JR: a micropanel of B
        left = (n - j + 7) // 8  # vectors of a row
        vectors = left if left == 3 else minimum(left, 2)
        last = n - j - (vectors - 1) * 8  # elements of the last one
        if vectors == 2:
            strips = (m + 1) // 2
            height = (m + strips - 1) // strips
            i = 0
            while i < m:  # IR: a strip of A
                rows = minimum(height, m - i)
                if j == 0 and a_k == 1:  # ask for the next strip
                    end = minimum(m, i + 2 * height)
                    for r in range(i + height, end):
                        for k in range(0, depth, 16):
                            prefetch(A, r * a_m + k)
                if rows == 2:
                    tile = product(A, i * a_m, a_m, a_k, B, j, b_k, depth, 2, 2, 8)
                    update(tile, C, i * c_m + j, c_m, last, accumulate)
                else:
                    tile = product(A, i * a_m, a_m, a_k, B, j, b_k, depth, 1, 2, 8)
                    update(tile, C, i * c_m + j, c_m, last, accumulate)
                i += height
        elif vectors == 3:
            strips = (m + 0) // 1
            height = (m + strips - 1) // strips
            i = 0
            while i < m:  # IR: a strip of A
                rows = minimum(height, m - i)
                if j == 0 and a_k == 1:  # ask for the next strip
                    end = minimum(m, i + 2 * height)
                    for r in range(i + height, end):
                        for k in range(0, depth, 16):
                            prefetch(A, r * a_m + k)
                if rows == 1:
                    tile = product(A, i * a_m, a_m, a_k, B, j, b_k, depth, 1, 3, 8)
                    update(tile, C, i * c_m + j, c_m, last, accumulate)
                i += height
        else:
            strips = (m + 3) // 4
            height = (m + strips - 1) // strips
            i = 0
            while i < m:  # IR: a strip of A
                rows = minimum(height, m - i)
                if j == 0 and a_k == 1:  # ask for the next strip
                    end = minimum(m, i + 2 * height)
                    for r in range(i + height, end):
                        for k in range(0, depth, 16):
                            prefetch(A, r * a_m + k)
                if rows == 4:
                    tile = product(A, i * a_m, a_m, a_k, B, j, b_k, depth, 4, 1, 8)
                    update(tile, C, i * c_m + j, c_m, last, accumulate)
                elif rows == 3:
                    tile = product(A, i * a_m, a_m, a_k, B, j, b_k, depth, 3, 1, 8)
                    update(tile, C, i * c_m + j, c_m, last, accumulate)
                elif rows == 2:
                    tile = product(A, i * a_m, a_m, a_k, B, j, b_k, depth, 2, 1, 8)
                    update(tile, C, i * c_m + j, c_m, last, accumulate)
                else:
                    tile = product(A, i * a_m, a_m, a_k, B, j, b_k, depth, 1, 1, 8)
                    update(tile, C, i * c_m + j, c_m, last, accumulate)
                i += height
        j += vectors * 8
