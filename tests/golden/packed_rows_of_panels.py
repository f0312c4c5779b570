"""ad,dbc->abc

A: float64, read where it lies
B: float64, packed in micropanels
C: float64, written from registers
a: free, of A (M)
b: free, of B (N)
c: free, of B (N)
d: contracted (K)
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call9, call13, give, parts, place, take

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = operands[0]
    B = operands[1]
    C = operands[2]
    macrokernel = sizes[0]
    move = sizes[1]
    arena = take(sizes[2])
    # extents n_a and those of boxes, strides A_a in elements
    n_a = sizes[3]
    n_b = sizes[4]
    n_c = sizes[5]
    n_d = sizes[6]
    box_a = sizes[7]
    box_b = sizes[8]
    box_c = sizes[9]
    box_d = sizes[10]
    per_tile = sizes[11]
    to_b = sizes[12]
    A_a = sizes[15]
    A_d = sizes[16]
    B_d = sizes[17]
    B_b = sizes[18]
    B_c = sizes[19]
    C_a = sizes[20]
    C_b = sizes[21]
    C_c = sizes[22]
    boxes_a = parts(n_a, box_a)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    m_boxes = boxes_a  # boxes of M
    tiles_m = parts(m_boxes, per_tile)
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        m_first = tile % tiles_m * per_tile
        m_last = minimum(m_boxes, m_first + per_tile)
        rest = tile // tiles_m
        c0 = rest % boxes_c * box_c
        rest = rest // boxes_c
        b0 = rest * box_b
        e_c = minimum(box_c, n_c - c0)
        flat_c = 1
        e_b = minimum(box_b, n_b - b0)
        flat_b = parts(e_c, 8) * 8
        b_k = 8  # micropanels
        blocks = boxes_d  # of K
        for block in range(blocks):  # PC: blocks of K
            d0 = block * box_d
            e_d = minimum(box_d, n_d - d0)
            flat_d = 1
            depth = flat_d * e_d
            at_b = place(B, 8, (d0, B_d, b0, B_b, c0, B_c))
            for b in range(e_b):
                call9(
                    move,
                    (
                        e_d,
                        e_c,
                        place(b_box, 8, (b, flat_b * depth)),
                        flat_d * b_k,
                        flat_c,
                        depth,
                        place(at_b, 8, (b, B_b)),
                        B_d,
                        B_c,
                    ),
                )
            for m_box in range(m_first, m_last):  # IC: boxes of M
                a0 = m_box * box_a
                e_a = minimum(box_a, n_a - a0)
                at_c = place(C, 8, (a0, C_a, b0, C_b, c0, C_c))
                for b in range(e_b):
                    at_a = place(A, 8, (a0, A_a, d0, A_d))
                    call13(
                        macrokernel,
                        (
                            e_a,
                            e_c,
                            depth,
                            at_a,
                            A_a,
                            A_a,
                            A_d,
                            place(b_box, 8, (b, flat_b * depth)),
                            depth,
                            b_k,
                            place(at_c, 8, (b, C_b)),
                            C_a,
                            block,
                        ),
                    )
    give(arena)
