"""ac,cb->ab

A: float64, read where it lies
B: float64, packed in micropanels
C: float64, written from registers, past the caches
a: free, of A (M)
b: free, of B (N)
c: contracted (K)
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call9, call13, give, parts, place, take
from einjit.kernel.streams import settle

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
    box_a = sizes[6]
    box_b = sizes[7]
    box_c = sizes[8]
    per_tile = sizes[9]
    to_b = sizes[10]
    A_a = sizes[13]
    A_c = sizes[14]
    B_c = sizes[15]
    B_b = sizes[16]
    C_a = sizes[17]
    C_b = sizes[18]
    boxes_a = parts(n_a, box_a)
    boxes_c = parts(n_c, box_c)
    m_boxes = boxes_a  # boxes of M
    tiles_m = parts(m_boxes, per_tile)
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        m_first = tile % tiles_m * per_tile
        m_last = minimum(m_boxes, m_first + per_tile)
        rest = tile // tiles_m
        b0 = rest * box_b
        e_b = minimum(box_b, n_b - b0)
        flat_b = 1
        b_k = 8  # micropanels
        blocks = boxes_c  # of K
        for block in range(blocks):  # PC: blocks of K
            c0 = block * box_c
            e_c = minimum(box_c, n_c - c0)
            flat_c = 1
            depth = flat_c * e_c
            at_b = place(B, 8, (c0, B_c, b0, B_b))
            call9(move, (e_c, e_b, b_box, flat_c * b_k, flat_b, depth, at_b, B_c, B_b))
            for m_box in range(m_first, m_last):  # IC: boxes of M
                a0 = m_box * box_a
                e_a = minimum(box_a, n_a - a0)
                at_c = place(C, 8, (a0, C_a, b0, C_b))
                at_a = place(A, 8, (a0, A_a, c0, A_c))
                call13(
                    macrokernel,
                    (
                        e_a,
                        e_b,
                        depth,
                        at_a,
                        A_a,
                        A_a,
                        A_c,
                        b_box,
                        depth,
                        b_k,
                        at_c,
                        C_a,
                        block,
                    ),
                )
    settle()
    give(arena)
