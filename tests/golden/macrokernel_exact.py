"""macrokernel 2×8

C[i, j] = Σ A[i, k] B[k, j] in uint32, added to C with `accumulate`
microkernels of up to 2 rows × 1 vectors of 8 lanes
j has unit stride in B and C; the other strides are given in elements
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, pointer
from einjit.kernel.vectors import (
    add,
    add_first,
    load,
    load_first,
    multiply_add,
    store,
    store_first,
    zeros,
)

CODEGEN = 1


def contract(m, n, depth, a, a_m, a_k, b, b_k, c, c_m, accumulate):
    A = pointer(a, uint32)
    B = pointer(b, uint32)
    C = pointer(c, uint32)
    strips = (m + 1) // 2
    height = (m + strips - 1) // strips
    j = 0
    while j < n:  # JR: a micropanel of B
        left = n - j
        if left >= 8:
            i = 0
            while i < m:  # IR: a strip of A
                rows = minimum(height, m - i)
                if rows == 2:
                    tile = zeros(2, 1, 8, uint32)
                    for k in range(depth):
                        row = load(B, k * b_k + j, 1, 8)
                        tile = multiply_add(tile, A, k * a_k + i * a_m, a_m, row)
                    if accumulate:
                        tile = add(tile, C, i * c_m + j, c_m)
                    store(tile, C, i * c_m + j, c_m)
                else:
                    tile = zeros(1, 1, 8, uint32)
                    for k in range(depth):
                        row = load(B, k * b_k + j, 1, 8)
                        tile = multiply_add(tile, A, k * a_k + i * a_m, a_m, row)
                    if accumulate:
                        tile = add(tile, C, i * c_m + j, c_m)
                    store(tile, C, i * c_m + j, c_m)
                i += height
            j += 8
        else:
            i = 0
            while i < m:  # IR: a strip of A
                rows = minimum(height, m - i)
                if rows == 2:
                    tile = zeros(2, 1, 8, uint32)
                    for k in range(depth):
                        row = load_first(B, k * b_k + j, left, 8)
                        tile = multiply_add(tile, A, k * a_k + i * a_m, a_m, row)
                    if accumulate:
                        tile = add_first(tile, C, i * c_m + j, c_m, left)
                    store_first(tile, C, i * c_m + j, c_m, left)
                else:
                    tile = zeros(1, 1, 8, uint32)
                    for k in range(depth):
                        row = load_first(B, k * b_k + j, left, 8)
                        tile = multiply_add(tile, A, k * a_k + i * a_m, a_m, row)
                    if accumulate:
                        tile = add_first(tile, C, i * c_m + j, c_m, left)
                    store_first(tile, C, i * c_m + j, c_m, left)
                i += height
            j = n
