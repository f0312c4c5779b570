"""The forms of a call, the operands that are numpy's to do, and what a mistake is told."""

import os
import subprocess
import sys

import numpy as np
import pytest
from outcomes import arange, outcome, same
from strategies import lay_out

import einjit
from einjit.settings import settings

# --- operands that numpy takes care of


class Foreign:
    """An array of another library, as einsum sees it."""

    def __array_function__(self, function, types, args, kwargs):
        return function, args[0], kwargs


class ForeignArray(np.ndarray):
    __array_function__ = Foreign.__array_function__


def fallbacks():
    return sum(einjit.registry.stats()["fallbacks"].values())


@pytest.mark.parametrize("foreign", [Foreign(), np.ones(2).view(ForeignArray)])
def test_foreign_arrays_go_to_whom_they_belong(foreign):
    before = fallbacks()
    ours = np.ones(2)
    for operands in [(foreign, ours), (ours, foreign)]:
        dispatched = einjit.einsum("i,i->i", *operands, order="C")
        assert dispatched[:2] == (np.einsum, "i,i->i")
        assert dispatched[2]["order"] == "C"
    assert einjit.einsum("i->i", ours, out=foreign)[0] is np.einsum
    assert fallbacks() == before + 3


@pytest.mark.parametrize("number", [2.0, np.float32(2), 2, True, 2j, np.array(2.0)])
def test_numbers_are_operands_of_calls_that_are_known(number, monkeypatch):
    ours = np.arange(5.0)
    expected = np.einsum(",i->i", number, ours)
    for known in (False, True):
        if known:
            monkeypatch.setattr(einjit.api, "read_request", None)
        found = einjit.einsum(",i->i", number, ours)
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["longdouble", "clongdouble", "object", "m8[s]"])
def test_dtypes_without_kernels_are_numpys(dtype):
    before, kernels = fallbacks(), len(einjit.registry)
    a = np.arange(6).reshape(2, 3).astype(dtype)
    for subscripts, operands in [("ij->ji", [a]), ("ij,ij->i", [a, a]), ("ij->", [a])]:
        expected = outcome(np.einsum, subscripts, *operands)
        assert same(outcome(einjit.einsum, subscripts, *operands), expected)
    assert fallbacks() == before + 3
    assert len(einjit.registry) == kernels


def test_auto_means_no_option_to_numpy():
    a = np.ones((2, 2), "longdouble")
    for auto in ("auto", "".join(["au", "to"])):
        found = einjit.einsum("ij,jk,kl->il", a, a, a, optimize=auto)
        np.testing.assert_array_equal(found, np.full((2, 2), 4))


def test_datetimes_fail_as_in_numpy():
    days = np.array(["2024-01-01"], "M8[D]")
    assert outcome(einjit.einsum, "i,i->", days, days) is outcome(np.einsum, "i,i->", days, days)


def test_the_mask_of_a_masked_array_is_ignored_with_one_warning():
    masked = np.ma.masked_array([1.0, 2.0, 3.0], mask=[0, 1, 0])
    for arguments in [("i->", masked), ("i,i->i", masked, masked), (masked, [0], [])]:
        for _ in range(2):
            with pytest.warns(UserWarning, match="mask") as caught:
                found = einjit.einsum(*arguments)
            assert same(found, np.einsum(*arguments))
            assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("layout", ["subclass", "memmap", "misaligned", "swapped", "readonly"])
def test_every_layout_gives_a_plain_array(layout):
    a = lay_out(arange(2, 3), layout)
    for found in (einjit.einsum("ij->ji", a), einjit.einsum("ij,ij->ij", a, a)):
        assert type(found) is np.ndarray
    np.testing.assert_array_equal(einjit.einsum("ij,ij->j", a, a), (arange(2, 3) ** 2).sum(0))


STRICT = """
import numpy as np, einjit, warnings
warnings.simplefilter("error")
class Foreign:
    def __array_function__(self, function, types, args, kwargs):
        return "dispatched"
def refused(*arguments):
    try:
        einjit.einsum(*arguments)
    except einjit.ArgumentError as error:
        return "EINJIT_STRICT" in str(error)
    return False
print([refused("i->", np.ones(2, dtype)) for dtype in (object, "longdouble")],
      refused("i->", np.ma.masked_array([1.0])), refused(Foreign(), [0]),
      einjit.einsum("i->", np.ones(2)), einjit.registry.stats()["fallbacks"])
"""


