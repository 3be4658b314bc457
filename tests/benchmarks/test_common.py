"""What the benchmark programs have in common: their command line, and how results are printed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

import pytest

from tests.conftest import ROOT

Program = Callable[..., int]


def unavailable(_: argparse.Namespace) -> NoReturn:
    from common import UnavailableError

    raise UnavailableError("no such card")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """A program of two cases, of which one cannot be measured; it is called with its arguments."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from common import Case, Measured, Target, main

    cases = [
        Case("half", "one / two", lambda _: Measured(0.5, 0.4, 0.6), Target(at_most=0.45)),
        Case("card", "one card / another", unavailable),
    ]
    return lambda *arguments: main("made-up", None, cases, arguments=arguments)


def test_a_table_for_people(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert program() == 0
    header, _, half, card = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["case", "ratio"]
    assert half.split()[:2] == ["half", "0.5"]
    assert "at most 0.45" in half
    assert "missed" in half
    assert "not measured: no such card" in card


def test_an_unknown_case_is_one_line(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program("--case", "nonsense")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "benchmarks/made-up.py: no case 'nonsense'; choose from half, card\n"
