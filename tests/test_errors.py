"""Error classes, and the text of an error as the caller reads it."""

import copy
import pickle

import pytest

from einjit.errors import (
    WIDTH,
    ArgumentError,
    EinjitError,
    OptionError,
    ShapeError,
    SubscriptsError,
    in_call,
)


def lines(error):
    return str(error).splitlines()


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (SubscriptsError, ValueError),
        (ShapeError, ValueError),
        (OptionError, ValueError),
        (ArgumentError, TypeError),
    ],
)
def test_each_error_is_also_the_builtin_numpy_raises(error, builtin):
    assert issubclass(error, EinjitError)
    assert issubclass(error, builtin)
    assert not (issubclass(error, ValueError) and issubclass(error, TypeError))
    assert type(in_call(error("fact"), "ij", [(2, 3)])) is error


def test_mismatch_reads_in_the_callers_letters():
    error = ShapeError(
        "operand 1 has extent 4 along {index}, operand 0 has 3", operand=1, axis=0, index="b"
    )
    assert str(error) == "operand 1 has extent 4 along 'b', operand 0 has 3"
    shown = in_call(error, "ij,jk->ik", [(2, 3), (4, 5)], column=3)
    assert lines(shown) == [
        "operand 1 has extent 4 along 'j', operand 0 has 3",
        "  ij,jk->ik",
        "     ^",
        "  operand 0: shape (2, 3)",
        "  operand 1: shape (4, 5)",
    ]
    assert (shown.operand, shown.axis, shown.column) == (1, 0, 3)


def test_an_ellipsis_axis_is_named_by_its_dots():
    error = ShapeError("operand 1 has extent 4 along {index}", operand=1, axis=0, index="c")
    assert lines(in_call(error, "...i,...j", [(2, 3), (4, 5)], column=5))[:3] == [
        "operand 1 has extent 4 along '...'",
        "  ...i,...j",
        "       ^",
    ]


def test_without_a_column_the_canonical_letter_stays_and_no_caret_stands():
    error = ShapeError("operand 0 has extent 4 along {index}", operand=0, axis=0, index="a")
    assert lines(in_call(error, "xy", [(4, 5)])) == [
        "operand 0 has extent 4 along 'a'",
        "  xy",
        "  operand 0: shape (4, 5)",
    ]


def test_the_errors_own_column_wins():
    error = SubscriptsError("'%' is not an index", column=1)
    assert lines(in_call(error, "i%", None, column=0)) == ["'%' is not an index", "  i%", "   ^"]


@pytest.mark.parametrize("subscripts", [None, ""])
def test_without_subscripts_the_plain_fact_remains(subscripts):
    error = ArgumentError("out must be an array, not list")
    assert str(in_call(error, subscripts, [(2,)])) == "out must be an array, not list"


def test_context_is_added_once():
    once = in_call(SubscriptsError("a fact", column=1), "i%", [(2, 3)])
    assert in_call(once, "jk", [(9, 9)]) is once


def test_braces_in_subscripts_are_left_alone():
    error = ShapeError("no {index} here", index="a")
    assert lines(in_call(error, "{index}{0}", None)) == ["no 'a' here", "  {index}{0}"]
    assert lines(in_call(SubscriptsError("'{' and {index}", column=0), "i", None))[0] == (
        "'{' and 'i'"
    )


@pytest.mark.parametrize(
    ("subscripts", "column", "shown", "caret"),
    [
        ("i\tj%", 3, r"i\tj%", 4),
        ("é\0j", 2, r"\xe9\x00j", 8),
        ("\ud800\U0001d456k", 2, r"\ud800\U0001d456k", 16),
        ("i\\j\x7f", 3, r"i\\j\x7f", 4),
        (b"i\xff", 1, r"i\xff", 1),
        ("ij->", 4, "ij->", 4),
    ],
)
def test_caret_stands_under_its_character_when_others_are_escaped(subscripts, column, shown, caret):
    text, mark = lines(in_call(SubscriptsError("fact", column=column), subscripts, None))[1:]
    assert text == "  " + shown
    assert mark == "  " + " " * caret + "^"


@pytest.mark.parametrize("size", [WIDTH - 1, WIDTH, WIDTH + 1, WIDTH + 2, 500, 10**6])
@pytest.mark.parametrize("place", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_long_subscripts_are_cut_round_the_caret(size, place):
    column = min(int(size * place), size - 1)
    subscripts = "j" * column + "%" + "j" * (size - column - 1)
    text, mark = lines(in_call(SubscriptsError("fact", column=column), subscripts, None))[1:]
    assert text[len(mark) - 1] == "%"
    assert len(text) <= 2 + WIDTH + 6
    assert ("..." in text) == (size > WIDTH)
    if size <= WIDTH:
        assert text == "  " + subscripts


def test_long_escapes_do_not_widen_the_line():
    subscripts = "\U0001d456" * 50 + "%" + "\U0001d456" * 50
    text, mark = lines(in_call(SubscriptsError("fact", column=50), subscripts, None))[1:]
    assert text[len(mark) - 1] == "%"
    assert len(text) <= 2 + WIDTH + 6


@pytest.mark.parametrize("size", [WIDTH, WIDTH + 1, 300])
def test_caret_after_the_last_of_long_subscripts(size):
    text, mark = lines(in_call(SubscriptsError("fact", column=size), "i" * size, None))[1:]
    assert text == "  " + "..." * (size > WIDTH) + "i" * WIDTH
    assert mark == " " * len(text) + "^"


def test_no_more_than_eight_operands_are_listed_but_always_the_offender():
    shapes = [(n,) for n in range(12)]
    first = in_call(ShapeError("fact", operand=2), "i", shapes)
    assert lines(first)[2:] == [f"  operand {n}: shape ({n},)" for n in range(8)] + [
        "  ... and 4 more"
    ]
    for offender in (8, 11):
        late = in_call(ShapeError("fact", operand=offender), "i", shapes)
        assert lines(late)[2:] == [
            f"  operand {n}: shape ({n},)" for n in (*range(7), offender)
        ] + ["  ... and 4 more"]
    assert len(lines(in_call(ShapeError("fact", operand=7), "i", shapes[:8]))) == 2 + 8


def test_errors_survive_pickle_and_copy():
    error = ShapeError("along {index}", operand=1, axis=2, column=3, index="b")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is ShapeError
        assert str(twin) == "along 'b'"
        assert vars(twin) == vars(error)
