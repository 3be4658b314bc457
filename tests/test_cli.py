"""The command line as a stranger meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import requests
from mlflow.tracking import MlflowClient

from quorum.api.options import SweepOptions, TrainOptions
from quorum.api.run_options import Options, RunOptions
from quorum.cli import main, parse
from quorum.commands.arguments import EXAMPLES, metavar
from quorum.commands.completion import SHELLS
from quorum.commands.result import Result
from quorum.commands.wiring import COMMANDS, Command
from quorum.config import TrialConfig, parse_config
from quorum.console import detail, say
from quorum.data import dataset
from quorum.errors import DivergedError
from quorum.plugins import loaded_plugins
from quorum.tracking import schema
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore
from quorum.training.resolve import resolve_static
from tests.conftest import Quorum


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_names_every_setting(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example:\n  quorum" in text
    for field, info in COMMANDS[name].options.model_fields.items():
        assert f"--{info.alias or field}" in text
    if COMMANDS[name].trial:
        for field in set(TrialConfig.model_fields) - {"weights_digest", "seed"}:
            assert f"--{field}" in text


def test_help_shows_types_choices_and_defaults_with_the_most_used_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "--precision {auto,float32,bf16} arithmetic",
        "--input_size {INT,auto} side",
        "--optimizer {sgd,adam,adamw,...} optimizer:",
        "-v [BOOL], --verbose [BOOL] say more",
        "--dry_run [BOOL] say what",
        "--seeds A,B,C seeds of every trial, separated by commas (default: 0,1,2)",
        "--lr FLOAT learning rate, which the schedule multiplies (default: 0.001)",
        "--jobs INT trainings",
        "--work_dir PATH folder",
        "--reuse [{BOOL,any}] link trainings that the store holds already instead of repeating them; any: even",
        "--verify [BOOL] read every image file",
    ):
        assert part in text
    marks = ["most used:", "--study", "settings of the trial:", "--lr", "options:", "--keep", "environment variables:"]
    assert sorted(marks, key=text.index) == marks


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, "INT"),
        (float, "FLOAT"),
        (bool, "BOOL"),
        (str, "TEXT"),
        (Path | None, "PATH"),
        (Literal["sgd", "adam"], "{sgd,adam}"),
        (Literal["a", "b"] | None, "{a,b}"),
        (Annotated[int, "bounds"] | Literal["auto"], "{INT,auto}"),
        (tuple[str, ...], "A,B,C"),
    ],
)
def test_what_values_of_a_type_look_like(annotation: Any, expected: str) -> None:
    assert metavar(annotation) == expected


def test_settings_are_taken_in_every_form() -> None:
    expected = ("train", {"lr": "0.1", "batch_size": "8", "json": "true", "reuse": "false"})
    for text in (
        "train --lr 0.1 --batch_size 8 --json --reuse false",
        "train --lr=0.1 --batch-size 8 --json true --reuse=false",
        "train -P lr=0.1 -P batch_size=8 -P json=true -P reuse=false",
        "train -P batch-size=8 --lr 0.1 -P json=true --reuse false",
        "train -Pbatch-size=8 --lr 0.1 --lr 0.1 -P lr=0.1 --json --json true --reuse false",
    ):
        assert parse(text.split()) == expected


def test_a_value_may_hold_an_equals_sign_and_dashes() -> None:
    assert parse(["ensemble", "-P", "images=a=b-c"])[1] == {"images": "a=b-c"}
    assert parse(["ensemble", "--images=--a=b-c"])[1] == {"images": "--a=b-c"}


def test_an_empty_list_may_be_given_where_it_is_the_default() -> None:
    assert parse(["ensemble", "--models", "", "-P", "plugins="])[1] == {"models": "", "plugins": ""}
    assert Options.model_validate({"plugins": ""}).plugins == ()


def test_lists_are_divided_at_commas() -> None:
    options = SweepOptions.model_validate({"seeds": "3, 1", "plugins": "mine,other.py"})
    assert options.seeds == (3, 1)
    assert options.plugins == ("mine", "other.py")


@pytest.mark.parametrize("text", ["true", "True", "yes", "1", "false", "no", "0"])
def test_booleans(text: str) -> None:
    assert TrainOptions.model_validate({"reuse": text}).reuse is (text in ("true", "True", "yes", "1"))


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(quorum: Quorum) -> None:
    answer = quorum("train", "--json", *"-P model=scratch-simple -P epochs=1 -P batch_size=64".split())
    assert answer.out.count("\n") == 1
    assert {"run_id", "best_val_accuracy", "test_accuracy"} <= set(json.loads(answer.out))
    assert "epoch 1 of 1," in answer.err


def test_the_way_in_imports_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys, quorum.cli\n"
        "try: quorum.cli.main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'mlflow', 'pandas', 'matplotlib', 'tqdm'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.slow
def test_what_reads_a_store_alone_imports_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, quorum.commands.results, quorum.commands.show, quorum.commands.compare, quorum.commands.promote\n"
        "print(sorted({'torch', 'torchvision', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_first_line_comes_before_anything_that_takes_seconds(folder: Path) -> None:
    code = (
        "import sys, quorum.cli\n"
        "class Error:\n"
        "    def write(self, text):\n"
        "        sys.stdout.write(repr(text) + str({'torch', 'mlflow'} & set(sys.modules)) + chr(10))\n"
        "    def flush(self): pass\n"
        "    def isatty(self): return False\n"
        "sys.stderr = Error()\n"
        "quorum.cli.main(['train', '-P', 'device=nonsense'])\n"
        "quorum.cli.main(['train', '-P', 'plugins=absent.py'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wrong_option, *lines = done.stdout.splitlines()
    assert "device: 'nonsense'" in wrong_option  # what is wrong by itself is all that is said
    assert "'reading data...'set()" in lines


def test_version_and_module(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "quorum", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("quorum 0.")


# Commands of the tests' own, handed in.


def wrong(_options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    raise TypeError("one\nand two at http://me:secret@host")


LOST = signal.SIGTERM
RAISED: BaseException = TypeError("in a run")


def wrong_in_a_run(_options: Options, _given: Mapping[str, str], store: TrackingStore) -> Result:
    with begin_run(store, "wrong", Record(kind="train")):
        raise RAISED


def interrupted(_options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    raise KeyboardInterrupt


def terminated(_options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    os.kill(os.getpid(), signal.SIGTERM)
    raise AssertionError("SIGTERM was ignored")


def signal_lost(_options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(LOST)

    Finalized()  # what is raised in a finalizer, nobody can catch
    time.sleep(10)
    raise AssertionError("the signal was lost")


def forbidden(options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    raise PermissionError(13, "Permission denied", str(options.work_dir))


def too_large(_options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    response = requests.Response()
    response.status_code = 413
    raise requests.HTTPError("413 Client Error: Too Large for url: http://me:secret@host/a", response=response)


def noisy(_options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    print("printed")
    os.write(1, b"written by a worker\n")
    return Result({"answer": 1}, "one")


def plugged(_options: Options, _given: Mapping[str, str], _store: TrackingStore | None) -> Result:
    return Result({"plugins": list(loaded_plugins())}, "")


def own(name: str, tracked: bool = False) -> dict[str, Command]:
    """A table of one command, a function of this module."""
    return {name: Command("of the test", Options, f"{__name__}:{name}", "none", (), tracked=tracked)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return tmp_path


def test_an_unknown_error_is_one_line_and_its_traceback_a_file(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["wrong", "--work_dir", "mine"], own("wrong")) == 70
    out, err = capfd.readouterr()
    [file] = (folder / "mine" / "errors").iterdir()
    assert err == (
        "quorum: this is a mistake of quorum's: TypeError: one and two at http://me:***@host; "
        f"the traceback is in mine/errors/{file.name}\n"
    )
    assert out == ""
    text = file.read_text()
    assert text.startswith("Traceback")
    assert "in wrong" in text
    assert "secret" not in text


def test_an_unknown_error_fails_the_adopted_run(
    quorum: Quorum, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient()
    run_id = client.create_run("1").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert main(["wrong"], own("wrong", tracked=True)) == 70
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["mlflow.note.content"] == capfd.readouterr().err.strip().removeprefix("quorum: ")
    assert "MLFLOW_RUN_ID" not in os.environ


@pytest.mark.parametrize(
    ("raised", "status", "reason"),
    [
        (TypeError("of http://me:secret@host"), "FAILED", "TypeError: of http://me:***@host"),
        (DivergedError("the loss is nan"), "FAILED", "the loss is nan"),
        (
            requests.ConnectionError("refused"),
            "KILLED",
            "the store was away; the same command goes on from here",
        ),
    ],
)
def test_an_adopted_run_that_has_ended_keeps_its_status_and_note(
    quorum: Quorum, monkeypatch: pytest.MonkeyPatch, raised: Exception, status: str, reason: str
) -> None:
    client = MlflowClient()
    run_id = client.create_run("1").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setattr(f"{__name__}.RAISED", raised)
    command = Command("of the test", RunOptions, f"{__name__}:wrong_in_a_run", "none", ())
    assert quorum.call(["wrong_in_a_run", "-P", "note=mine"], {"wrong_in_a_run": command}).status in (2, 70)
    run = client.get_run(run_id)
    assert run.info.status == status
    assert run.data.tags["mlflow.note.content"] == f"mine\n\n{reason}"


def test_an_adopted_run_whose_work_is_in_another_keeps_the_link(
    quorum: Quorum, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    run_id = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setattr(f"{__name__}.RAISED", DivergedError("the loss is nan"))
    assert quorum.call(["wrong_in_a_run"], own("wrong_in_a_run", tracked=True)).status == 2
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    [link, reason] = run.data.tags["mlflow.note.content"].split("\n\n")
    assert link.startswith("This command's work is in run [wrong]")
    assert reason == "the loss is nan"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_arrives_where_nobody_can_catch_it_is_not_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # so that it is put back
    monkeypatch.setattr(f"{__name__}.LOST", number)
    assert main(["signal_lost"], own("signal_lost")) == status
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_signal_ends_that_run_too_since_it_may_have_ended_mlflow_run(
    quorum: Quorum, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    run_id = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setattr(f"{__name__}.RAISED", KeyboardInterrupt())
    assert quorum.call(["wrong_in_a_run"], own("wrong_in_a_run", tracked=True)).status == 130
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert client.get_run(run.data.tags[schema.CONTINUES]).info.status == "KILLED"
    assert run.data.tags["mlflow.note.content"].endswith("interrupted")


def test_a_store_that_cannot_be_opened_hides_no_mistake(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "absent")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://store")
    assert main(["train", "-P", "lr=fast"]) == 2
    assert "lr: 'fast' must be a valid number" in capfd.readouterr().err


def test_what_the_file_system_refuses_is_the_users_to_mend(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["forbidden", "--work_dir", "mine"], own("forbidden")) == 2
    assert capfd.readouterr().err == "quorum: 'mine': Permission denied\n"


def test_a_store_that_refuses_a_file_is_no_mistake_of_quorums(quorum: Quorum) -> None:
    done = quorum.call(["too_large"], own("too_large", tracked=True))
    assert done.status == 2
    assert done.err.startswith("quorum: tracking store sqlite:///")
    assert done.err.endswith(": 413 Client Error: Too Large for url: http://me:***@host/a\n")


@pytest.mark.parametrize(("name", "status"), [("interrupted", 130), ("terminated", 143)])
def test_interrupted_and_terminated(folder: Path, capfd: pytest.CaptureFixture[str], name: str, status: int) -> None:
    assert main([name], own(name)) == status
    assert capfd.readouterr().err == f"quorum: {name}\n"


def test_what_others_print_goes_to_standard_error(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["noisy", "--json"], own("noisy")) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"answer": 1}
    assert out.count("\n") == 1
    assert "printed" in err
    assert "written by a worker" in err


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_commands_settings_and_choices(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert main(["--print-completion", shell]) == 0
    script = capfd.readouterr().out
    for part in ("compare", "--print-completion", "--batch_size", "float32", "adamw"):
        assert part in script


def test_completion_without_its_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "needs the package shtab: pip install 'quorum[completion]'" in capfd.readouterr().err


NAMED = [(setting, name) for setting in set(EXAMPLES) & set(TrialConfig.model_fields) for name in EXAMPLES[setting]]


@pytest.mark.parametrize(("setting", "name"), sorted(NAMED))
def test_what_help_names_can_be_given(setting: str, name: str) -> None:
    value = "multistep(milestones=(2,))" if name == "multistep" else name
    config = parse_config(TrialConfig, {"input_size": 64, "epochs": 5, setting: value}, "help")
    assert setting in ("dataset", "weights") or resolve_static(config)
    if setting == "dataset":
        assert dataset(name)


def talking(options: RunOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    say("usual")
    detail("more")
    with begin_run(store, "a sweep", Record(kind="sweep")) as log:
        begin_run(store, "a trial", Record(kind="trial"), parent=log.run_id).end("FINISHED")
        log.note("What quorum says.")
    return Result({}, "answer")


TALKING = {"talking": Command("of the test", RunOptions, f"{__name__}:talking", "none", (), reads="data")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["reading data...", "usual"]),
        (["-q"], []),
        (["-P", "quiet=true"], []),
        (["--verbose"], ["reading data...", "tracking store sqlite:///", "usual", "more"]),
        (["-v"], ["reading data...", "tracking store sqlite:///", "usual", "more"]),
    ],
)
def test_how_much_is_said(quorum: Quorum, capfd: pytest.CaptureFixture[str], words: list[str], said: list[str]) -> None:
    assert main(["talking", *words], TALKING) == 0
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == "answer\n"
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))


def test_errors_are_said_whatever_is_asked_for(quorum: Quorum, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-q", "-P", "device=cdua"]) == 2
    assert capfd.readouterr().err.startswith("quorum: device: 'cdua' is not available")


@pytest.mark.parametrize("adopted", [False, True])
def test_runs_carry_tags_and_a_note_of_ones_own(quorum: Quorum, monkeypatch: pytest.MonkeyPatch, adopted: bool) -> None:
    client = MlflowClient()
    if adopted:
        monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("1").info.run_id)
    words = ["talking", "-P", "tags=who=me, host.name = a=b", "-P", "note=Try, again"]
    assert main(words, TALKING) == 0
    trial, sweep = client.search_runs(["1"])
    for run in (trial, sweep):
        assert (run.data.tags["who"], run.data.tags["host.name"]) == ("me", "a=b")
    assert sweep.data.tags["mlflow.note.content"] == "Try, again\n\nWhat quorum says."
    assert "mlflow.note.content" not in trial.data.tags


def test_plugins_are_loaded_first(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "a_plugin_of_mine.py").write_text("import sys\nprint('loaded', file=sys.stderr)\n")
    assert main(["plugged", "--json", "-P", "plugins=a_plugin_of_mine.py"], own("plugged")) == 0
    out, err = capfd.readouterr()
    assert any("a_plugin_of_mine" in name for name in json.loads(out)["plugins"])
    assert err == "loaded\n"


def test_an_answer_that_nobody_reads_is_no_mistake(folder: Path) -> None:
    code = (
        "import sys, types\n"
        "from quorum.cli import main\n"
        "from quorum.api.run_options import Options\n"
        "from quorum.commands.result import Result\n"
        "from quorum.commands.wiring import Command\n"
        "sys.modules['mine'] = mine = types.ModuleType('mine')\n"
        "mine.answer = lambda options, given, store: Result({}, 'x' * 100_000)\n"
        "sys.exit(main(['it'], {'it': Command('it', Options, 'mine:answer', '', (), tracked=False)}))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
