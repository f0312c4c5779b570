"""Layouts: what an array is without its data, strides by index, and the order of a new result."""

from random import Random

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from strategies import LAYOUTS, Tagged, lay_out, random_case

from einjit.equation.operands import Layout, as_plain, packed, result_layout, strides_by_index
from einjit.equation.parser import parse

COPIED = ("misaligned", "swapped", "field")  # the rest is what a kernel reads already


def values(dtype, shape=(3, 5)):
    return np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(dtype)


def order_of(strides, shape):
    """The axes of more than one element, the outermost first."""
    axes = [axis for axis, extent in enumerate(shape) if extent > 1]
    return sorted(axes, key=lambda axis: -abs(strides[axis]))


def numpys_result(subscripts, operands, order):
    """What np.einsum makes, or None where it is no new array of an order."""
    result = np.einsum(subscripts, *operands, order=order, optimize=False)
    if not isinstance(result, np.ndarray) or 0 in result.shape:
        return None
    return None if any(np.shares_memory(result, operand) for operand in operands) else result


def our_layout(equation, operands, order, dtype="float64"):
    extents = equation.extents([operand.shape for operand in operands])
    return result_layout(equation, extents, list(map(Layout.of, operands)), order, dtype)


# --- one array


@pytest.mark.parametrize(
    ("array", "layout"),
    [
        (np.zeros((2, 3)), Layout((2, 3), (3, 1), "float64")),
        (np.zeros((2, 3), order="F"), Layout((2, 3), (1, 2), "float64")),
        (np.zeros((4, 6), np.int8)[::2, ::-3], Layout((2, 2), (12, -3), "int8")),
        (np.broadcast_to(np.float16(1), (7, 2)), Layout((7, 2), (0, 0), "float16")),
        (np.zeros(2, np.complex64), Layout((2,), (1,), "complex64")),
        (np.array(True), Layout((), (), "bool")),
    ],
)
def test_layout_of_an_array(array, layout):
    assert Layout.of(array) == layout


def test_one_name_for_types_of_one_kind():
    assert Layout.of(np.zeros(1, np.longlong)) == Layout.of(np.zeros(1, np.int64))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (2, 1, 3)])
def test_a_contiguous_layout_is_that_of_a_new_array(shape):
    assert Layout.contiguous(shape, "int16") == Layout.of(np.empty(shape, np.int16))


def test_size_does_not_overflow():
    assert Layout.contiguous((), "bool").size == 1
    assert Layout.contiguous((3, 0, 5), "bool").size == 0
    assert Layout.contiguous((2**40, 2**40), "bool").size == 2**80


def test_packed_strides_follow_the_order():
    assert packed((2, 3, 4), (0, 1, 2)) == (12, 4, 1)
    assert packed((2, 3, 4), (2, 1, 0)) == (1, 2, 6)
    assert packed((2, 3, 4), (1, 2, 0)) == (1, 8, 2)
    assert packed((2, 0, 4), (0, 1, 2)) == (4, 4, 1)
    assert packed((), ()) == ()


# --- as_plain


@pytest.mark.parametrize("layout", [*LAYOUTS, "memmap"])
@pytest.mark.parametrize("dtype", ["int32", "float16", "complex128"])
def test_plain_has_the_same_values_and_copies_only_where_it_must(layout, dtype):
    array = lay_out(values(dtype), layout, 1)
    before = array.tobytes()
    plain = as_plain(array)
    assert type(plain) is np.ndarray
    assert plain.dtype.isnative
    assert plain.flags.aligned
    assert not any(stride % plain.itemsize for stride in plain.strides)
    np.testing.assert_array_equal(plain, values(dtype))
    assert np.shares_memory(plain, array) == (layout not in COPIED)
    assert array.tobytes() == before
    if layout not in COPIED:
        assert plain.strides == array.strides
        assert plain.flags.writeable == array.flags.writeable


def test_single_bytes_are_never_out_of_place():
    for layout in ("misaligned", "swapped", "field"):
        array = lay_out(values("int8"), layout)
        assert np.shares_memory(as_plain(array), array)


def test_plain_of_the_plain_is_the_same_object():
    array = values("float32")
    assert as_plain(array) is array
    viewed = as_plain(array.view(Tagged))
    assert viewed is not array
    assert as_plain(viewed) is viewed


def test_strides_of_no_whole_elements_are_copied_even_where_aligned():
    record = np.zeros(4, [("value", "c8"), ("tag", "f4")])
    record["value"] = 1 + 2j
    assert record["value"].flags.aligned
    assert record["value"].strides == (12,)
    plain = as_plain(record["value"])
    assert plain.strides == (8,)
    assert plain.tolist() == [1 + 2j] * 4


# --- strides by index


