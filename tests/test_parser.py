"""Subscripts and sublists to equations: prints, error text, and the same answers as numpy's."""

import itertools
import random
import string

import numpy as np
import pytest

from einjit.equation.parser import LONGEST, as_text, from_sublists, locate, parse
from einjit.errors import ArgumentError, ShapeError, SubscriptsError, in_call


def numpy_shape(subscripts, shapes):
    """The shape numpy's C einsum gives, None where it refuses."""
    try:
        operands = [np.ones(shape, dtype=np.int8) for shape in shapes]
        return np.shape(np.einsum(subscripts, *operands, optimize=False))
    except ValueError:
        return None


def parsed(subscripts, ranks):
    try:
        return parse(as_text(subscripts), ranks)
    except ValueError:
        return None


# --- what is accepted, and what it means


@pytest.mark.parametrize(
    ("subscripts", "ranks", "equation"),
    [
        ("ij,jk", [2, 2], "ab,bc->ac"),
        ("ab,bc->ac", [2, 2], "ab,bc->ac"),
        ("ij,jk->ki", [2, 2], "ab,bc->ca"),
        ("ba", [2], "ab->ba"),
        ("aB", [2], "ab->ba"),
        ("ii", [2], "aa->"),
        ("ii->i", [2], "aa->a"),
        ("ij->", [2], "ab->"),
        ("bbcdc->d", [5], "aabcb->c"),
        (",ij", [0, 2], ",ab->ab"),
        ("i,->", [1, 0], "a,->"),
        ("", [0], "->"),
        (",,", [0, 0, 0], ",,->"),
        (" i  j , jk -> ", [2, 2], "ab,bc->"),
        ("i j -> j i ", [2], "ab->ba"),
        ("...", [3], "abc->abc"),
        ("...", [0], "->"),
        (" ... ", [1], "a->a"),
        ("i...", [3], "abc->bca"),
        ("i...->...", [3], "abc->bc"),
        ("i...j->j...i", [4], "abcd->dbca"),
        ("i...i", [4], "abca->bc"),
        ("i...->i", [1], "a->a"),
        ("i->...i", [1], "a->a"),
        ("...i,...i", [2, 4], "ab,cdab->cda"),
        ("...,i", [1, 1], "a,b->ab"),
        ("i...,...j->ij...", [3, 2], "abc,cd->adbc"),
        ("ij\0zz", [2], "ab->ab"),
        ("ij->i\0...", [2], "ab->a"),
        ("\0", [0], "->"),
    ],
)
def test_equation(subscripts, ranks, equation):
    assert str(parse(subscripts, ranks)) == equation
    assert numpy_shape(subscripts, [(1,) * rank for rank in ranks]) is not None


def test_all_letters_and_more_indices_than_letters():
    letters = string.ascii_lowercase + string.ascii_uppercase
    equation = parse(f"{letters}->{letters[::-1]}", [52])
    assert str(equation) == f"{letters}->{letters[::-1]}"
    assert str(parse(f"...,{letters[:50]}->...", [3, 50])).endswith("Z{52}->abc")


def test_as_many_indices_as_numpy_has_axes():
    letters = string.ascii_letters
    for width, accepted in ((12, True), (13, False)):
        for output in ("", "->...", "->a..."):
            shapes = [(1,) * width, (1,) * 52]
            assert (numpy_shape(f"...,{letters}{output}", shapes) is not None) is accepted
            assert (parsed(f"...,{letters}{output}", [width, 52]) is not None) is accepted
    with pytest.raises(SubscriptsError, match=r"^65 indices, the most is 64$"):
        parse("...", [65])


def test_more_operands_than_numpy_takes_unoptimized():
    subscripts, operands = ",".join("i" * 64) + "->i", [np.ones(2)] * 64
    with pytest.raises(ValueError, match="too many operands"):
        np.einsum(subscripts, *operands, optimize=False)
    path = ["einsum_path", tuple(range(60)), tuple(range(5))]
    assert np.einsum(subscripts, *operands, optimize=path).shape == (2,)
    assert str(parse(subscripts, [1] * 64)) == ",".join("a" * 64) + "->a"


