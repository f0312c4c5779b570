"""The options of einsum: out, dtype, casting, order and optimize, each against numpy's."""

import itertools

import numpy as np
import pytest
from outcomes import arange, outcome, same
from strategies import DTYPES, lay_out

import einjit
from einjit.equation.operands import Layout, as_plain
from einjit.equation.parser import parse
from einjit.plan.plan import make_plan

CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")


# --- out, dtype and casting


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_out_and_casting(dtype, optimize):
    a, b = arange(2, 3, dtype=dtype), arange(3, dtype=dtype)
    for wanted in DTYPES:
        for casting in CASTINGS:
            outs = np.ones(2, wanted), np.ones(2, wanted)
            found, expected = (
                outcome(einsum, "ij,j->i", a, b, out=out, casting=casting, optimize=optimize)
                for einsum, out in zip((einjit.einsum, np.einsum), outs, strict=True)
            )
            assert found is (outs[0] if expected is outs[1] else expected), (wanted, casting)
            assert same(*outs), (wanted, casting)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_and_casting(dtype):
    a, b = arange(2, 3, dtype=dtype), arange(3, dtype=dtype)
    for wanted in DTYPES:
        for casting in CASTINGS:
            options = {"dtype": wanted, "casting": casting, "optimize": False}
            found = outcome(einjit.einsum, "ij,j->i", a, b, **options)
            assert same(found, outcome(np.einsum, "ij,j->i", a, b, **options)), options


LARGE = [  # (dtypes of the operands, dtype, casting)
    (("f8", "f4"), None, "safe"),
    (("i4", "f4"), None, "safe"),
    (("f2", "i1"), None, "safe"),
    (("?", "i8"), None, "safe"),
    (("u8", "i8"), None, "safe"),
    (("c8", "f8"), None, "safe"),
    (("f8", "f8"), "f4", "same_kind"),
    (("f8", "f4"), "f2", "same_kind"),
    (("i8", "i4"), "i1", "same_kind"),
    (("f8", "i4"), "i4", "unsafe"),
    (("u1", "f8"), "?", "unsafe"),
    (("i8", "?"), "?", "unsafe"),
    (("c16", "f8"), "f8", "unsafe"),
    (("c16", "i8"), "i2", "unsafe"),
]


@pytest.mark.parametrize(("dtypes", "dtype", "casting"), LARGE)
def test_mixed_dtypes_of_small_and_large_operands(dtypes, dtype, casting):
    for n in (5, 70_000):  # large ones are converted as they are read
        a, b = (arange(2, n, dtype=d) for d in dtypes)
        if "f8" in dtypes and dtype not in (None, "?"):
            a, b = (x + np.asarray(0.375, x.dtype) * (x.real % 3 == 1) for x in (a, b))
        options = {"dtype": dtype, "casting": casting}
        found = outcome(einjit.einsum, "ij,ij->ij", a, b, **options)
        assert same(found, outcome(np.einsum, "ij,ij->ij", a, b, **options))


def test_half_precision_is_what_a_large_operand_is_rounded_to():
    a = np.full((2, 70_000), 1 + 0.6 * 2.0**-10)  # 1 + 1 * 2**-10 in half precision
    found = einjit.einsum("ij,ij->ij", a, a, dtype="f2", casting="unsafe")
    assert (found == 1 + 2.0**-9).all()


@pytest.mark.parametrize("dtype", [float, np.float32, "f4", ">f8", np.dtype("<i8"), "longdouble"])
def test_forms_of_dtype(dtype):
    a = arange(2, 3, dtype="i2")
    found = einjit.einsum("ij,ij->j", a, a, dtype=dtype)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, (a * a).sum(0))


OUT_LAYOUTS = ["C", "F", "permuted", "negative", "stepped", "sliced", "tangled", "subclass"]
OUT_LAYOUTS += ["misaligned", "swapped", "field", "memmap"]


