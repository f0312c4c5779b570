"""macrokernel 3×32 past the caches

C[i, j] = Σ A[i, k] B[k, j] in int16, whole lines past the caches
microkernels of 3 rows × 2 vectors of 16 lanes, or fewer
j has unit stride in C, and in B within each micropanel: where that begins, B lies at
j * b_j + k * b_k; a strip of A begins at i * a_i; strides are given in elements
"""

from numba.types import int16

from einjit.kernel.intrinsics import minimum, pointer, scratch
from einjit.kernel.vectors import load, load_first, product, store, update_past

CODEGEN = 1


def contract(m, n, depth, a, a_i, a_m, a_k, b, b_j, b_k, c, c_m, accumulate):
    A = pointer(a, int16)
    B = pointer(b, int16)
    C = pointer(c, int16)
    copy = scratch(816, int16)  # of a strip of A
    strips = (m + 2) // 3
    nothing = (A, 0, 0, depth, 0)  # to be asked for
    height = (m + strips - 1) // strips
    i = 0
    while i < m:  # IR: a strip of A
        rows = minimum(height, m - i)
        below = i + height
        strip, at, s_m = A, i * a_i, a_m
        if a_k == 1 and a_m % 2048 == 0 and n > 32:
            for r in range(rows):
                from_row = (i + r) * a_m
                k = 0
                while k + 16 <= depth:
                    store(load(A, from_row + k, 1, 16), copy, r * 272 + k)
                    k += 16
                if k < depth:
                    last = load_first(A, from_row + k, 1, depth - k, 16)
                    store(last, copy, r * 272 + k)
            strip, at, s_m = copy, 0, 272
        further, run, again = a_m, rows, 32
        next_strip = below * a_i
        if a_k != 1:
            next_strip += (height - 1) * a_m
            further, run, again = a_k, depth, 0
        asked = (A, next_strip, further, run, again)
        if below >= m:
            asked = nothing
        j = 0
        while j < n:  # JR: a micropanel of B
            if n - j > 16:
                if rows == 3:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 3, 2, 1, 0, asked, 16
                    )
                    update_past(tile, C, i * c_m + j, c_m, n - j - 16)
                elif rows == 2:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 2, 2, 1, 0, asked, 16
                    )
                    update_past(tile, C, i * c_m + j, c_m, n - j - 16)
                else:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 1, 2, 1, 0, asked, 16
                    )
                    update_past(tile, C, i * c_m + j, c_m, n - j - 16)
            else:
                if rows == 3:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 3, 1, 1, 0, asked, 16
                    )
                    update_past(tile, C, i * c_m + j, c_m, n - j)
                elif rows == 2:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 2, 1, 1, 0, asked, 16
                    )
                    update_past(tile, C, i * c_m + j, c_m, n - j)
                else:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 1, 1, 1, 0, asked, 16
                    )
                    update_past(tile, C, i * c_m + j, c_m, n - j)
            j += 32
            asked = nothing
        i = below
