"""abd,adc->abc

A: float32, packed in rows along K
B: float32, packed in rows along N
C: float32, by way of a box in the cache
a: batch
b: free, of A (M)
c: free, of B (N)
d: contracted (K)
a: side by side in the boxes
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call9, call13, give, parts, place, row_of, take

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
    to_c = sizes[13]
    held = sizes[14]
    A_a = sizes[15]
    A_b = sizes[16]
    A_d = sizes[17]
    B_a = sizes[18]
    B_d = sizes[19]
    B_c = sizes[20]
    C_a = sizes[21]
    C_b = sizes[22]
    C_c = sizes[23]
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    m_boxes = boxes_b  # boxes of M
    tiles_m = parts(m_boxes, per_tile)
    a_box = arena
    b_box = a_box + to_b
    c_first = a_box + to_c
    most = box_a * box_b  # rows of a box
    for tile in range(first, last):  # parallel
        m_first = tile % tiles_m * per_tile
        m_last = minimum(m_boxes, m_first + per_tile)
        rest = tile // tiles_m
        c0 = rest % boxes_c * box_c
        rest = rest // boxes_c
        a0 = rest * box_a
        e_a = minimum(box_a, n_a - a0)
        flat_a = 1
        e_c = minimum(box_c, n_c - c0)
        flat_c = 1
        width = flat_c * e_c
        b_k = row_of(width, 16)
        c_m = row_of(width, 16)
        blocks = boxes_d  # of K
        for block in range(blocks):  # PC: blocks of K
            d0 = block * box_d
            e_d = minimum(box_d, n_d - d0)
            flat_d = 1
            depth = flat_d * e_d
            at_b = place(B, 4, (a0, B_a, d0, B_d, c0, B_c))
            for d in range(e_d):
                call9(
                    move,
                    (
                        e_a,
                        e_c,
                        place(b_box, 4, (d, flat_d * b_k)),
                        flat_a * depth * b_k,
                        flat_c,
                        1,
                        place(at_b, 4, (d, B_d)),
                        B_a,
                        B_c,
                    ),
                )
            for m_box in range(m_first, m_last):  # IC: boxes of M
                b0 = m_box * box_b
                e_b = minimum(box_b, n_b - b0)
                flat_b = 1
                height = flat_b * e_b
                a_m = row_of(depth, 16)
                at_a = place(A, 4, (a0, A_a, b0, A_b, d0, A_d))
                for b in range(e_b):
                    call9(
                        move,
                        (
                            e_a,
                            e_d,
                            place(a_box, 4, (b, flat_b * a_m)),
                            flat_a * height * a_m,
                            flat_d,
                            1,
                            place(at_a, 4, (b, A_b)),
                            A_a,
                            A_d,
                        ),
                    )
                c_box = place(c_first, 4, ((m_box - m_first) * held, most * c_m))
                for a in range(e_a):
                    call13(
                        macrokernel,
                        (
                            height,
                            width,
                            depth,
                            place(a_box, 4, (a, flat_a * height * a_m)),
                            a_m,
                            a_m,
                            1,
                            place(b_box, 4, (a, flat_a * depth * b_k)),
                            1,
                            b_k,
                            place(c_box, 4, (a, flat_a * height * c_m)),
                            c_m,
                            block,
                        ),
                    )
                if block + 1 == blocks:
                    at_c = place(C, 4, (a0, C_a, b0, C_b, c0, C_c))
                    for b in range(e_b):
                        call9(
                            move,
                            (
                                e_a,
                                e_c,
                                place(at_c, 4, (b, C_b)),
                                C_a,
                                C_c,
                                1,
                                place(c_box, 4, (b, flat_b * c_m)),
                                flat_a * height * c_m,
                                flat_c,
                            ),
                        )
    give(arena)
