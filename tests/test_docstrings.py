"""The examples in docstrings give what they show."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import einjit

MODULES = ["einjit", *(m.name for m in pkgutil.walk_packages(einjit.__path__, "einjit."))]
FEWEST = 30  # examples in all: fewer, and they are not found any more


def examples(name):
    """The sessions of a module that show something."""
    found = doctest.DocTestFinder().find(importlib.import_module(name), name)
    return [session for session in found if session.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    runner, report = doctest.DocTestRunner(verbose=False), []
    for session in examples(name):
        runner.run(session, out=report.append)
    assert not report, "".join(report)


def test_there_are_examples():
    assert sum(len(session.examples) for name in MODULES for session in examples(name)) >= FEWEST


@pytest.mark.parametrize("name", [n for n in einjit.__all__ if not n[0].isupper()])
def test_public_name_shows_an_example(name):
    thing = getattr(einjit, name)
    documented = thing if inspect.isroutine(thing) else type(thing)
    assert ">>> " in (inspect.getdoc(documented) or ""), f"einjit.{name} shows no example"
