"""Write the kernel that copies boxes of many short loops."""

from einjit.plan.packed import LINE, Scatter
from einjit.source.writer import Writer

TABLE = 256
"""Places in a table: those of the innermost loops, as many as there is room for."""

TOGETHER = 4
"""Iterations of the other loops that share what is read of the table where elements are copied one
by one. Measured: 0.7 of the time."""

BLOCKS_AHEAD = 8
"""How many blocks before it is transposed a block is asked for."""

LINES = 2
"""Lines of each side that are read or written one after the other where elements are copied one by
one."""

MOST_AXES = 64
"""Loops of a box at most: numpy's arrays have no more axes."""


def write_scatter(scatter: Scatter, w: Writer) -> None:
    """The function that copies a box: the innermost loops by a table of their places, which is made
    once, and the other ones as a counter counts. Places are those of blocks where there are any.

    What memory brings is asked for ahead, between copies: in one go it would be waited for.
    """
    with w.block(f"def contract({', '.join(scatter.arguments)}):"):
        w.line("given = pointer(loops, int64)")
        w.line(f"X = restrict(to, {scatter.compute})")
        w.line(f"Y = restrict(source, {scatter.compute})")
        w.line(f"loop = scratch({3 * MOST_AXES}, int64)", "those that are left")
        with w.block("for word in range(3 * count):"):
            w.line("loop[word] = given[word]")
        _rows(scatter, "x", "y", w)
        _rows(scatter, "y", "x", w)
        w.line(f"blocks = side_x == {scatter.lanes} and side_y == {scatter.lanes}")
        with w.block("if not blocks:"):
            _near_first(scatter, w)
        _table(w)
        w.line(f"done = scratch({MOST_AXES}, int64)", "iterations of the other loops")
        w.line("times = 1")
        with w.block("for other in range(first, count):"):
            w.line("done[other] = 0")
            w.line("times *= loop[3 * other]")
        w.line("at, from_ = 0, 0")
        with w.block("if blocks:"):
            _blocks(scatter, w)
        with w.block("else:"):
            _elements(scatter, w)


def _near_first(scatter: Scatter, w: Writer) -> None:
    """The loops again, first those within a few lines of either side: whole lines are read and
    written then, one after the other."""
    w.line("taken = 0")
    with w.block("for far in range(2):"), w.block("for other in range(count):"):
        w.line("nearest = minimum(abs(given[3 * other + 1]), abs(given[3 * other + 2]))")
        with w.block(f"if far == (nearest >= {LINES * LINE // scatter.size}):"):
            with w.block("for word in range(3):"):
                w.line("loop[3 * taken + word] = given[3 * other + word]")
            w.line("taken += 1")


def _rows(scatter: Scatter, one: str, other: str, w: Writer) -> None:
    """Take from the loops those along which the elements of a vector lie side by side on one side;
    where these are on the other side: its rows of a block."""
    lanes, stride, step = scatter.lanes, 1 + "xy".index(one), 1 + "xy".index(other)
    comment = f"{other.upper()}'s rows of a block that is {one.upper()}'s columns"
    w.line(f"rows_{other} = scratch({lanes}, int64)", comment)
    w.line(f"rows_{other}[0] = 0")
    w.line(f"side_{one} = 1")
    w.line("next_ = 0")
    with w.block(f"while next_ < count and side_{one} < {lanes}:"):
        w.line(f"part = minimum(loop[3 * next_], {lanes} // side_{one})")
        w.line(f"whole = loop[3 * next_] % part + {lanes} % (side_{one} * part) == 0")
        with w.block(f"if loop[3 * next_ + {stride}] == side_{one} and part > 1 and whole:"):
            with w.block("for i in range(1, part):"), w.block(f"for place in range(side_{one}):"):
                at = f"rows_{other}[i * side_{one} + place]"
                w.line(f"{at} = rows_{other}[place] + i * loop[3 * next_ + {step}]")
            w.line("loop[3 * next_] //= part")
            w.line("loop[3 * next_ + 1] *= part")
            w.line("loop[3 * next_ + 2] *= part")
            w.line(f"side_{one} *= part")
            w.line("next_ = 0")
        with w.block("else:"):
            w.line("next_ += 1")