def test_strict_refuses_to_fall_back_or_to_warn():
    environment = os.environ | {"EINJIT_STRICT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STRICT], env=environment, capture_output=True, text=True
    )
    assert done.stderr + done.stdout == "[True, True] True True 2.0 {}\n"


# --- forms of a call


def test_the_interleaved_form():
    a, b = arange(2, 3), arange(3, 4)
    for arguments in [
        (a, [0, 1], b, [1, 2]),
        (a, [0, 1], b, [1, 2], [2, 0]),
        (a, (26, 0), b, (0, 51)),
        (a, [..., 1], a, [..., 1]),
        (a, [0, ...], a, [0, ...]),
        (a, np.array([0, 1]), b, [np.int8(1), 2], []),
        (a, range(2)),
        (a, [1, 0]),
    ]:
        for _ in range(2):
            assert same(einjit.einsum(*arguments), np.einsum(*arguments))


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "ij->j"


@pytest.mark.parametrize(
    "subscripts", [b"ij,jk->ik", "ij,jk->ik\0zz", Text("ij,jk"), np.str_("ij,jk"), "i j ,jk -> i k"]
)
def test_forms_of_subscripts(subscripts):
    a, b = arange(2, 3), arange(3, 4)
    for _ in range(2):
        np.testing.assert_array_equal(einjit.einsum(subscripts, a, b), a @ b)


@pytest.mark.parametrize("arguments", [(), ("i",), (5,), (None,), (np.ones(2),), ("i", None)])
def test_too_few_arguments(arguments):
    error = outcome(np.einsum, *arguments)
    assert isinstance(error, type)
    for _ in range(2):
        assert outcome(einjit.einsum, *arguments) is error


def test_keywords_that_do_not_exist():
    with pytest.raises(TypeError, match="precision"):
        einjit.einsum("i", np.ones(2), precision=3)


# --- what a mistake is told

TOLD = [
    (
        ("ij,jk->ik", np.ones((2, 3)), np.ones((4, 5))),
        {},
        einjit.ShapeError,
        """
operand 1 has extent 4 along 'j', operand 0 has 3
  ij,jk->ik
     ^
  operand 0: shape (2, 3)
  operand 1: shape (4, 5)
""",
    ),
    (
        ("ij, jk, kl", np.ones((2, 3)), np.ones((3, 4)), np.ones((5, 6))),
        {},
        einjit.ShapeError,
        """
operand 2 has extent 5 along 'k', operand 1 has 4
  ij, jk, kl
          ^
  operand 0: shape (2, 3)
  operand 1: shape (3, 4)
  operand 2: shape (5, 6)
""",
    ),
    (
        ("...i,...i", np.ones((2, 3)), np.ones((4, 3))),
        {},
        einjit.ShapeError,
        """
operand 1 has extent 4 along '...', operand 0 has 2
  ...i,...i
       ^
  operand 0: shape (2, 3)
  operand 1: shape (4, 3)
""",
    ),
    (
        ("ii->i", np.ones((2, 3))),
        {},
        einjit.ShapeError,
        """
operand 0 has extents 2 and 3 along 'i'
  ii->i
   ^
  operand 0: shape (2, 3)
""",
    ),
    (
        ("ij->i", [1, 2]),
        {},
        einjit.ShapeError,
        """
operand 0 has rank 1, its term asks for 2
  ij->i
   ^
  operand 0: shape (2,)
""",
    ),
    (
        ("ij,jk->ik", np.ones((2, 3))),
        {},
        einjit.SubscriptsError,
        """
operands given: 1, terms written: 2
  ij,jk->ik
    ^
  operand 0: shape (2, 3)
""",
    ),
    (
        ("ij->iz", np.ones((2, 3))),
        {},
        einjit.SubscriptsError,
        """
output index 'z' is in no input
  ij->iz
       ^
  operand 0: shape (2, 3)
""",
    ),
    (
        ("i j, j% -> i", np.ones((2, 3)), np.ones((3, 3))),
        {},
        einjit.SubscriptsError,
        """
'%' is not an index, an index is a letter
  i j, j% -> i
        ^
  operand 0: shape (2, 3)
  operand 1: shape (3, 3)
""",
    ),
    (
        ("...ij->ij", np.ones((5, 2, 3))),
        {},
        einjit.SubscriptsError,
        """
the inputs have '...', the output has none
  ...ij->ij
         ^
  operand 0: shape (5, 2, 3)
""",
    ),
    (
        ("ij->i", np.ones((2, 3))),
        {"out": np.zeros(3)},
        einjit.ShapeError,
        """
out has shape (3,), the result has shape (2,)
  ij->i
  operand 0: shape (2, 3)
""",
    ),
    (
        ("ij->i", np.ones((2, 3))),
        {"out": [0, 0]},
        einjit.ArgumentError,
        """
out must be an ndarray, not list
  ij->i
  operand 0: shape (2, 3)
""",
    ),
    (
        ("ij->i", np.ones((2, 3))),
        {"out": np.zeros(2, "i4")},
        einjit.ArgumentError,
        """
the result's dtype float64 cannot be written to out of dtype int32 with casting='safe'
  ij->i
  operand 0: shape (2, 3)
""",
    ),
    (
        ("i->", np.ones(2)),
        {"dtype": "f4"},
        einjit.ArgumentError,
        """
operand 0 of dtype float64 cannot be computed as float32 with casting='safe'
  i->
  operand 0: shape (2,)
""",
    ),
    (
        ("i->", np.ones(2)),
        {"order": "x"},
        einjit.OptionError,
        """
order='x' is none of 'C', 'F', 'A', 'K'
  i->
  operand 0: shape (2,)
""",
    ),
    (
        (np.ones((2, 3)), [0, "j"]),
        {},
        einjit.ArgumentError,
        """
item 1 of sublist 0 is str, not an integer or Ellipsis
""",
    ),
]


