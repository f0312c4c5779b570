"""explain: its text, its HTML and its facts, and that it tells what einsum does."""

import json
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

import einjit
from einjit.errors import ArgumentError, EinjitError, ShapeError, SubscriptsError
from einjit.explanation import explain

CHAIN = ("ij,jk,kl->il", (20, 300), (300, 40), (40, 50))

VIEW = """\
subscripts  ...ij -> ...ji
equation    abc->acb
path        one or two operands: one contraction
in all      0 FLOPs, 0 bytes

index  letter  extent  role
...    a       2       free, in A
i      b       3       free, in A
j      c       4       free, in A

operand  shape      dtype    layout
A        (2, 3, 4)  float64  C order

A -> result: abc->acb
  view: one operand, nothing summed: strides only
  (2, 4, 3) float64, strides (12, 1, 4)"""

EMPTY = """\
subscripts  zy,yx->zx
equation    ab,bc->ac
path        one or two operands: one contraction
in all      0 FLOPs, 48 bytes

index  letter  extent  role
z      a       2       free, in A
y      b       0       contracted, in A, B
x      c       3       free, in B

operand  shape   dtype    layout
A        (2, 0)  float64  C order
B        (0, 3)  float64  C order

A, B -> result: ab,bc->ac
  empty: an extent is 0: zeros
  (2, 3) float64, C order
  48 bytes"""

NEST = """\
subscripts  j,->j
equation    a,->a
path        one or two operands: one contraction
in all      4 FLOPs, 56 bytes

index  letter  extent  role
j      a       4       free, in A

operand  shape  dtype    layout
A        (4,)   float32  C order, converted first
B        ()     float64  C order

A, B -> result: a,->a
  nest: loops ordered by stride
  (4,) float64, C order
  4 FLOPs, 72 bytes, about 4.4 ns in one thread, one tile
  MODULE: A, B, C = B, A, result; a = a

# MODULE
"""


@pytest.mark.parametrize(
    ("text", "call"),
    [(VIEW, ("...ij -> ...ji", (2, 3, 4))), (EMPTY, ("zy,yx->zx", (2, 0), (0, 3)))],
    ids=["view", "empty"],
)
def test_text_of_what_needs_no_source(text, call):
    explanation = explain(*call)
    assert explanation.text == str(explanation) == repr(explanation) == text
    assert explanation.sources == ()


def test_text_of_a_nest_ends_in_its_source():
    explanation = explain("j,->j", np.ones(4, np.float32), ())
    (source,) = explanation.sources
    assert explanation.text == NEST.replace("MODULE", source.module) + source.text.rstrip()


def test_what_it_found_is_frozen():
    explanation = explain("ij->ji", (2, 3))
    with pytest.raises(FrozenInstanceError):
        explanation.subscripts = "ij->ij"


# ---------------------------------------------------------------- it tells what einsum does


@pytest.mark.parametrize("optimize", ["auto", False])
def test_sources_are_those_that_einsum_compiles(optimize):
    subscripts, *shapes = CHAIN
    explanation = explain(subscripts, *shapes, optimize=optimize)
    einjit.registry.clear()
    einjit.einsum(subscripts, *map(np.ones, shapes), optimize=optimize)
    compiled = {kernel.source.text for kernel in einjit.registry[subscripts]}
    assert {source.text for source in explanation.sources} == compiled


def test_steps_with_the_same_nest_show_one_source():
    explanation = explain("ij,jk,kl,lm->im", *[(100, 100)] * 4)
    modules = [step["source"] for step in explanation.to_dict()["steps"]]
    assert None not in modules
    assert len(modules) > len(explanation.sources) == len(set(modules))


def test_shapes_stand_for_arrays_in_c_order():
    subscripts, *shapes = CHAIN
    assert explain(subscripts, *shapes) == explain(subscripts, *map(np.ones, shapes))
    single = [np.ones(shape, np.float32) for shape in shapes]
    assert explain(subscripts, *shapes, dtype="float32") == explain(subscripts, *single)