@pytest.mark.parametrize(
    ("subscripts", "text"), [("ij", "ij"), (b"ij,jk", "ij,jk"), (b"ij\0\xff", "ij"), (b"", "")]
)
def test_text(subscripts, text):
    assert as_text(subscripts) == text
    assert as_text(np.str_("ij")) == "ij"
    assert type(as_text(np.str_("ij"))) is str


@pytest.mark.parametrize("subscripts", [None, 0, 1.5, ["ij"], bytearray(b"ij"), object])
def test_what_is_not_text(subscripts):
    with pytest.raises(ArgumentError, match=r"^subscripts must be text, not \w+$"):
        as_text(subscripts)


def test_bytes_that_are_not_ascii():
    with pytest.raises(SubscriptsError, match=r"^byte 0xff is not ASCII$") as caught:
        as_text(b"ij\xff")
    assert caught.value.column == 2


# --- what is refused, in which words


@pytest.mark.parametrize(
    ("subscripts", "ranks", "fact", "operand", "column"),
    [
        ("i%", [2], "'%' is not an index, an index is a letter", 0, 1),
        ("i,j\tk", [1, 2], r"'\t' is not an index, an index is a letter", 1, 3),
        ("ij>", [2], "'>' is not an index, an index is a letter", 0, 2),
        ("ij->i,j", [2], "',' is not an index, an index is a letter", None, 5),
        ("ij->>i", [2], "'>' is not an index, an index is a letter", None, 4),
        ("ij->-", [2], "'-' is not an index, an index is a letter", None, 4),
        ("i- >j", [1], "a '-' that is not part of '->'", None, 1),
        ("ij-", [2], "a '-' that is not part of '->'", None, 2),
        ("ij-\0>", [2], "a '-' that is not part of '->'", None, 2),
        ("i..", [2], "a '.' that is not part of '...'", 0, 1),
        (".i...", [2], "a '.' that is not part of '...'", 0, 0),
        ("i. ..", [2], "a '.' that is not part of '...'", 0, 1),
        ("..,.", [0, 0], "a '.' that is not part of '...'", 0, 0),
        ("..\0.", [0], "a '.' that is not part of '...'", 0, 0),
        ("....", [2], "a second '...' in one term", 0, 3),
        ("...i...", [2], "a second '...' in one term", 0, 4),
        ("i->... ...", [1], "a second '...' in one term", None, 7),
        ("j->..j", [1], "a '.' that is not part of '...'", None, 3),
        ("i->ij", [1], "output index 'j' is in no input", None, 4),
        ("ij->jij", [2], "output index 'j' is there twice", None, 6),
        ("...i->i", [2], "the inputs have '...', the output has none", None, 6),
        ("i...->", [2], "the inputs have '...', the output has none", None, 6),
        ("ij,jk", [2], "operands given: 1, terms written: 2", None, 2),
        ("ij,", [2], "operands given: 1, terms written: 2", None, 2),
        ("ij->i", [2, 2], "operands given: 2, terms written: 1", None, 2),
        ("ij->i,j", [2, 2], "operands given: 2, terms written: 1", None, 2),
        ("", [], "no operands", None, None),
        ("é", [1], r"'\xe9' is not ASCII", None, 0),
        ("ij\0\u0455", [2], r"'\u0455' is not ASCII", None, 3),
        ("i\ud800", [1], r"'\ud800' is not ASCII", None, 1),
        ("i" * 10_001, [1], "10001 characters of subscripts, the most is 10000", None, None),
    ],
)
def test_wrong_subscripts(subscripts, ranks, fact, operand, column):
    with pytest.raises(SubscriptsError) as caught:
        parse(subscripts, ranks)
    assert str(caught.value) == fact
    assert (caught.value.operand, caught.value.column) == (operand, column)
    assert numpy_shape(subscripts, [(1,) * rank for rank in ranks]) is None


