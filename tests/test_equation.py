"""The equation's print, its equality, and the extents of its indices against numpy."""

import random

import numpy as np
import pytest

from einjit.equation.equation import Equation, index_letter
from einjit.equation.parser import locate, parse
from einjit.errors import ShapeError, in_call


def refused_by_numpy(subscripts, shapes):
    try:
        np.einsum(subscripts, *[np.ones(shape) for shape in shapes], optimize=False)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("equation", "text"),
    [
        (Equation(((0, 1), (1, 2)), (0, 2)), "ab,bc->ac"),
        (Equation(((),), ()), "->"),
        (Equation(((), (0,)), (0,)), ",a->a"),
        (Equation(((0, 0),), ()), "aa->"),
        (Equation((tuple(range(50, 54)),), (53, 25, 26)), "YZ{52}{53}->{53}zA"),
    ],
)
def test_print(equation, text):
    assert str(equation) == text


def test_every_index_has_a_letter_of_its_own():
    letters = [index_letter(index) for index in range(100)]
    assert len(set(letters)) == 100
    assert letters[:3] + letters[25:28] + letters[51:53] == [*list("abczAB"), "Z", "{52}"]


def test_letters_do_not_count():
    assert parse("ij,jk", [2, 2]) == parse("ab,bc->ac", [2, 2]) == parse("Z y,yB->ZB", [2, 2])
    assert hash(parse("ij,jk", [2, 2])) == hash(parse("ab,bc->ac", [2, 2]))
    assert parse("ij,jk", [2, 2]) != parse("kj,ji", [2, 2])  # the letters sort the output


def test_number_of_indices():
    assert parse("ij,jk", [2, 2]).n_indices == 3
    assert parse("...i,i", [4, 1]).n_indices == 4
    assert parse(",", [0, 0]).n_indices == 0


@pytest.mark.parametrize(
    ("subscripts", "shapes", "extents"),
    [
        ("ij,jk", [(2, 3), (3, 4)], (2, 3, 4)),
        ("i,i", [(2,), (1,)], (2,)),
        ("i,i", [(1,), (2,)], (2,)),
        ("i,i", [(1,), (1,)], (1,)),
        ("i,i", [(0,), (1,)], (0,)),
        ("i,i", [(1,), (0,)], (0,)),
        ("i,i,i", [(1,), (3,), (1,)], (3,)),
        ("ii,i", [(1, 1), (3,)], (3,)),
        ("iijj->ij", [(3, 3, 2, 2)], (3, 2)),
        ("ijp,ipq,ikq->ijk", [(3, 1, 1), (3, 1, 3), (1, 3, 3)], (3, 1, 1, 3, 3)),
        ("...i,...i", [(3, 4), (2, 1, 4)], (3, 4, 2)),
        (",", [(), ()], ()),
    ],
)
def test_extents(subscripts, shapes, extents):
    assert not refused_by_numpy(subscripts, shapes)
    assert parse(subscripts, [len(shape) for shape in shapes]).extents(shapes) == extents


@pytest.mark.parametrize(
    ("subscripts", "shapes", "fact", "operand", "axis"),
    [
        ("i,i", [(2,), (3,)], "operand 1 has extent 3 along 'a', operand 0 has 2", 1, 0),
        ("i,i", [(0,), (3,)], "operand 1 has extent 3 along 'a', operand 0 has 0", 1, 0),
        ("i,i,i", [(1,), (3,), (2,)], "operand 2 has extent 2 along 'a', operand 1 has 3", 2, 0),
        (
            "ji,jk,i",
            [(1, 4), (5, 2), (3,)],
            "operand 2 has extent 3 along 'b', operand 0 has 4",
            2,
            0,
        ),
        ("ii", [(1, 3)], "operand 0 has extents 1 and 3 along 'a'", 0, 1),
        ("ii->i", [(3, 1)], "operand 0 has extents 3 and 1 along 'a'", 0, 1),
        ("ii->i", [(3, 0)], "operand 0 has extents 3 and 0 along 'a'", 0, 1),
        ("i,jii", [(3,), (2, 3, 4)], "operand 1 has extents 3 and 4 along 'a'", 1, 2),
        ("...,...", [(2, 3), (3, 3)], "operand 1 has extent 3 along 'a', operand 0 has 2", 1, 0),
    ],
)
def test_extents_that_do_not_fit(subscripts, shapes, fact, operand, axis):
    assert refused_by_numpy(subscripts, shapes)
    equation = parse(subscripts, [len(shape) for shape in shapes])
    with pytest.raises(ShapeError) as caught:
        equation.extents(shapes)
    assert (str(caught.value), caught.value.operand, caught.value.axis) == (fact, operand, axis)


