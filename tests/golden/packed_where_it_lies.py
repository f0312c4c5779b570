"""abd,adc->abc

A: float32, read where it lies
B: float32, read where it lies
C: float32, written from registers
a: batch
b: free, of A (M)
c: free, of B (N)
d: contracted (K)
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call13, give, parts, place, take

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = operands[0]
    B = operands[1]
    C = operands[2]
    macrokernel = sizes[0]
    arena = take(sizes[2])
    # extents n_a and those of boxes, strides A_a in elements
    n_b = sizes[4]
    n_c = sizes[5]
    n_d = sizes[6]
    box_b = sizes[7]
    box_c = sizes[8]
    box_d = sizes[9]
    per_tile = sizes[10]
    A_a = sizes[14]
    A_b = sizes[15]
    A_d = sizes[16]
    B_a = sizes[17]
    B_d = sizes[18]
    B_c = sizes[19]
    C_a = sizes[20]
    C_b = sizes[21]
    C_c = sizes[22]
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    m_boxes = boxes_b  # boxes of M
    tiles_m = parts(m_boxes, per_tile)
    for tile in range(first, last):  # parallel
        m_first = tile % tiles_m * per_tile
        m_last = minimum(m_boxes, m_first + per_tile)
        rest = tile // tiles_m
        c0 = rest % boxes_c * box_c
        rest = rest // boxes_c
        a = rest
        e_c = minimum(box_c, n_c - c0)
        blocks = boxes_d  # of K
        for block in range(blocks):  # PC: blocks of K
            d0 = block * box_d
            e_d = minimum(box_d, n_d - d0)
            flat_d = 1
            depth = flat_d * e_d
            for m_box in range(m_first, m_last):  # IC: boxes of M
                b0 = m_box * box_b
                e_b = minimum(box_b, n_b - b0)
                at_c = place(C, 4, (a, C_a, b0, C_b, c0, C_c))
                at_a = place(A, 4, (a, A_a, b0, A_b, d0, A_d))
                at_b = place(B, 4, (a, B_a, d0, B_d, c0, B_c))
                call13(
                    macrokernel,
                    (
                        e_b,
                        e_c,
                        depth,
                        at_a,
                        A_b,
                        A_b,
                        A_d,
                        at_b,
                        1,
                        B_d,
                        at_c,
                        C_b,
                        block,
                    ),
                )
    give(arena)
