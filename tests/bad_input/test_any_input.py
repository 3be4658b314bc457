"""Whatever a study file or a value holds: it is taken, or refused in one line, at once."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from quorum.cli import main
from quorum.commands.wiring import COMMANDS
from quorum.config import TrialConfig, parse_config
from quorum.errors import ConfigError, QuorumError, StudyError
from quorum.study.file import load_study
from quorum.study.plan import plan
from tests.conftest import ROOT

SECONDS = 1.0  # of this process, for a file
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["lr", "1e-3", "1:30", "yes", "sgd", "flip | rotate(3)", "x" * 300, 10**30, -1, 0, 0.0])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    "description",
    "dataset",
    "base",
    "stages",
    "vote",
    "accuracy",
    "margin",
    "deviations",
    "trajectories",
    "curves",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


def written(value: Any) -> str:
    """A value as YAML."""
    buffer = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, buffer)
    return buffer.getvalue()


def loads_or_is_refused(file: Path, text: str) -> None:
    """Assert that a study file is a study, or one line, within a second."""
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    start = time.process_time()
    try:
        study = load_study(file).study
        plan(study, study.first_config({}))
    except (StudyError, ConfigError) as error:
        assert "\n" not in str(error)
        assert "x" * 100 not in str(error)
    assert time.process_time() - start < SECONDS


@given(VALUES)
def test_any_document(folder: Path, value: Any) -> None:
    loads_or_is_refused(folder / "any.yaml", written(value))


@given(st.text(max_size=60) | st.text(alphabet="[]{}:,&*!?|>-#%@`\"' \nab1.~<", max_size=60))
def test_any_text(folder: Path, text: str) -> None:
    loads_or_is_refused(folder / "text.yaml", text)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_study(folder: Path, value: dict[str, Any]) -> None:
    whole = {"dataset": "digits", "stages": [{"name": "lr", "vary": {"lr": [0.1]}}], **value}
    loads_or_is_refused(folder / "study.yaml", written(whole))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every entry in a document: the mapping or list that holds it, and its key or index there."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in entries for place in [(value, key), *places(inner)]]


def dropped(holder: Any, key: Any, _value: Any) -> None:
    del holder[key]


def replaced(holder: Any, key: Any, value: Any) -> None:
    holder[key] = value


def added(holder: Any, key: Any, value: Any) -> None:
    """Give a mapping one more key, or a list the same entry twice."""
    if isinstance(holder, dict):
        holder[f"{key}{value}"[:20]] = value
    else:
        holder.append(holder[key])


FILES = sorted((ROOT / "sweeps").glob("*/*.yaml"))


@given(st.sampled_from(FILES), st.sampled_from([dropped, replaced, added]), st.integers(min_value=0), st.data())
def test_any_change_of_a_good_study(
    folder: Path, source: Path, change: Callable[[Any, Any, Any], None], number: int, data: st.DataObject
) -> None:
    study = YAML(typ="safe", pure=True).load(source)
    found = places(study)
    holder, key = found[number % len(found)]
    change(holder, key, data.draw(VALUES))
    loads_or_is_refused(folder / "changed.yaml", written(study))


SETTINGS = [(name, field) for name, command in COMMANDS.items() for field in command.own_fields()]


@given(st.sampled_from(SETTINGS), st.text(max_size=40) | SCALARS.map(str))
def test_any_value_of_an_option(setting: tuple[str, str], text: str) -> None:
    command, name = setting
    try:
        COMMANDS[command].options.model_validate({name: text})
    except ValueError:
        status_and_line(command, name, text)


def status_and_line(command: str, name: str, text: str) -> None:
    """Assert that the command refuses a value in one line."""
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([command, "-P", f"{name}={text}"]) == 2
    assert err.getvalue().startswith("quorum: ")
    assert err.getvalue().count("\n") == 1
    assert out.getvalue() == ""


@given(st.sampled_from(sorted(TrialConfig.model_fields)), st.text(max_size=40) | SCALARS)
def test_any_value_of_a_trial(name: str, value: Any) -> None:
    try:
        parse_config(TrialConfig, {name: value}, "here")
    except QuorumError as error:
        assert str(error).startswith("here: ")
        assert "\n" not in str(error).replace(repr(value), "")
