"""ac,cb->ab

A: float64, packed in strips
B: float64, read where it lies
C: float64, written from registers
a: free, of A (M)
b: free, of B (N)
c: contracted (K)
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
    move_strips = sizes[2]
    arena = take(sizes[3])
    # extents n_a and those of boxes, strides A_a in elements
    n_a = sizes[4]
    n_b = sizes[5]
    n_c = sizes[6]
    box_a = sizes[7]
    box_b = sizes[8]
    box_c = sizes[9]
    per_tile = sizes[10]
    to_b = sizes[11]
    span = sizes[14]
    C_span = sizes[15]
    A_a = sizes[16]
    A_c = sizes[17]
    B_c = sizes[18]
    B_b = sizes[19]
    C_a = sizes[20]
    C_b = sizes[21]
    boxes_a = parts(n_a, box_a)
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    m_boxes = boxes_a  # boxes of M
    tiles_m = parts(m_boxes, per_tile)
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        m_first = tile % tiles_m * per_tile
        m_last = minimum(m_boxes, m_first + per_tile)
        rest = tile // tiles_m
        b0 = rest % boxes_b * box_b
        rest = rest // boxes_b
        start = rest * span  # a span of c
        stop = minimum(n_c, start + span)
        boxes_c = parts(stop - start, box_c)
        C_part = place(C, 8, (rest, C_span))
        e_b = minimum(box_b, n_b - b0)
        blocks = boxes_c  # of K
        for block in range(blocks):  # PC: blocks of K
            c0 = block * box_c
            c0 += start
            e_c = minimum(box_c, stop - c0)
            flat_c = 1
            depth = flat_c * e_c
            above = depth
            if c0 + depth == n_c:  # B may end behind this row
                above = depth - 1
            for m_box in range(m_first, m_last):  # IC: boxes of M
                a0 = m_box * box_a
                e_a = minimum(box_a, n_a - a0)
                flat_a = 1
                a_k = parts(e_a, parts(e_a, 6))  # rows of a strip
                a_i = depth + 2  # room behind strips
                at_a = place(A, 8, (a0, A_a, c0, A_c))
                call9(move_strips, (e_c, e_a, a_box, flat_c * a_k, flat_a, a_i, at_a, A_c, A_a))
                at_c = place(C_part, 8, (a0, C_a, b0, C_b))
                at_b = place(B, 8, (c0, B_c, b0, B_b))
                if above > 0:
                    call13(
                        macrokernel,
                        (
                            e_a,
                            e_b,
                            above,
                            a_box,
                            a_i,
                            1,
                            a_k,
                            at_b,
                            1,
                            B_c,
                            at_c,
                            C_a,
                            block,
                        ),
                    )
                if above < depth:
                    call9(move, (1, e_b, b_box, e_b, 1, 1, place(at_b, 8, (above, B_c)), e_b, 1))
                    call13(
                        macrokernel,
                        (
                            e_a,
                            e_b,
                            1,
                            place(a_box, 8, (above, a_k)),
                            a_i,
                            1,
                            a_k,
                            b_box,
                            1,
                            e_b,
                            at_c,
                            C_a,
                            block + above,
                        ),
                    )
    give(arena)