@pytest.mark.parametrize("layout", OUT_LAYOUTS)
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_layouts_of_out(layout, dtype):
    a, b = arange(2, 3, dtype=dtype), arange(3, 4, dtype=dtype)
    for subscripts, operands in [
        ("ij->ji", [a]),
        ("ij,jk->ik", [a, b]),
        ("ij,ij->ij", [a, a]),
        ("ij->i", [a]),
        ("ij->", [a]),
        ("ij,jk->ik", [a[:, :0], b[:0]]),
    ]:
        expected = np.einsum(subscripts, *operands)
        out = lay_out(np.full(np.shape(expected), 77, dtype), layout, 5)
        around = np.asarray(out.base).copy() if layout in ("sliced", "tangled") else None
        for _ in range(2):
            assert einjit.einsum(subscripts, *operands, out=out) is out
            np.testing.assert_array_equal(out, expected)
            out[...] = 77
        if around is not None:
            np.testing.assert_array_equal(out.base, around)


def test_a_result_of_extent_1_is_repeated_along_out():
    a = arange(1, 3)
    for subscripts, shape in [("ij->ij", (4, 3)), ("ij,kj->ik", (4, 5)), ("ij,j->ij", (2, 3))]:
        operands = [a, a[0]] if subscripts == "ij,j->ij" else [a, a][: subscripts.count(",") + 1]
        outs = np.zeros(shape), np.zeros(shape)
        for _ in range(2):
            assert einjit.einsum(subscripts, *operands, out=outs[0]) is outs[0]
            np.einsum(subscripts, *operands, out=outs[1])
            assert same(*outs)


OVERLAPS = [
    ("ij->ji", lambda m: [m], lambda m: m),
    ("ij->ij", lambda m: [m[:-1]], lambda m: m[1:]),
    ("ij->ij", lambda m: [m[1:]], lambda m: m[:-1]),
    ("ij->ij", lambda m: [m], lambda m: m[::-1]),
    ("ij->i", lambda m: [m], lambda m: m[0]),
    ("ij->i", lambda m: [m], lambda m: m[:, 1]),
    ("ij->", lambda m: [m], lambda m: m[2, 2, ...]),
    ("ii->i", lambda m: [m], lambda m: m[1]),
    ("ij,ij->ij", lambda m: [m, m], lambda m: m),
    ("ij,jk->ik", lambda m: [m, m], lambda m: m),
    ("ij,jk->ik", lambda m: [m, m.T], lambda m: m.T),
    ("ij,jk->ik", lambda m: [m[:4, :4], m[1:5, 1:5]], lambda m: m[2:, 2:]),
    ("ij,jk,kl->il", lambda m: [m, m, m], lambda m: m[::-1, ::-1]),
    ("i,j->ij", lambda m: [m[0], m[:, 0]], lambda m: m),
]


@pytest.mark.parametrize("optimize", ["auto", False, True])
@pytest.mark.parametrize(("subscripts", "read", "write"), OVERLAPS)
def test_out_may_overlap_the_operands(subscripts, read, write, optimize):
    for _ in range(2):
        m = arange(6, 6, dtype="i8")
        expected = m.copy()
        write(expected)[...] = np.einsum(subscripts, *(x.copy() for x in read(m)))
        out = write(m)
        assert einjit.einsum(subscripts, *read(m), out=out, optimize=optimize) is out
        np.testing.assert_array_equal(m, expected)


FAILURES = [
    ("ij,jk->ik", (2, 3), (4, 2)),
    ("ij,jk->iz", (2, 3), (3, 2)),
    ("ij,j%->ik", (2, 3), (3, 2)),
    ("ij,jk->ijk", (2, 3), (3, 2)),
    ("ij->ij", (2, 3)),
]


@pytest.mark.parametrize(("subscripts", "shapes"), [(first, rest) for first, *rest in FAILURES])
def test_out_is_untouched_by_a_call_that_fails(subscripts, shapes):
    out = np.full((2, 2), 7.0)
    operands = [np.ones(shape) for shape in shapes]
    with pytest.raises(ValueError):
        einjit.einsum(subscripts, *operands, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"order": "X"}, ValueError),
        ({"casting": "never"}, ValueError),
        ({"casting": "no"}, TypeError),
        ({"dtype": "f4"}, TypeError),
        ({"dtype": "nonsense"}, TypeError),
        ({"optimize": 3}, TypeError),
        ({"optimize": ["einsum_path", (0, 7)]}, IndexError),
        ({"precision": 3}, TypeError),
    ],
)
def test_out_is_untouched_by_an_option_that_fails(options, error):
    out = np.full(2, 7.0)
    with pytest.raises(error):
        einjit.einsum("ij,j->i", np.ones((2, 3), "f4"), np.ones(3), out=out, **options)
    assert (out == 7).all()


