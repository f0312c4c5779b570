"""scatter

X[a * X_a + b * X_b + ...] = Y[a * Y_a + b * Y_b + ...]
each of the loops is three words: its extent n_a, X_a and Y_a; the first is innermost
"""

from numba.types import int64, uint64

from einjit.kernel.intrinsics import minimum, pointer, restrict, scratch
from einjit.kernel.turning import transpose_rows
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(loops, count, to, source):
    given = pointer(loops, int64)
    X = restrict(to, uint64)
    Y = restrict(source, uint64)
    loop = scratch(192, int64)  # those that are left
    for word in range(3 * count):
        loop[word] = given[word]
    rows_y = scratch(4, int64)  # Y's rows of a block that is X's columns
    rows_y[0] = 0
    side_x = 1
    next_ = 0
    while next_ < count and side_x < 4:
        part = minimum(loop[3 * next_], 4 // side_x)
        whole = loop[3 * next_] % part + 4 % (side_x * part) == 0
        if loop[3 * next_ + 1] == side_x and part > 1 and whole:
            for i in range(1, part):
                for place in range(side_x):
                    rows_y[i * side_x + place] = rows_y[place] + i * loop[3 * next_ + 2]
            loop[3 * next_] //= part
            loop[3 * next_ + 1] *= part
            loop[3 * next_ + 2] *= part
            side_x *= part
            next_ = 0
        else:
            next_ += 1
    rows_x = scratch(4, int64)  # X's rows of a block that is Y's columns
    rows_x[0] = 0
    side_y = 1
    next_ = 0
    while next_ < count and side_y < 4:
        part = minimum(loop[3 * next_], 4 // side_y)
        whole = loop[3 * next_] % part + 4 % (side_y * part) == 0
        if loop[3 * next_ + 2] == side_y and part > 1 and whole:
            for i in range(1, part):
                for place in range(side_y):
                    rows_x[i * side_y + place] = rows_x[place] + i * loop[3 * next_ + 1]
            loop[3 * next_] //= part
            loop[3 * next_ + 1] *= part
            loop[3 * next_ + 2] *= part
            side_y *= part
            next_ = 0
        else:
            next_ += 1
    blocks = side_x == 4 and side_y == 4
    if not blocks:
        taken = 0
        for far in range(2):
            for other in range(count):
                nearest = minimum(abs(given[3 * other + 1]), abs(given[3 * other + 2]))
                if far == (nearest >= 16):
                    for word in range(3):
                        loop[3 * taken + word] = given[3 * other + word]
                    taken += 1
    in_x = scratch(256, int64)  # the table
    in_y = scratch(256, int64)
    in_x[0], in_y[0] = 0, 0
    places = 1
    first = 0
    while first < count and places < 256:
        extent = loop[3 * first]
        part = minimum(extent, 256 // places)
        while extent % part > 0:  # the loop is cut in two
            part -= 1
        for i in range(1, part):
            for place in range(places):
                in_x[i * places + place] = in_x[place] + i * loop[3 * first + 1]
                in_y[i * places + place] = in_y[place] + i * loop[3 * first + 2]
        places *= part
        if part < extent:
            loop[3 * first] = extent // part
            loop[3 * first + 1] *= part
            loop[3 * first + 2] *= part
            break
        first += 1
    done = scratch(64, int64)  # iterations of the other loops
    times = 1
    for other in range(first, count):
        done[other] = 0
        times *= loop[3 * other]
    at, from_ = 0, 0
    if blocks:
        for _ in range(times):
            for place in range(places):
                ahead = from_ + in_y[minimum(place + 8, places - 1)]
                for row in range(4):
                    prefetch(Y, ahead + rows_y[row])
                transpose_rows(X, at + in_x[place], rows_x, Y, from_ + in_y[place], rows_y, 4)
            other = first
            while other < count:
                extent = loop[3 * other]
                at += loop[3 * other + 1]
                from_ += loop[3 * other + 2]
                done[other] += 1
                if done[other] < extent:
                    break
                at -= extent * loop[3 * other + 1]
                from_ -= extent * loop[3 * other + 2]
                done[other] = 0
                other += 1
    else:
        x = scratch(4, int64)  # where they begin
        y = scratch(4, int64)
        while times > 0:
            together = minimum(4, times)
            for i in range(together):
                x[i], y[i] = at, from_
                other = first
                while other < count:
                    extent = loop[3 * other]
                    at += loop[3 * other + 1]
                    from_ += loop[3 * other + 2]
                    done[other] += 1
                    if done[other] < extent:
                        break
                    at -= extent * loop[3 * other + 1]
                    from_ -= extent * loop[3 * other + 2]
                    done[other] = 0
                    other += 1
            times -= together
            if together == 4:
                x0, y0 = x[0], y[0]
                x1, y1 = x[1], y[1]
                x2, y2 = x[2], y[2]
                x3, y3 = x[3], y[3]
                ahead = from_ - y0
                whole = places - places % 8
                for start in range(0, whole, 8):
                    prefetch(Y, y0 + ahead + in_y[start])
                    prefetch(Y, y1 + ahead + in_y[start])
                    prefetch(Y, y2 + ahead + in_y[start])
                    prefetch(Y, y3 + ahead + in_y[start])
                    for place in range(start, start + 8):
                        to_x, to_y = in_x[place], in_y[place]
                        X[x0 + to_x] = Y[y0 + to_y]
                        X[x1 + to_x] = Y[y1 + to_y]
                        X[x2 + to_x] = Y[y2 + to_y]
                        X[x3 + to_x] = Y[y3 + to_y]
                for place in range(whole, places):
                    to_x, to_y = in_x[place], in_y[place]
                    X[x0 + to_x] = Y[y0 + to_y]
                    X[x1 + to_x] = Y[y1 + to_y]
                    X[x2 + to_x] = Y[y2 + to_y]
                    X[x3 + to_x] = Y[y3 + to_y]
            else:
                for i in range(together):
                    for place in range(places):
                        X[x[i] + in_x[place]] = Y[y[i] + in_y[place]]
