"""The command line: what it prints where, and its exit codes."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import einjit
from einjit.__main__ import main
from einjit.explanation import explain

PRODUCT = ["explain", "ij,jk->ik", "--shapes", "100x200,200x50"]


def child(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "einjit", *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", **environment},
    )


def printed(capsys, *arguments):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


# ---------------------------------------------------------------- explain


def test_explain_in_a_process_of_its_own():
    ran = child(*PRODUCT)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == explain("ij,jk->ik", (100, 200), (200, 50)).text + "\n"


def test_explain_prints_the_facts_as_json(capsys):
    found = json.loads(printed(capsys, *PRODUCT, "--json"))
    assert found == explain("ij,jk->ik", (100, 200), (200, 50)).to_dict()


@pytest.mark.parametrize(
    ("shapes", "subscripts", "found"),
    [
        ("()", "->", [[]]),
        ("(),2x3", ",ij", [[], [2, 3]]),
        ("2x3, (), 4", "ij,,k", [[2, 3], [], [4]]),
        ("0", "i", [[0]]),
    ],
)
def test_shapes_as_they_are_written(capsys, shapes, subscripts, found):
    facts = json.loads(printed(capsys, "explain", "--json", "--shapes", shapes, "--", subscripts))
    assert [operand["shape"] for operand in facts["operands"]] == found


@pytest.mark.parametrize("shapes", ["", "2x", "x", "2,,3", "2x3,", "-1x2", "2X3", "a", "(2)", "²"])
def test_shapes_that_are_none(capsys, shapes):
    with pytest.raises(SystemExit) as stopped:
        main(["explain", "ij", f"--shapes={shapes}"])
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert "is no shape such as 2x3 or ()" in err


def test_dtype_is_that_of_the_operands(capsys):
    facts = json.loads(printed(capsys, *PRODUCT, "--dtype", "complex64", "--json"))
    assert {row["dtype"] for row in (*facts["operands"], *facts["steps"])} == {"complex64"}


@pytest.mark.parametrize(
    ("written", "optimize"),
    [("auto", "auto"), ("false", False), ("true", True), ("greedy", "greedy")],
)
def test_optimize_is_that_of_einsum(capsys, written, optimize):
    shapes = ["--shapes", "99x99,99x99,99x99"]
    facts = json.loads(
        printed(capsys, "explain", "ij,jk,kl", *shapes, "--json", "--optimize", written)
    )
    assert facts == explain("ij,jk,kl", *[(99, 99)] * 3, optimize=optimize).to_dict()


# ---------------------------------------------------------------- info


def test_info_tells_the_versions(capsys):
    found = json.loads(printed(capsys, "info", "--json"))
    assert found["einjit"] == einjit.__version__
    assert found["numpy"] == np.__version__
    assert found["python"] == platform.python_version()
    assert found["threads"] == einjit.get_num_threads()
    text = printed(capsys, "info")
    assert dict(line.split(None, 1) for line in text.splitlines()) == {
        name: str(value) for name, value in found.items()
    }


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("0", False)])
def test_info_tells_the_settings(value, strict):
    assert json.loads(child("info", "--json", EINJIT_STRICT=value).stdout)["strict"] is strict


# ---------------------------------------------------------------- what goes wrong


def test_error_of_the_users_is_text_on_stderr(capsys):
    assert main(["explain", "ij,jk->ik", "--shapes", "2x3,4x5"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "einjit: operand 1 has extent 4 along 'j', operand 0 has 3",
        "  ij,jk->ik",
        "     ^",
        "  operand 0: shape (2, 3)",
        "  operand 1: shape (4, 5)",
    ]


def test_error_in_a_process_of_its_own():
    ran = child("explain", "i?", "--shapes", "3")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("einjit: '?' is not an index")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], [*PRODUCT, "--dtype", "object"], PRODUCT[:2]]
)
def test_arguments_that_are_none(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: einjit")


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"einjit {einjit.__version__}\n"


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error there")
def test_a_reader_that_has_read_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        ran = subprocess.run(
            [sys.executable, "-m", "einjit", *PRODUCT], stdout=closed, stderr=subprocess.PIPE
        )
    assert (ran.returncode, ran.stderr) == (0, b"")
