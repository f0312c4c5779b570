"""The benchmark's engines in contest, what is shown of it, and each of its runs."""

import dataclasses
import json

import numpy as np
import odd_engines
import pytest
from children import finish, start, stock

from einjit.__main__ import main
from einjit.bench import contest
from einjit.bench.cases import Case, Point
from einjit.bench.check import fault
from einjit.bench.contest import Contest, Row
from einjit.bench.engines import ENGINES, OWN, Engine
from einjit.bench.summary import means_of, row_facts
from einjit.bench.table import comparison, means_lines, prices, problem_lines, time_text
from einjit.bench.worker import Worker

PRODUCT = Case("products", "squares", "product", "ij,jk->ik", ("float64",), dict.fromkeys("ijk", 8))


def at(equation, dtype="float64", **sizes):
    return Point(Case("", "", "", equation, (dtype,), sizes), dtype, sizes)


# ---------------------------------------------------------------- engines


def test_a_worker_times_a_call_and_finds_what_is_wrong(monkeypatch):
    worker = Worker("numpy")
    point = PRODUCT.at("float64")
    assert worker.prepare(point) is None
    samples = worker.time(0.01)
    assert min(samples) > 0
    wrong = Engine("numpy", lambda point, operands: (lambda: np.zeros((8, 8)), ()))
    monkeypatch.setitem(ENGINES, "numpy", wrong)
    assert worker.prepare(point).startswith("wrong")


@pytest.mark.parametrize("name", [OWN, "numpy", "numpy-opt", "opt_einsum"])
def test_an_engine_answers(name):
    for equation, copied in (("ij,jk->ik", False), ("ijk->kji", True)):
        case = Case("", "", "", equation, ("float64",), {"i": 3, "j": 4, "k": 5}, copied)
        point = case.at("float64")
        function, arguments = ENGINES[name].call(point, point.operands())
        result = function(*arguments)
        assert fault(point, point.operands(), result) is None
        assert result.flags.c_contiguous or not copied


def test_what_engines_do_is_noted_and_stops_nothing(monkeypatch):
    monkeypatch.setattr(contest, "serve", odd_engines.serve)
    engines = [name for name in ENGINES if name != "numpy-opt"]
    with Contest(engines, rounds=3, seconds=1.0) as running:
        first, second = running.rows([PRODUCT.at("float64"), PRODUCT.at("float64")])
    assert first == second
    assert first.seconds == {OWN: 1.0, "pytblis": 30.0, "jax": 1.0}
    assert first.problems == {
        "numpy": "its process ended with 3",
        "opt_einsum": "TypeError: not this dtype",
        "torch": "MemoryError: at the second call",
    }


def test_an_engine_that_takes_too_long_is_left_out(monkeypatch):
    monkeypatch.setattr(contest, "serve", odd_engines.serve)
    monkeypatch.setattr(contest, "LONGEST", 1.0)
    with Contest(["numpy-opt"], rounds=1, seconds=1.0) as running:
        (row,) = running.rows([PRODUCT.at("float64")])
    assert (row.seconds, row.problems) == ({}, {"numpy-opt": "left out: over 1 s"})


def test_what_is_far_behind_and_slow_gets_one_round():
    seconds = {OWN: 0.05, "numpy": 0.9, "jax": 1.1, "torch": 0.04}
    assert Contest._worth_a_turn(seconds, dict.fromkeys(seconds)) == [OWN, "numpy", "torch"]
    assert Contest._worth_a_turn({OWN: 0.2, "jax": 1.9}, {OWN: [], "jax": []}) == [OWN, "jax"]
    assert Contest._worth_a_turn({}, {OWN: [], "jax": []}) == [OWN, "jax"]


def test_an_engine_is_not_asked_for_minutes_of_work(monkeypatch):
    monkeypatch.setattr(contest, "serve", odd_engines.serve)
    with Contest(["numpy"], rounds=1, seconds=1.0) as running:
        (row,) = running.rows([at("ij->", i=10**10, j=1)])
    assert row.problems == {"numpy": "left out: 1e+10 iterations in one loop nest"}


# ---------------------------------------------------------------- what is shown


@pytest.fixture
def rows():
    sums = Case("bandwidth", "reductions", "sums", "ij->i", ("float32",), {"i": 64, "j": 8})
    times = {OWN: 1e-3, "numpy": 3e-3, "jax": 2e-3}
    return [
        Row(PRODUCT.at("float64"), "L1", 5e-4, times, {"torch": "TypeError: no"}),
        Row(PRODUCT.at("float64"), "L1", 1e-4, {"numpy": 1e-5}, {OWN: "wrong: off"}),
        Row(sums.at("float32"), "L2", 1e-5, {OWN: 2e-5, "numpy": 1e-5}, {"torch": "TypeError: no"}),
    ]


def test_a_row_knows_the_best_peer_and_the_limit(rows):
    assert (rows[0].best, rows[0].ratio, rows[0].share) == ("jax", 2.0, 0.5)
    assert (rows[0].over("numpy"), rows[0].over("torch")) == (3.0, None)
    assert (rows[1].best, rows[1].ratio, rows[1].share) == ("numpy", None, None)
    alone = Row(PRODUCT.at("float64"), seconds={OWN: 1.0})
    assert (alone.best, alone.ratio, alone.share) == (None, None, None)


