"""macrokernel 3×32

C[i, j] = Σ A[i, k] B[k, j] in uint8, added to C with `accumulate`
microkernels of 3 rows × 2 vectors of 16 lanes, or fewer
four terms of bytes are multiplied by one instruction
j has unit stride in C, and in B within each micropanel: where that begins, B lies at
j * b_j + k * b_k; a strip of A begins at i * a_i; strides are given in elements
"""

from numba.types import uint8

from einjit.kernel.fours import product_by_fours
from einjit.kernel.intrinsics import minimum, pointer, scratch
from einjit.kernel.vectors import load, load_first, prefetch, store, update

CODEGEN = 1


def contract(m, n, depth, a, a_i, a_m, a_k, b, b_j, b_k, c, c_m, accumulate):
    A = pointer(a, uint8)
    B = pointer(b, uint8)
    C = pointer(c, uint8)
    copy = scratch(816, uint8)  # of a strip of A
    ask_c = depth >= 64 and m * c_m > 4096  # for tiles of C
    strips = (m + 2) // 3
    nothing = (A, 0, 0, depth, 0)  # to be asked for
    height = (m + strips - 1) // strips
    i = 0
    while i < m:  # IR: a strip of A
        rows = minimum(height, m - i)
        below = i + height
        strip, at, s_m = A, i * a_i, a_m
        if a_k == 1 and a_m % 4096 == 0 and n > 32:
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
        further, run, again = a_m, rows, 64
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
                if ask_c:
                    for r in range(rows):
                        prefetch(C, (i + r) * c_m + j + 15)
                        prefetch(C, (i + r) * c_m + j + 31)
                if rows == 3:
                    tile = product_by_fours(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 3, 2, 0, asked, 16
                    )
                    update(tile, C, i * c_m + j, c_m, n - j - 16, accumulate)
                elif rows == 2:
                    tile = product_by_fours(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 2, 2, 0, asked, 16
                    )
                    update(tile, C, i * c_m + j, c_m, n - j - 16, accumulate)
                else:
                    tile = product_by_fours(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 1, 2, 0, asked, 16
                    )
                    update(tile, C, i * c_m + j, c_m, n - j - 16, accumulate)
            else:
                if ask_c:
                    for r in range(rows):
                        prefetch(C, (i + r) * c_m + j + 15)
                if rows == 3:
                    tile = product_by_fours(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 3, 1, 0, asked, 16
                    )
                    update(tile, C, i * c_m + j, c_m, n - j, accumulate)
                elif rows == 2:
                    tile = product_by_fours(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 2, 1, 0, asked, 16
                    )
                    update(tile, C, i * c_m + j, c_m, n - j, accumulate)
                else:
                    tile = product_by_fours(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 1, 1, 0, asked, 16
                    )
                    update(tile, C, i * c_m + j, c_m, n - j, accumulate)
            j += 32
            asked = nothing
        i = below
