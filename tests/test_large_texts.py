"""Texts for operands of any size: planned and written, not run, so that every rule is reached."""

import ast
import builtins
from collections import Counter
from itertools import chain
from random import Random

import numpy as np
from strategies import random_case

from einjit.equation.operands import Layout, packed
from einjit.equation.parser import parse
from einjit.plan.lowering import LOWERINGS
from einjit.plan.plan import make_plan
from einjit.source.module import Source

EXTENTS = (*range(1, 10), 12, 16, 17, 24, 31, 33, 64, 72, 73, 93, 128, 300, 1001, 4096, 20_000)

MOST = 3e8
"""Elements of an operand, and of a result, at most."""


def random_product(rng):
    """A product of two operands with up to two loops of each kind, in any order."""
    letters = iter("abcdefgh")
    h, m, n, k = ([next(letters) for _ in range(rng.randint(least, 2))] for least in (0, 0, 0, 1))

    def term(*groups):
        found = list(chain(*groups))
        return "".join(rng.sample(found, len(found)))

    return [term(h, m, k), term(h, k, n)], term(h, m, n)


def random_terms(rng):
    """Any equation's terms, and its result's."""
    left, _, right = random_case(rng, 10**6).subscripts.replace(" ", "").partition("->")
    terms = left.replace(".", "").split(",")
    return terms, "".join(
        dict.fromkeys(letter for letter in right if letter in set("".join(terms)))
    )


def random_plan(rng):
    """The plan of an equation, and what it was made of."""
    terms, result = random_product(rng) if rng.random() < 0.7 else random_terms(rng)
    while True:
        extents = {letter: rng.choice(EXTENTS) for letter in sorted(set("".join(terms)))}
        shapes = [tuple(extents[letter] for letter in term) for term in (*terms, result)]
        if all(np.prod(shape, dtype=float) < MOST for shape in shapes):
            break
    dtype = rng.choice(
        ("float32", "float64", "complex64", "complex128", "int32", "int8", "float16")
    )
    layouts = []
    for shape in shapes[:-1]:
        order = list(range(len(shape)))
        if rng.random() < 0.3:
            rng.shuffle(order)
        layouts.append(Layout(shape, packed(shape, order), dtype))
    subscripts = f"{','.join(terms)}->{result}"
    equation = parse(subscripts, [len(term) for term in terms])
    plan = make_plan(equation, layouts, dtype, order=rng.choice("KCF"))
    return plan, (subscripts, layouts)


def unset_names(text):
    """Names that are read above the first line that sets them."""
    known, unset = set(dir(builtins)), []

    def walk(node):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                known.add(node.id)
            elif node.id not in known:
                unset.append(node.id)
            return
        if isinstance(node, ast.alias):
            known.add(node.asname or node.name)
        if isinstance(node, ast.FunctionDef):
            known.update(argument.arg for argument in node.args.args)
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Assign):  # what it is set to comes first
            children = [node.value, *node.targets]
        elif isinstance(node, ast.For):
            children = [node.iter, node.target, *node.body]
        for child in children:
            walk(child)

    walk(ast.parse(text))
    return unset


def test_every_name_is_set_before_it_is_read():
    rng, lowerings, texts = Random(7), Counter(), set()
    for _ in range(3000):
        plan, made_of = random_plan(rng)
        for step in plan.steps:
            lowerings[step.lowered.name] += 1
            nest = step.lowered.nest
            for part in () if nest is None else (nest, *nest.needs):
                if part not in texts:
                    texts.add(part)
                    text = Source(part).text
                    assert not unset_names(text), (made_of, text)
    assert {row.name for row in LOWERINGS} - lowerings.keys() <= {"cast", "empty"}


def test_a_name_that_is_read_too_early_is_found():
    assert unset_names("def f(a):\n    b = a\n    c = d\n    d = b\n") == ["d"]
    assert unset_names("for i in range(n):\n    n = i\n") == ["n"]