@pytest.mark.parametrize(
    ("subscripts", "ranks", "fact", "operand", "column"),
    [
        ("ij", [1], "operand 0 has rank 1, its term asks for 2", 0, 1),
        ("i,i j k", [1, 1], "operand 1 has rank 1, its term asks for 3", 1, 4),
        ("i...j", [1], "operand 0 has rank 1, its term asks for 2 or more", 0, 4),
        ("i...", [0], "operand 0 has rank 0, its term asks for 1 or more", 0, 0),
        ("ij,jk", [2, 3], "operand 1 has rank 3, its term asks for 2 and has no '...'", 1, 4),
        ("", [2], "operand 0 has rank 2, its term asks for 0 and has no '...'", 0, 0),
        (",", [0, 1], "operand 1 has rank 1, its term asks for 0 and has no '...'", 1, 1),
    ],
)
def test_wrong_rank(subscripts, ranks, fact, operand, column):
    with pytest.raises(ShapeError) as caught:
        parse(subscripts, ranks)
    assert str(caught.value) == fact
    assert (caught.value.operand, caught.value.column) == (operand, column)
    assert numpy_shape(subscripts, [(1,) * rank for rank in ranks]) is None


def test_wrong_subscripts_in_full():
    with pytest.raises(SubscriptsError) as caught:
        parse("ij,j k->ix", [2, 2])
    assert str(in_call(caught.value, "ij,j k->ix", [(2, 3), (3, 4)])).splitlines() == [
        "output index 'x' is in no input",
        "  ij,j k->ix",
        "           ^",
        "  operand 0: shape (2, 3)",
        "  operand 1: shape (3, 4)",
    ]


def test_a_million_spaces_are_text_as_for_numpy():
    for subscripts, shape in (
        (" " * 10**6, ()),
        ("i" + " " * 10**6 + "j->" + " " * 9 + "j", (1, 1)),
    ):
        assert parse(subscripts, [len(shape)]) == parse(subscripts.replace(" ", ""), [len(shape)])
        assert numpy_shape(subscripts, [shape]) is not None
    assert parse("i\0" + "x" * 10**6, [1]) == parse("i", [1])


# --- where an axis stands in the text


@pytest.mark.parametrize(
    ("subscripts", "ranks", "columns"),
    [
        ("ij,jk->ik", [2, 2], [[0, 1], [3, 4]]),
        (" i j, kl", [2, 2], [[1, 3], [6, 7]]),
        ("i...j,...", [4, 2], [[0, 1, 1, 4], [6, 6]]),
        (",ii", [0, 2], [[], [1, 2]]),
        ("ij\0,k", [2], [[0, 1]]),
    ],
)
def test_locate(subscripts, ranks, columns):
    for operand, places in enumerate(columns):
        for axis in range(ranks[operand]):
            assert locate(subscripts, operand, axis, ranks) == places[axis]


@pytest.mark.parametrize(
    ("subscripts", "operand", "axis"),
    [
        ("ij", None, 0),
        ("ij", 0, None),
        ("ij", 0, 2),
        ("ij", 1, 0),
        ("i%", 0, 0),
        ("é", 0, 0),
        ("i", 0, 0),
    ],
)
def test_locate_finds_nothing(subscripts, operand, axis):
    assert locate(subscripts, operand, axis, [2]) is None