@pytest.mark.parametrize(("arguments", "options", "error", "text"), TOLD)
def test_a_mistake_is_told_where_it_is(arguments, options, error, text):
    for _ in range(2):
        with pytest.raises(error) as caught:
            einjit.einsum(*arguments, **options)
        assert str(caught.value) == text.strip("\n")
    assert outcome(einjit.einsum, *arguments, **options) is outcome(
        np.einsum, *arguments, **options
    )


# --- calls that are ready, with an order or an output


def test_a_ready_call_with_an_order():
    a = arange(3, 4, dtype="float32")
    for order in "CFAK":
        for _ in range(3):
            found = einjit.einsum("ij->ji", a, order=order)
            expected = np.einsum("ij->ji", a, order=order)
            assert same(found, expected)
            assert order in "AK" or found.flags[f"{order}_CONTIGUOUS"]
    hits = einjit.registry.stats()["hits"]
    einjit.einsum("ij->ji", a, order="C")
    assert einjit.registry.stats()["hits"] == hits + 1


def test_a_ready_call_with_an_output():
    a, out = arange(3, 4), np.empty((4, 3))
    for scale in (1, 2, 3):
        assert einjit.einsum("ij->ji", scale * a, out=out) is out
        np.testing.assert_array_equal(out, scale * a.T)
    hits = einjit.registry.stats()["hits"]
    einjit.einsum("ij->ji", a, out=out)
    assert einjit.registry.stats()["hits"] == hits + 1
    assert not settings.compiles or einjit.registry.find_into("ij->ji", a, out) is not None


def test_a_ready_call_looks_at_its_output():
    a = arange(4, 4)
    einjit.einsum("ij->ji", a, out=np.empty((4, 4)))
    expected = a.T.copy()
    assert einjit.einsum("ij->ji", a, out=a) is a  # the operand itself
    np.testing.assert_array_equal(a, expected)
    kept = np.zeros((4, 4))
    kept.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        einjit.einsum("ij->ji", a, out=kept)
    with pytest.raises(ValueError, match="shape"):
        einjit.einsum("ij->ji", a, out=np.empty((3, 4)))
    assert not kept.any()


def test_an_operand_too_many_is_not_taken_for_the_output():
    a, b = arange(4, 4), np.zeros((4, 4))
    einjit.einsum("ij->ji", a, out=np.empty((4, 4)))
    with pytest.raises(einjit.EinjitError):
        einjit.einsum("ij->ji", a, b)
    assert not b.any()