def test_layout_of_an_array_counts():
    a = np.ones((6, 8))
    found = explain("ij,ij,ij->ij", np.asfortranarray(a), np.ones((12, 8))[::2], np.ones((1, 8)))
    layouts = [operand["layout"] for operand in found.to_dict()["operands"]]
    assert layouts == ["F order", "strides (16, 1)", "C order"]


def test_dtype_is_what_is_computed_in():
    found = explain("i->", np.ones(3, np.float32), dtype=np.float64).plan
    assert (found.operands[0].dtype, found.result.dtype) == ("float32", "float64")
    assert explain("i->", (3,)).plan.result.dtype == "float64"
    assert explain("i->", (3,), dtype=">i4").plan.result.dtype == "int32"
    text = explain("ij->i", (3, 4), dtype="float16").text
    assert "(3,) float16, C order, computed in float32" in text


def test_optimize_is_that_of_einsum():
    reasons = {o: explain(*CHAIN, optimize=o).plan.reason for o in ("auto", False, "optimal")}
    assert reasons["auto"] == "opt_einsum's order: fewer FLOPs than one pass"
    assert reasons[False].startswith("optimize=False: one pass")
    assert reasons["optimal"] == "optimize='optimal', as in numpy"


def test_interleaved_form():
    found = explain((2, 3), [0, 1], np.ones((3, 4)), [1, 2], [0, 2])
    assert found.subscripts == "AB,BC->AC"
    assert found.plan == explain("ij,jk->ik", (2, 3), (3, 4)).plan


def test_a_list_is_an_operand_and_not_a_shape():
    (operand,) = explain("i->", [5, 7]).plan.operands
    assert (operand.shape, operand.dtype) == ((2,), np.asarray([5, 7]).dtype.name)
    assert explain("i->", (True, False)).plan.operands[0].shape == (2,)


def test_arrays_of_any_size_are_explained_unread():
    # In a process of its own: to read beyond the one element there is would be its end.
    script = """
import sys, numpy as np
from einjit.explanation import explain
endless = np.lib.stride_tricks.as_strided(np.zeros(1), (1 << 20, 1 << 20), (1 << 23, 8))
texts = explain("ij,jk->ik", endless, (1 << 20, 50)), explain("ij->ji", (10**30, 10**30))
assert all(map(str, texts)) and all(x._repr_html_() for x in texts)
print("numba" in sys.modules)
"""
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (child.returncode, child.stdout, child.stderr) == (0, "False\n", "")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "call",
    [
        ("ij,jk->ik", np.ones((2, 3)), np.ones((4, 5))),
        ("ij,jk->ik", np.ones((2, 3))),
        ("ij->k", np.ones((2, 3))),
        ("i?", np.ones((2, 3))),
        ("i", np.ones((2, 3))),
        (b"i\xff", np.ones(3)),
        (np.ones((2, 3)), [0, 1.5]),
        (np.ones((2, 3)), [0, 1], np.ones((4, 5)), [1, 2]),
        (3,),
    ],
    ids=lambda call: re.sub(r"\W+", " ", str(call[0]))[:9],
)
def test_errors_are_those_of_einsum(call):
    with pytest.raises(EinjitError) as expected:
        einjit.einsum(*call)
    with pytest.raises(type(expected.value)) as found:
        explain(*call)
    assert str(found.value) == str(expected.value)


def test_errors_show_shapes_and_a_caret():
    with pytest.raises(ShapeError) as found:
        explain("ij,jk->ik", (2, 3), (4, 5))
    assert str(found.value).splitlines() == [
        "operand 1 has extent 4 along 'j', operand 0 has 3",
        "  ij,jk->ik",
        "     ^",
        "  operand 0: shape (2, 3)",
        "  operand 1: shape (4, 5)",
    ]


def test_negative_extent_is_refused():
    with pytest.raises(ShapeError, match="operand 1 has a negative extent"):
        explain("i,j", (3,), (-3,))


@pytest.mark.parametrize("dtype", [object, np.longdouble, "U3"])
def test_no_plan_where_numpy_does_the_call(dtype):
    with pytest.raises(ArgumentError, match="there is no plan, numpy does this call: dtype"):
        explain("i->i", (3,), dtype=dtype)


