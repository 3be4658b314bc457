"""The command line as a stranger meets it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from quorum.cli import main, parse
from quorum.commands.wiring import COMMANDS
from quorum.config import TrialConfig
from tests.conftest import Quorum


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_names_every_setting(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example: quorum" in text
    for field, info in COMMANDS[name].options.model_fields.items():
        assert f"--{info.alias or field}" in text
    if COMMANDS[name].trial:
        for field in set(TrialConfig.model_fields) - {"weights_digest", "seed"}:
            assert f"--{field}" in text


def test_settings_are_taken_in_every_form() -> None:
    expected = ("train", {"lr": "0.1", "batch_size": "8", "json": "true", "reuse": "false"})
    for text in (
        "train --lr 0.1 --batch_size 8 --json --reuse false",
        "train --lr=0.1 --batch-size 8 --json true --reuse=false",
        "train -P lr=0.1 -P batch_size=8 -P json=true -P reuse=false",
        "train -P batch-size=8 --lr 0.1 -P json=true --reuse false",
    ):
        assert parse(text.split()) == expected


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse(["ensemble", "-P", "images=a=b"])[1] == {"images": "a=b"}


def test_json_is_one_object_and_nothing_else(quorum: Quorum) -> None:
    answer = quorum("train", "--json", *"-P model=scratch-simple -P epochs=1 -P batch_size=64".split())
    assert answer.out.count("\n") == 1
    assert {"run_id", "best_val_accuracy", "test_accuracy"} <= set(json.loads(answer.out))
    assert "epoch 1/1" in answer.err


def test_the_way_in_imports_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys, quorum.cli\n"
        "try: quorum.cli.main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'mlflow', 'pandas', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_version_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "quorum", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("quorum 0.")