def test_out_has_to_be_a_writeable_array_of_the_results_shape():
    a = np.ones((2, 3))
    locked = np.zeros(2)
    locked.flags.writeable = False
    for out, error in [
        (locked, ValueError),
        (np.zeros(3), ValueError),
        (np.zeros((2, 1)), ValueError),
        (np.zeros(()), ValueError),
        (np.zeros((1, 2)), ValueError),
        ([0, 0], TypeError),
        (np.float64(1), TypeError),
        ((np.zeros(2),), TypeError),
    ]:
        for subscripts, operands in [("ij->i", [a]), ("ij,ij->i", [a, a]), ("ij->i", [a[:, :0]])]:
            assert outcome(np.einsum, subscripts, *operands, out=out) is error
            assert outcome(einjit.einsum, subscripts, *operands, out=out) is error
    assert (locked == 0).all()


# --- order


def steps_of(array):
    """Strides along the axes that have any."""
    return [stride for stride, n in zip(array.strides, array.shape, strict=True) if n > 1]


ORDERED = [
    ("ijk->ik", (3, 4, 5)),
    ("ijk->kj", (3, 4, 5)),
    ("iij,j->ji", (3, 3, 4), (4,)),
    ("ij,ij->ij", (3, 4), (3, 4)),
    ("ij,ji->ij", (3, 4), (4, 3)),
    ("ij,jk->ik", (3, 4), (4, 5)),
    ("ij,jk->ki", (3, 4), (4, 5)),
    ("ijk,jk->ijk", (3, 4, 5), (4, 5)),
    ("ij,kl->iljk", (2, 3), (4, 5)),
    ("bij,bjk->ikb", (2, 3, 4), (2, 4, 5)),
    ("...i,i...->...", (3, 4), (4, 3)),
    ("ij,jk->ik", (1, 4), (4, 5)),
]


@pytest.mark.parametrize(("subscripts", "shapes"), [(first, rest) for first, *rest in ORDERED])
def test_a_new_result_is_planned_to_lie_as_numpys_does(subscripts, shapes):
    layouts = ("C", "F", "permuted", "negative", "stepped", "tangled", "broadcast", "swapped")
    for combination in itertools.product(layouts, repeat=len(shapes)):
        operands = [
            lay_out(np.ones(s), layout, 4) for s, layout in zip(shapes, combination, strict=True)
        ]
        equation = parse(subscripts, [len(s) for s in shapes])
        known = [Layout.of(as_plain(operand)) for operand in operands]
        for order in "CFAK":
            if order == "A" and subscripts.startswith("ii"):
                continue  # to numpy, a diagonal is not in F order, whatever its operand is
            expected = np.einsum(subscripts, *operands, order=order)
            result = make_plan(equation, known, "float64", order=order).result
            assert result.shape == expected.shape
            found = [8 * s for s, n in zip(result.strides, result.shape, strict=True) if n > 1]
            assert found == steps_of(expected), (combination, order)


@pytest.mark.parametrize("subscripts", ["ij,jk->ik", "ij,jk->ki", "ij,ij->ji", "ijk->ki"])
def test_a_new_result_lies_as_planned(subscripts):
    shapes = [(2, 2, 2)[: len(term)] for term in subscripts.split("->")[0].split(",")]
    for combination in itertools.product("CF", repeat=len(shapes)):
        operands = [np.ones(s, order=o) for s, o in zip(shapes, combination, strict=True)]
        for order in ("C", "F", "A", "K", "c", "f", "a", "k"):
            expected = np.einsum(subscripts, *operands, order=order)
            for _ in range(2):
                found = einjit.einsum(subscripts, *operands, order=order)
                assert found.strides == expected.strides, (combination, order)


def test_an_order_of_none_is_k():
    a = np.ones((2, 3), order="F")
    for _ in range(2):
        assert einjit.einsum("ij,ij->ij", a, a, order=None).flags.f_contiguous