def test_the_table(rows):
    table = comparison([row.point for row in rows])
    text = "\n".join([table.head, *map(table.line, rows)])
    assert text.splitlines() == [
        "case     equation   sizes     dtype       level    einjit      best  peer         ratio"
        "   share",
        "product  ij,jk->ik  ijk=8     float64     L1      1.00 ms   2.00 ms  jax           2.00"
        "    0.50  without torch",
        "product  ij,jk->ik  ijk=8     float64     L1            -   10.0 µs  numpy            -"
        "       -  einjit wrong",
        "sums     ij->i      i=64 j=8  float32     L2      20.0 µs   10.0 µs  numpy         0.50"
        "    0.50  without torch",
    ]


def test_the_table_of_prices(rows):
    table = prices([rows[0].point], ["einjit", "numpy", "torch"])
    assert [table.head, table.line(rows[0])] == [
        "case     equation   sizes  dtype      einjit     numpy     torch  numpy/einjit",
        "product  ij,jk->ik  ijk=8  float64   1.00 ms   3.00 ms         -          3.00"
        "  without torch",
    ]


def test_means_and_problems(rows):
    assert means_lines(means_of(rows)) == [
        "squares       2 cases  ratio 2.00 (worst 2.00: product float64 ijk=8)"
        "  share 0.50 (worst 0.50: product float64 ijk=8)",
        "reductions    1 cases  ratio 0.50 (worst 0.50: sums float32 i=64 j=8)"
        "  share 0.50 (worst 0.50: sums float32 i=64 j=8)",
        "all           3 cases  ratio 1.00 (worst 0.50: sums float32 i=64 j=8)"
        "  share 0.50 (worst 0.50: product float64 ijk=8)",
    ]
    far = [*rows, dataclasses.replace(rows[2], level="mem", limit=1.5e-5)]
    assert means_of(far)["beyond the caches"].share == pytest.approx(0.75)
    assert means_of(rows, "numpy")["squares"].ratio == pytest.approx(3.0)
    assert means_lines(means_of([])) == []
    assert problem_lines(rows) == [
        "torch: TypeError: no (product float64 and 1 more)",
        "einjit: wrong: off (product float64)",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.3456, "12.3 s"),
        (0.9996, "1000 ms"),
        (1e-3, "1.00 ms"),
        (9.87e-8, "98.7 ns"),
        (0, "0.00 ns"),
    ],
)
def test_times_have_three_digits(seconds, text):
    assert time_text(seconds) == text


# ---------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return stock(tmp_path_factory.mktemp("bench") / "cache")


def bench(*arguments, **settings):
    command = ["-m", "einjit", "bench", *arguments, "--rounds", "1", "--seconds", "0.02"]
    return finish(start("", command=command, **settings))


def test_a_comparison_as_json(cache):
    peers = ["numpy", "numpy-opt"]
    chosen = ["--only", "Frobenius", "--dtype", "float32", "--level", "L1"]
    out, err = bench(*chosen, "--peers", ",".join(peers), "--json", EINJIT_CACHE_DIR=cache)
    facts = json.loads(out)
    assert set(facts) == {
        *("machine", "python", "engines", "limits", "rows", "means", "failed"),
    }
    assert set(facts["engines"]) == {OWN, *peers}
    assert set(facts["limits"]) == {"threads", "peak", "bandwidth"}
    (row,) = facts["rows"]
    assert set(row) == set(row_facts(Row(PRODUCT.at("float64"))))
    assert set(row["seconds"]) == {OWN, *peers}
    assert row["ratio"] == pytest.approx(row["seconds"][row["best"]] / row["seconds"][OWN])
    assert row["share"] == pytest.approx(row["limit"] / row["seconds"][OWN])
    assert (row["level"], row["problems"], facts["failed"]) == ("L1", {}, [])
    assert facts["means"]["reductions"]["ratio"] == pytest.approx(row["ratio"])
    assert "Frobenius" in err  # the progress


def test_the_price_of_a_call_as_text(cache):
    out, err = bench("--calls", "--only", "diagonal", EINJIT_CACHE_DIR=cache)
    assert err == ""
    engines, *_, group, head, line, _, means = out.splitlines()
    assert engines.startswith("engines: einjit ")
    assert group == "calls"
    assert head.split()[-1] == "numpy/einjit"
    assert line.split()[:4] == ["diagonal", "ii->i", "i=4", "float64"]
    assert "without" not in line  # every engine that is installed answers
    assert "wrong" not in line
    assert float(line.split()[-1]) > 0
    assert means.startswith("calls    1 cases  ratio ")


def test_a_cold_start_as_json(cache):
    out, _ = bench("--cold", "--only", "ijk->ik", "--peers", "numpy", "--json")
    facts = json.loads(out)
    assert set(facts) == {
        *("yardstick", "nothing_on_disk", "rows", "processes", "problems", "failed"),
    }
    assert facts["problems"] == {}
    (row,) = facts["rows"]
    assert row["equation"] == "ijk->ik"
    seconds = row["seconds"]
    assert set(seconds) == {"cold", "warm", "further", "import"}
    assert min(facts["yardstick"], facts["nothing_on_disk"], *seconds.values()) > 0
    assert set(facts["processes"]) == {OWN, "numpy"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "abacus"], "'abacus' is none of numpy"),
        (["--dtype", "float16"], "'float16' is none of float32"),
        (["--level", "L1,L4"], "'L4' is none of L1"),
        (["--rounds", "0"], "0 is not above 0"),
        (["--cold", "--calls"], "not allowed with"),
    ],
)
def test_arguments_that_are_none(capsys, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *arguments])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("run", [[], ["--calls"], ["--cold"]])
def test_no_case_of_that_name(capsys, run):
    assert main(["bench", "--only", "no such case", *run]) == 2
    out, err = capsys.readouterr()
    assert (out, err.partition(":")[0]) == ("", "einjit")
