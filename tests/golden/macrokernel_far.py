"""macrokernel 2×16 of a far B

C[i, j] = Σ A[i, k] B[k, j] in float32, added to C with `accumulate`
microkernels of 2 rows × 2 vectors of 8 lanes, or fewer
what is read next of B is asked for
j has unit stride in C, and in B within each micropanel: where that begins, B lies at
j * b_j + k * b_k; a strip of A begins at i * a_i; strides are given in elements
"""

from numba.types import float32

from einjit.kernel.intrinsics import minimum, pointer, scratch
from einjit.kernel.vectors import load, load_first, prefetch, product, store, update

CODEGEN = 1


def contract(m, n, depth, a, a_i, a_m, a_k, b, b_j, b_k, c, c_m, accumulate):
    A = pointer(a, float32)
    B = pointer(b, float32)
    C = pointer(c, float32)
    copy = scratch(528, float32)  # of a strip of A
    ask_c = depth >= 64 and m * c_m > 4096  # for tiles of C
    strips = (m + 1) // 2
    ahead = depth * b_k if n < 512 else 128  # of B
    nothing = (A, 0, 0, depth, 0)  # to be asked for
    height = (m + strips - 1) // strips
    i = 0
    while i < m:  # IR: a strip of A
        rows = minimum(height, m - i)
        below = i + height
        strip, at, s_m = A, i * a_i, a_m
        if a_k == 1 and a_m % 1024 == 0 and n > 16:
            for r in range(rows):
                from_row = (i + r) * a_m
                k = 0
                while k + 8 <= depth:
                    store(load(A, from_row + k, 1, 8), copy, r * 264 + k)
                    k += 8
                if k < depth:
                    last = load_first(A, from_row + k, 1, depth - k, 8)
                    store(last, copy, r * 264 + k)
            strip, at, s_m = copy, 0, 264
        further, run, again = a_m, rows, 16
        next_strip = i * a_i + depth * a_k
        if a_k != 1:
            next_strip += (height - 1) * a_m
            further, run, again = a_k, depth, 0
        asked = (A, next_strip, further, run, again)
        j = 0
        while j < n:  # JR: a micropanel of B
            if n - j > 8:
                if ask_c:
                    for r in range(rows):
                        prefetch(C, (i + r) * c_m + j + 7)
                        prefetch(C, (i + r) * c_m + j + 15)
                if rows == 2:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 2, 2, 1, ahead, asked, 8
                    )
                    update(tile, C, i * c_m + j, c_m, n - j - 8, accumulate)
                else:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 1, 2, 1, ahead, asked, 8
                    )
                    update(tile, C, i * c_m + j, c_m, n - j - 8, accumulate)
            else:
                if ask_c:
                    for r in range(rows):
                        prefetch(C, (i + r) * c_m + j + 7)
                if rows == 2:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 2, 1, 1, ahead, asked, 8
                    )
                    update(tile, C, i * c_m + j, c_m, n - j, accumulate)
                else:
                    tile = product(
                        strip, at, s_m, a_k, B, j * b_j, b_k, depth, 1, 1, 1, ahead, asked, 8
                    )
                    update(tile, C, i * c_m + j, c_m, n - j, accumulate)
            j += 16
            asked = nothing
        i = below