def test_a_copy_that_is_made_first_keeps_the_order():
    fortran = np.arange(6).reshape(3, 2).T
    assert einjit.einsum("ij->ij", fortran, dtype="f8").flags.f_contiguous
    assert einjit.einsum("ij,ij->ij", fortran, fortran, dtype="f8").flags.f_contiguous
    misaligned = np.ndarray((2, 3), "f8", np.zeros(49, "u1"), offset=1, order="F")
    assert einjit.einsum("ij,ij->ij", misaligned, misaligned).flags.f_contiguous


@pytest.mark.parametrize("layout", ["C", "F", "tangled"])
@pytest.mark.parametrize("subscripts", ["ij->ij", "ij->ji", "ji"])
def test_a_view_asked_for_in_an_order_is_a_view_only_if_it_lies_so(subscripts, layout):
    a = lay_out(arange(2, 3), layout, 1)
    view = np.einsum(subscripts, a)
    for order in "CFAK":
        for _ in range(2):
            found = einjit.einsum(subscripts, a, order=order)
            np.testing.assert_array_equal(found, view)
            fits = view.flags[f"{order}_CONTIGUOUS"] if order in "CF" else True
            assert np.shares_memory(found, a) == fits
            assert order in "AK" or found.flags[f"{order}_CONTIGUOUS"]


@pytest.mark.parametrize("layout", ["misaligned", "swapped", "field"])
def test_an_operand_of_any_layout_gives_a_view(layout):
    a = lay_out(arange(3, 3, dtype="c16"), layout)
    for subscripts in ("ij->ji", "ii->i"):
        for _ in range(2):
            einjit.einsum(subscripts, a)[...] += 1
    expected = arange(3, 3, dtype="c16") + 2
    np.testing.assert_array_equal(a, expected + 2 * np.eye(3))


@pytest.mark.parametrize("name", ["order", "casting"])
@pytest.mark.parametrize("value", ["CF", "FA", "KA", "x", "", "saf", 1, True, ["C"], 2.5])
def test_values_that_no_option_has(name, value):
    a = np.ones((2, 2))
    error = outcome(np.einsum, "ij,jk->ik", a, a, **{name: value})
    assert isinstance(error, type)
    assert outcome(einjit.einsum, "ij,jk->ik", a, a, **{name: value}) is error


# --- optimize

PATHS = [
    True,
    False,
    None,
    "greedy",
    "optimal",
    ("greedy", 10),
    ("optimal", 1.0),
    ["greedy", 1e9],
    ["einsum_path", (0, 1, 2)],
    ["einsum_path", (0, 1), (0, 1)],
    ["einsum_path", (1, 2), (0, 1)],
    ["einsum_path", (2, 0), (1, 0)],
    ["einsum_path", [0, 2], [0, 1]],
    ["einsum_path", (1,), (0, 1, 2)],
    ["einsum_path", (0, 1), (0, 1), (0,)],
    ("einsum_path", (0, 1), (0, 1)),
    ["einsum_path", np.array([0, 1]), (np.int64(0), 1)],
    ["einsum_path"],
    ["einsum_path", (0, 1)],
    ["einsum_path", (0, 5), (0, 1)],
    ["einsum_path", (0, "a")],
    ["einsum_path", 0, 1],
    [(0, 1), (0, 1)],
    "quickest",
    "Greedy",
    b"greedy",
    ("greedy",),
    ("greedy", "x"),
    [],
    {},
    0,
    1,
    2.5,
    np.True_,
]


@pytest.mark.parametrize("optimize", PATHS)
def test_forms_of_optimize(optimize):
    a, b, c = arange(2, 3), arange(3, 4), arange(4, 2)
    for arguments in [("ij,jk,kl->il", a, b, c), ("ij,jk", a, b), (a, [0, 1], b, [1, 2])]:
        expected = outcome(np.einsum, *arguments, optimize=optimize)
        for _ in range(2):
            assert same(outcome(einjit.einsum, *arguments, optimize=optimize), expected)


def test_the_path_of_einsum_path_is_one():
    operands = ["ij,jk,kl,lm->im", arange(2, 3), arange(3, 4), arange(4, 5), arange(5, 2)]
    path, text = einjit.einsum_path(*operands, optimize="optimal")
    assert (path, text) == np.einsum_path(*operands, optimize="optimal")
    expected = np.einsum(*operands)
    np.testing.assert_array_equal(einjit.einsum(*operands, optimize=path), expected)