@pytest.mark.parametrize(
    ("shapes", "fact"),
    [
        ([(2, 3)], "shapes expected: 2, given: 1"),
        ([(2, 3), (3,)], "operand 1 has rank 1, its term asks for 2"),
        ([(2, 3, 4), (3, 4)], "operand 0 has rank 3, its term asks for 2"),
    ],
)
def test_shapes_of_another_call(shapes, fact):
    with pytest.raises(ShapeError) as caught:
        parse("ij,jk", [2, 2]).extents(shapes)
    assert str(caught.value) == fact


def test_a_diagonal_of_nothing_is_refused_though_numpy_reads_past_the_array():
    assert np.einsum("ii->i", np.ones((0, 3))).shape == (3,)
    with pytest.raises(ShapeError, match="extents 0 and 3"):
        parse("ii->i", [2]).extents([(0, 3)])


def test_the_final_text_holds_the_callers_letter():
    subscripts, shapes = "aabcb,abc", [(3, 3, 4, 5, 6), (3, 4, 5)]
    ranks = [len(shape) for shape in shapes]
    with pytest.raises(ShapeError) as caught:
        parse(subscripts, ranks).extents(shapes)
    error = caught.value
    column = locate(subscripts, error.operand, error.axis, ranks)
    assert str(in_call(error, subscripts, shapes, column)).splitlines() == [
        "operand 0 has extents 4 and 6 along 'b'",
        "  aabcb,abc",
        "      ^",
        "  operand 0: shape (3, 3, 4, 5, 6)",
        "  operand 1: shape (3, 4, 5)",
    ]


def test_extents_accept_and_refuse_as_numpy_does():
    rng = random.Random(11)
    accepted = refused = 0
    for _ in range(1500):
        terms = ["".join(rng.choices("ijk", k=rng.randint(0, 3))) for _ in range(rng.randint(1, 3))]
        dots = [rng.random() < 0.3 for _ in terms]
        subscripts = ",".join("..." * d + term for d, term in zip(dots, terms, strict=True))
        if rng.random() < 0.5:
            letters = sorted(set("".join(terms)))
            subscripts += "->" + "..." * any(dots) + "".join(rng.sample(letters, len(letters) // 2))
        usual = {letter: rng.randint(0, 3) for letter in "ijk"}
        shapes = []
        for dotted, term in zip(dots, terms, strict=True):
            shape = [rng.choice((1, 2, 3)) for _ in range(rng.randint(0, 2) * dotted)]
            shape += [
                rng.choice((0, 1, 2)) if rng.random() < 0.2 else usual[letter] for letter in term
            ]
            shapes.append(tuple(shape))
        equation = parse(subscripts, [len(shape) for shape in shapes])
        operands = [np.ones(shape) for shape in shapes]
        try:
            expected = np.einsum(subscripts, *operands, optimize=False).shape
        except ValueError:
            expected = None
        try:
            extents = equation.extents(shapes)
        except ShapeError:
            # One operand, and numpy's diagonal of nothing (above).
            assert expected is None or (len(shapes) == 1 and 0 in shapes[0]), (subscripts, shapes)
            refused += 1
        else:
            assert tuple(extents[index] for index in equation.output) == expected, subscripts
            accepted += 1
    assert min(accepted, refused) > 200