def _table(w: Writer) -> None:
    """The places of the innermost loops' iterations on both sides; `first` is the loop behind."""
    w.line(f"in_x = scratch({TABLE}, int64)", "the table")
    w.line(f"in_y = scratch({TABLE}, int64)")
    w.line("in_x[0], in_y[0] = 0, 0")
    w.line("places = 1")
    w.line("first = 0")
    with w.block(f"while first < count and places < {TABLE}:"):
        w.line("extent = loop[3 * first]")
        w.line(f"part = minimum(extent, {TABLE} // places)")
        with w.block("while extent % part > 0:", "the loop is cut in two"):
            w.line("part -= 1")
        with w.block("for i in range(1, part):"), w.block("for place in range(places):"):
            w.line("in_x[i * places + place] = in_x[place] + i * loop[3 * first + 1]")
            w.line("in_y[i * places + place] = in_y[place] + i * loop[3 * first + 2]")
        w.line("places *= part")
        with w.block("if part < extent:"):
            w.line("loop[3 * first] = extent // part")
            w.line("loop[3 * first + 1] *= part")
            w.line("loop[3 * first + 2] *= part")
            w.line("break")
        w.line("first += 1")


def _count_on(w: Writer) -> None:
    """The next iteration of the other loops."""
    w.line("other = first")
    with w.block("while other < count:"):
        w.line("extent = loop[3 * other]")
        w.line("at += loop[3 * other + 1]")
        w.line("from_ += loop[3 * other + 2]")
        w.line("done[other] += 1")
        with w.block("if done[other] < extent:"):
            w.line("break")
        w.line("at -= extent * loop[3 * other + 1]")
        w.line("from_ -= extent * loop[3 * other + 2]")
        w.line("done[other] = 0")
        w.line("other += 1")


def _blocks(scatter: Scatter, w: Writer) -> None:
    """Blocks, transposed one by one."""
    with w.block("for _ in range(times):"):
        with w.block("for place in range(places):"):
            w.line(f"ahead = from_ + in_y[minimum(place + {BLOCKS_AHEAD}, places - 1)]")
            with w.block(f"for row in range({scatter.lanes}):"):
                w.line("prefetch(Y, ahead + rows_y[row])")
            to, source = "X, at + in_x[place], rows_x", "Y, from_ + in_y[place], rows_y"
            w.line(f"transpose_rows({to}, {source}, {scatter.lanes})")
        _count_on(w)


def _elements(scatter: Scatter, w: Writer) -> None:
    """Elements, a few iterations at a time."""
    w.line(f"x = scratch({TOGETHER}, int64)", "where they begin")
    w.line(f"y = scratch({TOGETHER}, int64)")
    with w.block("while times > 0:"):
        w.line(f"together = minimum({TOGETHER}, times)")
        with w.block("for i in range(together):"):
            w.line("x[i], y[i] = at, from_")
            _count_on(w)
        w.line("times -= together")
        with w.block(f"if together == {TOGETHER}:"):
            for i in range(TOGETHER):
                w.line(f"x{i}, y{i} = x[{i}], y[{i}]")
            line = LINE // scatter.size
            w.line("ahead = from_ - y0")
            w.line(f"whole = places - places % {line}")
            with w.block(f"for start in range(0, whole, {line}):"):
                for i in range(TOGETHER):
                    w.line(f"prefetch(Y, y{i} + ahead + in_y[start])")
                with w.block(f"for place in range(start, start + {line}):"):
                    _copies(w)
            with w.block("for place in range(whole, places):"):
                _copies(w)
        one, each = "for i in range(together):", "for place in range(places):"
        with w.block("else:"), w.block(one), w.block(each):
            w.line("X[x[i] + in_x[place]] = Y[y[i] + in_y[place]]")


def _copies(w: Writer) -> None:
    """The copies of one place."""
    w.line("to_x, to_y = in_x[place], in_y[place]")
    for i in range(TOGETHER):
        w.line(f"X[x{i} + to_x] = Y[y{i} + to_y]")