# --- sublists


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("a", [0, 1], "b", [1, 2], [0, 2]), "AB,BC->AC"),
        (("a", [25, 26, 51]), "Zaz"),
        (("a", [..., 0], "b", [0, ...], [...]), "...A,A...->..."),
        (("a", [], "b", [], []), ",->"),
        (("a", (np.uint8(3), np.int64(51))), "Dz"),
        (("a", np.arange(3)), "ABC"),
        (("a", range(2)), "AB"),
        (("a", iter([1, 0])), "BA"),
        (("a", [np.array(7)]), "H"),
        (("a", b"\0\1"), "AB"),
        (("a", ""), ""),
    ],
)
def test_sublists(args, text):
    assert from_sublists(args) == (text, list(args[: len(args) // 2 * 2 : 2]))


@pytest.mark.parametrize(
    ("args", "fact"),
    [
        ((0, 0), "sublist 0 is int, not a list"),
        ((None,) * 63, "sublist 0 is NoneType, not a list"),
        ((0, [], 0, np.array(3)), "sublist 1 is ndarray, not a list"),
        ((0, [], 0), "the output sublist is int, not a list"),
        ((0, [], [1], "i"), "item 0 of sublist 1 is str, not an integer or Ellipsis"),
        ((0, [True]), "item 0 of sublist 0 is bool, not an integer or Ellipsis"),
        ((0, [np.True_]), "item 0 of sublist 0 is bool, not an integer or Ellipsis"),
        ((0, [np.array(True)]), "item 0 of sublist 0 is ndarray, not an integer or Ellipsis"),
        ((0, [0, 1.0]), "item 1 of sublist 0 is float, not an integer or Ellipsis"),
        ((0, [None]), "item 0 of sublist 0 is NoneType, not an integer or Ellipsis"),
        ((0, [[0]]), "item 0 of sublist 0 is list, not an integer or Ellipsis"),
        ((0, [], [0.5]), "item 0 of the output sublist is float, not an integer or Ellipsis"),
    ],
)
def test_sublists_of_the_wrong_type(args, fact):
    with pytest.raises(ArgumentError) as caught:
        from_sublists(args)
    assert str(caught.value) == fact
    with pytest.raises(TypeError):
        np.einsum(*args, optimize=False)


@pytest.mark.parametrize(
    ("args", "fact"),
    [
        ((), "no operand with a sublist"),
        ((0,), "no operand with a sublist"),
        (([0], [52]), "item 0 of sublist 0 is outside 0 to 51"),
        (([[0]], [0, -1]), "item 1 of sublist 0 is outside 0 to 51"),
        (([0], [0], [52]), "item 0 of the output sublist is outside 0 to 51"),
        (([0], [0], [0], [..., ...]), "sublist 1 holds a second Ellipsis"),
        ((0, [0] * 20_000), "sublist 0 holds more than 10000 items"),
    ],
)
def test_sublists_of_wrong_values(args, fact):
    with pytest.raises(SubscriptsError) as caught:
        from_sublists(args)
    assert str(caught.value) == fact
    with pytest.raises(ValueError):
        np.einsum(*args, optimize=False)


def test_endless_sublist():
    with pytest.raises(SubscriptsError, match="more than 10000 items"):
        from_sublists(["a", itertools.repeat(0)])


def test_an_integer_of_any_size_out_of_range():
    for number in (2**63, -(10**30), 10**5000):  # numpy: TypeError beyond 64 bits
        with pytest.raises(SubscriptsError, match="outside 0 to 51"):
            from_sublists(["a", [number]])


def test_sublists_mean_what_they_mean_to_numpy():
    rng = random.Random(5)
    for _ in range(300):
        args = []
        for _ in range(rng.randint(1, 3)):
            items = rng.sample([0, 1, 25, 26, 51, ...], rng.randint(0, 4))
            args += [np.ones((1,) * rng.randint(0, 4)), items]
        if rng.random() < 0.4:
            args.append(rng.sample([0, 25, 26, ...], rng.randint(0, 2)))
        text, operands = from_sublists(args)
        try:
            expected = np.ndim(np.einsum(*args, optimize=False))
        except ValueError:
            expected = None
        equation = parsed(text, [np.ndim(operand) for operand in operands])
        assert (None if equation is None else len(equation.output)) == expected, args


# --- any text: accepted or refused, and read, as by numpy


ALPHABET = "ijkIJ.,-> \0%\n\t"
MARKS = ["i", "j", "k", "I", "...", ",", "->", " ", "-", ">", ".", "\0", "%"]
SOUND = [
    ("ij,jk->ik", [2, 2]),
    ("i,j", [1, 1]),
    ("ii->i", [2]),
    ("...i,i...->...", [2, 2]),
    ("...ij,jk->...ik", [3, 2]),
    (" i , ... -> i...", [1, 2]),
    (",,k", [0, 0, 1]),
    ("Ij...,...->j...", [3, 1]),
    ("iJk\0->", [3]),
]


def random_text(rng):
    """Characters at random, marks at random, or sound subscripts with a few changes."""
    ranks = [rng.randint(0, 3) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    kind = rng.random()
    if kind < 0.15:
        return "".join(rng.choices(ALPHABET, k=rng.randint(0, 8))), ranks
    if kind < 0.4:
        terms = ["".join(rng.choices(MARKS[:5], k=rank)) for rank in ranks]
        output = "->" + "".join(rng.choices(MARKS[:5], k=rng.randint(0, 3)))
        return ",".join(terms) + output * rng.randint(0, 1), ranks
    text, ranks = rng.choice(SOUND)
    marks = list(text)
    for _ in range(rng.randint(0, 3)):
        place = rng.randrange(len(marks) + 1)
        marks[place : place + rng.randint(0, 1)] = [rng.choice(MARKS)] * rng.randint(0, 1)
    ranks = [max(0, rank + (rng.random() < 0.1) - (rng.random() < 0.1)) for rank in ranks]
    return "".join(marks), ranks


def random_shapes(rng, equation):
    """Shapes whose extents tell the indices apart, some of them 1 where that broadcasts."""
    extents = rng.sample(range(2, 30), equation.n_indices)
    return [
        tuple(
            1 if term.count(index) == 1 and rng.random() < 0.2 else extents[index] for index in term
        )
        for term in equation.inputs
    ]


def test_any_text_is_read_as_numpy_reads_it():
    rng = random.Random(2024)
    accepted = refused = 0
    for _ in range(6000):
        subscripts, ranks = random_text(rng)
        expected = numpy_shape(subscripts, [(1,) * rank for rank in ranks])
        equation = parsed(subscripts, ranks)
        assert (equation is None) == (expected is None), (subscripts, ranks)
        assert parsed(subscripts.encode(), ranks) == equation
        if equation is None:
            refused += 1
            continue
        accepted += 1
        shapes = random_shapes(rng, equation)
        if np.prod([extent for shape in shapes for extent in set(shape)]) < 10**6:
            extents = equation.extents(shapes)
            shape = tuple(extents[index] for index in equation.output)
            assert shape == numpy_shape(subscripts, shapes), (subscripts, shapes)
        numbers = list(dict.fromkeys(itertools.chain(*equation.inputs)))
        assert numbers == list(range(equation.n_indices))
    assert min(accepted, refused) > 1500


CONFUSABLES = "іјкⅰｊ𝑖ı․…‚，⟶→−＞\u00a0\u2003\u200b\ufeff\u202e"
HOSTILE = [
    "'",
    '"',
    "\\",
    "\n",
    "\r",
    "\x1b[31m",
    "\0",
    "\x7f",
    "__import__('os').system('x')",
    "{index}",
    "{0}",
    "%s",
    "#",
    ";",
    "lambda",
    "\ud800",
    "\udfff",
    "0",
    "_",
    *CONFUSABLES,
]


def hostile_text(rng):
    marks = rng.choices(HOSTILE, k=rng.randint(1, 3)) + rng.choices(MARKS, k=rng.randint(0, 8))
    rng.shuffle(marks)
    return "".join(marks)


def test_hostile_text_raises_our_errors_alone_and_prints_as_ascii():
    rng = random.Random(7)
    refused = 0
    for number in range(20_000):
        subscripts = hostile_text(rng)
        if number % 2:
            subscripts = subscripts.encode("utf-8", "surrogatepass")
        ranks = [rng.randint(0, 3) for _ in range(rng.randint(0, 3))]
        try:
            equation = parse(as_text(subscripts), ranks)
        except (SubscriptsError, ShapeError) as error:
            shown = str(in_call(error, subscripts, [(1,) * rank for rank in ranks]))
            assert all(line.isascii() and line.isprintable() for line in shown.split("\n"))
            refused += 1
        else:
            assert [len(term) for term in equation.inputs] == ranks
    assert 15_000 < refused < 20_000


@pytest.mark.parametrize(
    "mark", ["i", ",", ".", "...", "-", "->", "%", "é", "i,", "\n", "'", "ij "]
)
def test_a_million_characters_are_refused(mark):
    subscripts = (mark * (10**6 // len(mark) + 1))[: 10**6]
    assert len(subscripts) > LONGEST
    for ranks in ([0], [1], [3, 3]):
        with pytest.raises(ValueError) as caught:
            parse(subscripts, ranks)
        assert len(str(in_call(caught.value, subscripts, None))) < 400
        assert numpy_shape(subscripts, [(1,) * rank for rank in ranks]) is None