def test_conversion_that_is_not_safe_is_refused_as_by_einsum():
    with pytest.raises(ArgumentError, match="cannot be computed as float32"):
        explain("i->", np.ones(3), dtype="float32")


# ---------------------------------------------------------------- facts


def test_facts_survive_json():
    facts = explain(*CHAIN, dtype="float32").to_dict()
    assert json.loads(json.dumps(facts)) == facts


def test_facts_name_what_each_step_takes_and_makes():
    facts = explain(*CHAIN).to_dict()
    taken = [slot for step in facts["steps"] for slot in step["inputs"]]
    made = [step["result"] for step in facts["steps"]]
    assert made == ["t0", "result"]
    assert sorted(taken) == ["A", "B", "C", "t0"]
    assert facts["flops"] == sum(step["flops"] for step in facts["steps"])
    assert [row["index"] + row["letter"] for row in facts["indices"]] == ["ia", "jb", "kc", "ld"]


@pytest.mark.parametrize(
    "call", [CHAIN, ("i,ji->ij", (30,), (40, 30)), ("ijk,k->", *[(9, 9, 9), (9,)])]
)
def test_facts_say_what_stands_behind_the_names_in_a_source(call):
    explanation = explain(*call)
    for step, facts in zip(explanation.plan.steps, explanation.to_dict()["steps"], strict=True):
        inputs, output = facts["equation"].split("->")
        terms = dict(zip(facts["inputs"], inputs.split(","), strict=True))
        terms[facts["result"]] = output
        behind = [
            sorted("".join(facts["loops"][loop] for loop in term))
            for term in step.lowered.nest.terms
        ]
        assert behind == [sorted(terms[name]) for name in facts["arrays"]]


def test_loops_without_letters_have_names():
    complex_ = np.ones((600, 600), "complex64")
    for call, named in (
        (("ij->", complex_), ["ab, parts", "parts, spans"]),
        (("ij,j->i", complex_, complex_[0]), ["a, one row, b"]),
    ):
        text = str(einjit.explain(*call))
        assert re.findall(r"; a, b(?:, c)? = (.*)", text) == named


@pytest.mark.parametrize(
    ("n", "unit"), [(10, "ns"), (10**5, "µs"), (10**8, "ms"), (10**11, "s"), (10**15, "s")]
)
def test_time_is_told_to_two_digits_in_the_unit_that_fits(n, unit):
    found = explain("i,->i", (n,), ())
    (told,) = re.findall(r"about ([\d.,]+) (\S+) in one thread", found.text)
    scale = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[told[1]]
    nanoseconds = found.plan.steps[0].lowered.time
    assert told[1] == unit
    assert float(told[0].replace(",", "")) * scale == pytest.approx(nanoseconds, rel=0.05)


# ---------------------------------------------------------------- HTML


class Page(HTMLParser):
    """The tags of a page, balanced, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.attributes, self.texts = set(), [], set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_says_what_the_text_says():
    explanation = explain(*CHAIN)
    page = Page(explanation._repr_html_())
    assert page.open == []
    for source in explanation.sources:
        assert source.text in page.texts
    for word in set(explanation.text.partition("\n# ")[0].split()):
        assert word.rstrip(":;,") in " ".join(page.texts), word


def test_html_loads_nothing_and_sets_no_colour():
    page = Page(explain(*CHAIN)._repr_html_())
    html = {"div", "p", "br", "code", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.tags == html | {"details", "summary", "pre"}
    assert page.attributes == {("style", "text-align: left")}


def test_html_escapes_hostile_subscripts():
    hostile = "<script>alert('&lt;')</script>"
    shown = replace(explain("ij->ji", (2, 3)), subscripts=hostile)._repr_html_()
    page = Page(shown)
    assert "script" not in page.tags
    assert hostile in page.texts
    assert unescape(shown).count(hostile) == 1


def test_subscripts_end_where_numpy_stops_reading():
    assert explain("i->i\0<script>\x1b[31m", (3,)).subscripts == "i->i"
    with pytest.raises(SubscriptsError):
        explain("i<script>", (3,))