@pytest.mark.parametrize(
    ("subscripts", "arrays", "rows"),
    [
        ("ij,jk->ik", [np.zeros((2, 3)), np.zeros((3, 4))], [[3, 1, 0], [0, 4, 1]]),
        (
            "ij,jk->ik",
            [np.zeros((2, 3), order="F"), np.zeros((3, 4))[::-1]],
            [[1, 2, 0], [0, -4, 1]],
        ),
        ("ii->i", [np.zeros((4, 4))], [[5]]),
        ("iji->j", [np.zeros((2, 3, 2))], [[7, 2]]),
        ("ii->", [np.zeros((4, 4))[:, ::-1]], [[3]]),
        ("ii->", [np.zeros((3, 3))[::-1, ::-1]], [[-4]]),
        # A diagonal of 1 element and an index that stretches do not vary.
        ("ii,i->i", [np.zeros((1, 1)), np.zeros(3)], [[0], [1]]),
        ("i,i->i", [np.zeros(1), np.zeros(3)], [[0], [1]]),
        ("ij->ij", [np.broadcast_to(np.zeros(3), (2, 3))], [[0, 1]]),
        # numpy gives strides of any value to axes of one element.
        ("ij->ij", [as_strided(np.zeros(3), (1, 3), (800, 8))], [[0, 1]]),
        (",i->i", [np.zeros(()), np.zeros(3)], [[0], [1]]),
        ("...i,...->...", [np.zeros((2, 3, 4)), np.zeros(3)], [[12, 4, 1], [0, 1, 0]]),
    ],
)
def test_strides_by_index(subscripts, arrays, rows):
    equation = parse(subscripts, [array.ndim for array in arrays])
    extents = equation.extents([array.shape for array in arrays])
    assert strides_by_index(equation, extents, list(map(Layout.of, arrays))) == rows


def test_opposite_strides_cancel_along_a_diagonal():
    array = as_strided(np.arange(5.0)[2:], (3, 3), (8, -8))
    equation = parse("ii->i", [2])
    assert strides_by_index(equation, (3,), [Layout.of(array)]) == [[0]]


# --- the layout of a new result


def test_results_lie_as_numpys_do():
    """In canonical letters: where operands disagree, numpy's order hangs on those of the sums."""
    rng, compared = Random(11), dict.fromkeys("KCFA", 0)
    while min(compared.values()) < 400:
        case = random_case(rng, 400)
        operands = [as_plain(operand) for operand in case.operands(1)]
        equation = parse(case.subscripts, [operand.ndim for operand in operands])
        if equation.n_indices > 26:
            continue
        for order in "KCFA":
            theirs = numpys_result(str(equation), operands, order)
            if theirs is None:
                continue
            ours = our_layout(equation, operands, order)
            found = order_of(ours.strides, theirs.shape)
            assert ours.shape == theirs.shape, (case, order)
            assert found == order_of(theirs.strides, theirs.shape), (case, order)
            compared[order] += len(found) > 1


@pytest.mark.parametrize("order", "KCFA")
@pytest.mark.parametrize(
    ("subscripts", "operands"),
    [
        ("ab,cb->ca", [np.ones((3, 5), order="F"), np.ones((2, 5), order="F")]),
        ("aa,ba->ab", [np.ones((7, 7), order="F"), np.ones((3, 7), order="F")]),
        ("aab,->ba", [np.ones((2, 2, 3), order="F"), np.ones(())]),
        ("abc->ab", [np.ones((7, 2, 0))]),
        ("abc,b->ac", [np.ones((3, 0, 2)), np.ones(0)]),
        ("a,b->ab", [np.ones(3), np.ones(4)]),
        ("abc,->cab", [np.ones((2, 3, 4)).transpose(1, 2, 0), np.ones(())]),
        ("ab,ab->ab", [np.ones((2, 3)), np.ones((2, 3), order="F")]),
        ("ab,ab->ab", [np.ones((4, 6))[::2, ::-2], np.ones((2, 3), order="F")]),
        ("ab,->ab", [np.broadcast_to(np.ones(3), (4, 3)), np.ones(())]),
        ("ab,->ba", [as_strided(np.ones(5), (3, 3), (8, 8)), np.ones(())]),
    ],
)
def test_results_of_named_equations_lie_as_numpys_do(subscripts, operands, order):
    theirs = np.einsum(subscripts, *operands, order=order, optimize=False)
    ours = our_layout(parse(subscripts, [o.ndim for o in operands]), operands, order)
    assert order_of(ours.strides, ours.shape) == order_of(theirs.strides, theirs.shape)


def test_a_new_result_is_packed():
    rng = Random(5)
    for _ in range(200):
        case = random_case(rng, 400)
        operands = [as_plain(operand) for operand in case.operands(1)]
        equation = parse(case.subscripts, [operand.ndim for operand in operands])
        for order in "KCFA":
            layout = our_layout(equation, operands, order, "int8")
            run = 1
            for stride, extent in sorted(zip(layout.strides, layout.shape, strict=True)):
                if extent > 1 and layout.size:
                    assert stride == run, (case, order)
                    run *= extent
            assert layout.dtype == "int8"
