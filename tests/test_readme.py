"""README.md does what it says: its commands, its examples, its sample of generated source."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import einjit
from einjit.plan.lowering import LOWERINGS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [text for language, text in BLOCKS if language == "sh"]
GENERATED = "def contract("  # what every kernel is called


def test_every_block_is_of_a_known_kind():
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    assert README.count("```") == 2 * len(BLOCKS)


def test_the_commands_are_two_and_name_existing_files():
    assert len(COMMANDS) == 2
    assert [command.count("\n") for command in COMMANDS] == [1, 1]
    first, second = map(shlex.split, COMMANDS)
    for words in first, second:
        assert words[:4] == ["python3", "-m", "venv", ".venv"]
    assert ".[examples]" in first
    assert ".[test]" in second
    scripts = [word for word in first if word.endswith(".py")]
    assert scripts == ["examples/quickstart.py"]
    assert (ROOT / scripts[0]).is_file()
    assert "pytest" in second
    assert (ROOT / second[-1]).is_dir()


def test_the_commands_ask_for_extras_that_exist():
    extras = re.findall(r"'\.\[(\w+)\]'", "".join(COMMANDS))
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert [f"\n{extra} = [" in pyproject for extra in extras] == [True, True]


def test_the_examples_give_what_is_shown():
    """Blocks run in order in one namespace: as a session where they have >>>, else as code."""
    einjit.registry.clear()
    namespace, report, shown = {"__name__": "readme"}, [], 0
    runner = doctest.DocTestRunner(verbose=False)
    for number, block in enumerate(PYTHON):
        if GENERATED in block:
            continue
        if ">>>" not in block:
            exec(compile(block, f"README.md, block {number}", "exec"), namespace)
            continue
        line = README[: README.index(block)].count("\n")
        session = doctest.DocTestParser().get_doctest(
            block, namespace, "README", str(ROOT / "README.md"), line
        )
        shown += len(session.examples)
        runner.run(session, out=report.append, clear_globs=False)
        namespace = session.globs
    assert not report, "".join(report)
    assert shown > 20


def test_the_generated_source_is_what_is_written_and_right(pytestconfig):
    """`pytest --update-golden` writes the sample anew."""
    (sample,) = [block for block in PYTHON if GENERATED in block]
    subscripts, *shapes = re.search(
        r"module for `(.+?)` of shapes\s+(\(.+?\)) and\s+(\(.+?\)):", README
    ).groups()
    rng = np.random.default_rng(0)
    operands = [rng.random([int(n) for n in re.findall(r"\d+", shape)]) for shape in shapes]
    einjit.registry.clear()
    result = einjit.einsum(subscripts, *operands)
    np.testing.assert_allclose(result, np.einsum(subscripts, *operands), rtol=1e-13)
    (kernel,) = einjit.registry
    if pytestconfig.getoption("--update-golden", default=False):
        (ROOT / "README.md").write_text(README.replace(sample, kernel.source.text))
        sample = kernel.source.text
    assert kernel.source.text == sample


def test_the_command_line_prints_the_explanation():
    _, *words = shlex.split(re.search(r"`(python -m einjit explain [^`]+)`", README).group(1))
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=60, check=True
    )
    shapes = [tuple(map(int, shape.split("x"))) for shape in words[-1].split(",")]
    assert done.stdout.strip() == str(einjit.explain(words[3], *shapes))


def test_the_table_of_lowerings_is_the_one_of_the_code():
    table = README.split("| lowering | when | how |\n", 1)[1].split("\n\n", 1)[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[1:]]
    assert rows == [lowering.name for lowering in LOWERINGS]


@pytest.mark.parametrize("name", sorted(einjit.__all__))
def test_every_public_name_is_there(name):
    exempt = {"ArgumentError", "OptionError", "SubscriptsError", "Explanation"}  # errors, results
    assert name in exempt or name in README


def test_the_variables_are_those_that_are_read():
    listed = set(re.findall(r"^\| `(EINJIT_\w+)", README, re.MULTILINE))
    code = "".join(path.read_text() for path in (ROOT / "einjit").rglob("*.py"))
    assert listed == set(re.findall(r'environ\S*?\(\s*"(EINJIT_\w+)"', code))
    assert listed
