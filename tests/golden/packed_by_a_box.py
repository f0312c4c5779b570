"""abcfg,afgde->abcde

A: float64, packed in columns along M, by a table of places
B: float64, packed in rows along N, by a table of places
C: float64, written from registers
a: batch
b: free, of A (M)
c: free, of A (M)
d: free, of B (N)
e: free, of B (N)
f: contracted (K)
g: contracted (K)
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call4, call13, give, parts, place, room, row_of, set_loop, take

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = operands[0]
    B = operands[1]
    C = operands[2]
    macrokernel = sizes[0]
    scatter = sizes[2]
    arena = take(sizes[3])
    # extents n_a and those of boxes, strides A_a in elements
    n_b = sizes[5]
    n_c = sizes[6]
    n_d = sizes[7]
    n_e = sizes[8]
    n_f = sizes[9]
    n_g = sizes[10]
    box_b = sizes[11]
    box_c = sizes[12]
    box_d = sizes[13]
    box_e = sizes[14]
    box_f = sizes[15]
    box_g = sizes[16]
    per_tile = sizes[17]
    to_b = sizes[18]
    A_a = sizes[21]
    A_b = sizes[22]
    A_c = sizes[23]
    A_f = sizes[24]
    A_g = sizes[25]
    B_a = sizes[26]
    B_f = sizes[27]
    B_g = sizes[28]
    B_d = sizes[29]
    B_e = sizes[30]
    C_a = sizes[31]
    C_b = sizes[32]
    C_c = sizes[33]
    C_d = sizes[34]
    C_e = sizes[35]
    loops = room(12)  # of a box, three words each
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    boxes_e = parts(n_e, box_e)
    boxes_f = parts(n_f, box_f)
    boxes_g = parts(n_g, box_g)
    m_boxes = boxes_b * boxes_c  # boxes of M
    tiles_m = parts(m_boxes, per_tile)
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        m_first = tile % tiles_m * per_tile
        m_last = minimum(m_boxes, m_first + per_tile)
        rest = tile // tiles_m
        e0 = rest % boxes_e * box_e
        rest = rest // boxes_e
        d0 = rest % boxes_d * box_d
        rest = rest // boxes_d
        a = rest
        e_e = minimum(box_e, n_e - e0)
        flat_e = 1
        e_d = minimum(box_d, n_d - d0)
        flat_d = flat_e * e_e
        width = flat_d * e_d
        b_k = row_of(width, 8)
        blocks = boxes_f * boxes_g  # of K
        for block in range(blocks):  # PC: blocks of K
            g0 = block % boxes_g * box_g
            rest = block // boxes_g
            f0 = rest * box_f
            e_g = minimum(box_g, n_g - g0)
            flat_g = 1
            e_f = minimum(box_f, n_f - f0)
            flat_f = flat_g * e_g
            depth = flat_f * e_f
            at_b = place(B, 8, (a, B_a, f0, B_f, g0, B_g, d0, B_d, e0, B_e))
            set_loop(loops, 0, (e_e, flat_e, B_e))
            set_loop(loops, 1, (e_d, flat_d, B_d))
            set_loop(loops, 2, (e_f, flat_f * b_k, B_f))
            set_loop(loops, 3, (e_g, flat_g * b_k, B_g))
            call4(scatter, (loops, 4, b_box, at_b))
            for m_box in range(m_first, m_last):  # IC: boxes of M
                c0 = m_box % boxes_c * box_c
                rest = m_box // boxes_c
                b0 = rest * box_b
                e_c = minimum(box_c, n_c - c0)
                flat_c = 1
                e_b = minimum(box_b, n_b - b0)
                flat_b = flat_c * e_c
                height = flat_b * e_b
                a_k = row_of(height, 8)
                at_a = place(A, 8, (a, A_a, b0, A_b, c0, A_c, f0, A_f, g0, A_g))
                set_loop(loops, 0, (e_c, flat_c, A_c))
                set_loop(loops, 1, (e_b, flat_b, A_b))
                set_loop(loops, 2, (e_g, flat_g * a_k, A_g))
                set_loop(loops, 3, (e_f, flat_f * a_k, A_f))
                call4(scatter, (loops, 4, a_box, at_a))
                at_c = place(C, 8, (a, C_a, b0, C_b, c0, C_c, d0, C_d, e0, C_e))
                for b in range(e_b):
                    for d in range(e_d):
                        call13(
                            macrokernel,
                            (
                                e_c,
                                e_e,
                                depth,
                                place(a_box, 8, (b, flat_b)),
                                1,
                                1,
                                a_k,
                                place(b_box, 8, (d, flat_d)),
                                1,
                                b_k,
                                place(at_c, 8, (b, C_b, d, C_d)),
                                C_c,
                                block,
                            ),
                        )
    give(arena)
