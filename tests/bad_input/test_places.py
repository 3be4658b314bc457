"""Folders and files that cannot be used: studies and claims, outputs, working folders, plugins, tracking stores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.bad_input.contract import CUT, LONG, Case, Place, one_line

STUDY = """\
dataset: digits
base: {model: scratch-simple}
stages:
  - name: lr
    vary: {lr: [0.1]}
    published:
      - {id: a, at: {lr: 0.1}, val_accuracy: 0.5}
"""
CHECK = "claims:\n- {id: a, says: b, checks: [{mean: {id: ID}, above: 0}]}\n"
CLAIMS = {  # beside a good study; what is said of them
    "no-list": ("claims: 3\n", "claims/no-list/digits.yaml:1: claims: must be"),
    "no-mapping": ("[]", "claims/no-mapping/digits.yaml:1: a file of claims is a mapping with claims"),
    "no-yaml": ("a: [\n", "claims/no-yaml/digits.yaml:2: not YAML ("),
    "unknown-row": (CHECK.replace("ID", "c"), "claims/unknown-row/digits.yaml:2: no published row 'c'"),
    "unknown-setting": (
        CHECK.replace("ID", "a, at: {foo: 1}"),
        "claims/unknown-setting/digits.yaml:2: no setting 'foo'",
    ),
    "wrong-value": (CHECK.replace("ID", "a, at: {lr: x}"), "claims/wrong-value/digits.yaml:2: lr: 'x' must be"),
    "date": (CHECK.replace("ID", "2024-01-01"), "claims/date/digits.yaml:2: '2024-01-01' is a date"),
}
PLUGINS = {
    "raises": ("raise ValueError('of its own')\n", "(ValueError: of its own)"),
    "exits": ("import sys; sys.exit(3)\n", "(SystemExit: 3)"),
    "syntax": ("def (\n", "(SyntaxError: invalid syntax"),
    "null": ("\0", "(SyntaxError: source code string cannot contain null bytes)"),
    "recursion": ("def f(): f()\nf()\n", "(RecursionError: maximum recursion depth exceeded"),
    "taken": ("import quorum\nquorum.register_model('alexnet')(lambda n: None)\n", "(ConfigError: model 'alexnet': is"),
}


@pytest.fixture(scope="module", autouse=True)
def _files(place: Place) -> None:
    """The files that the cases name."""
    folder = place.folder
    for name, (text, _) in CLAIMS.items():
        write(folder / "claims" / name / "digits" / "a.yaml", STUDY)
        write(folder / "claims" / name / "digits.yaml", text)
    curves = {"absent": None, "columns": "a,b\n1,2\n", "latin": b"\xff\xfe", "nothing": ""}
    for name, content in curves.items():
        write(folder / "curves" / name / "digits" / "a.yaml", f"curves: c.csv\n{STUDY}")
        if content is not None:
            write(folder / "curves" / name / "digits" / "c.csv", content)
    for name, (text, _) in PLUGINS.items():
        write(folder / "plugins" / f"{name}.py", text)
    os.mkfifo(folder / "plugins" / "pipe.py")
    write(folder / "broken" / "digits" / "a.yaml", "dataset: [\n")
    (folder / "pipes" / "digits").mkdir(parents=True)
    os.mkfifo(folder / "pipes" / "digits" / "a.yaml")
    write(folder / "text", "text")
    write(folder / "other.csv", "name,value\n")
    write(folder / "other.onnx", b"\x08\x0a\x12\x07pytorch")
    (folder / "folder.onnx").mkdir()
    os.mkfifo(folder / "pipe.csv")
    (folder / "folder.csv").mkdir()
    (folder / "link.csv").symlink_to("mlflow.db")


def write(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


NO_CSV = "is not the name of a CSV file"
NO_ONNX = "is not the name of an ONNX file"
OTHER = "holds something else than predictions, and is not overwritten"
CASES: list[Case] = [
    *((f"report -P sweeps_dir=claims/{name}", line) for name, (_, line) in CLAIMS.items()),
    ("report -P sweeps_dir=curves/absent", "curves/absent/digits/c.csv: cannot be read"),
    ("report -P sweeps_dir=curves/columns", "curves/columns/digits/c.csv: is no file of recorded epochs; its columns"),
    ("report -P sweeps_dir=curves/latin", "curves/latin/digits/c.csv: cannot be read"),
    ("report -P sweeps_dir=curves/nothing", "curves/nothing/digits/c.csv: is no file of recorded epochs"),
    ("report -P sweeps_dir=broken", "broken/digits/a.yaml:2: not YAML ("),
    ("studies -P sweeps_dir=broken", "broken/digits/a.yaml:2: not YAML ("),
    ("report -P sweeps_dir=pipes", "pipes/digits/a.yaml: is not a regular file"),
    ("studies -P sweeps_dir=pipes", "pipes/digits/a.yaml: is not a regular file"),
    ("report -P sweeps_dir=absent", "sweeps_dir: no study file in absent/digits/"),
    ("report -P sweeps_dir=text", "sweeps_dir: no study file in text/digits/"),
    ("studies -P sweeps_dir=absent", "sweeps_dir: no study file in absent/"),
    ("studies -P sweeps_dir=text", "sweeps_dir: no study file in text/"),
    ("studies -P dataset=stl10", "sweeps_dir: no study file in sweeps/stl10/"),
    ("studies -P dataset=mnits", "no dataset 'mnits' (did you mean 'mnist'?)"),
    ("studies -P dataset=..", "no dataset '..'"),
    ("studies -P dataset=digits/", "no dataset 'digits/' (did you mean 'digits'?)"),
    ("studies -P study=alexnet", "no setting 'study'"),
    ("report -P dataset=folder", "dataset=folder needs path="),
    ("report -P dataset=caltech101 -P path=absent", "path: absent: no such folder"),
    ("report -P dataset=mnits", "no dataset 'mnits' (did you mean 'mnist'?)"),
    ("report -P study=alexnt", "study: no study 'alexnt' (did you mean 'alexnet'?)"),
    ("report -P study=../alexnet", "study: no study '../alexnet' (did you mean 'alexnet'?)"),
    ("sweep -P study=zzz", "study: no study 'zzz'; choose from alexnet"),
    ("sweep -P study=..", "study: no study '..'; choose from alexnet"),
    ("sweep -P model=vgg11", "study: no study 'vgg11'; choose from alexnet"),
    ("sweep -P study=demo -P dataset=cifar10", "no study 'demo'"),
    ("sweep -P dataset=../x", "no dataset '../x'"),
    ("sweep -P model=alexnet -P lr=0.1", "lr: is varied by stage 'lr'"),
    ("sweep -P study=alexnet -P augment=flipp", "no augmentation operation 'flipp' (did you mean 'flip'?)"),
    ("sweep -P study=alexnet -P input_size=9", "input_size: 9 does not fit alexnet"),
    ("sweep -P study=alexnet -P weights=absent.pt", "weights: no file absent.pt"),
    (
        "init-study -P dataset=digits -P study=demo",
        "study: sweeps/digits/demo.yaml is there already, and is not overwritten",
    ),
    ("init-study -P dataset=dogits", "no dataset 'dogits' (did you mean 'digits'?)"),
    ("init-study -P dataset=digits -P name=pets", "name: is that of a folder of your own; digits has its name"),
    ("init-study -P name=cifar10", "name: cifar10 is another data set's"),
    ("init-study -P name=a/b", "name: 'a/b' cannot be a folder's name"),
    ("init-study -P sweeps_dir=text", "text/folder': Not a directory"),
    # outputs and working folders
    ("report -P output=text", "output: text is not a folder"),
    ("report -P output=/dev/null", "output: /dev/null is not a folder"),
    ("report -P output=/proc/no/folder", "output: /proc/no/folder cannot be made (No such file or directory)"),
    ("ensemble -P output=/proc/no/file.csv", "output: /proc/no cannot be made (No such file or directory)"),
    ("ensemble -P output=sweeps", f"output: sweeps {NO_CSV}"),
    ("ensemble -P output=predictions", f"output: predictions {NO_CSV}"),
    ("ensemble -P output=mlflow.db", f"output: mlflow.db {NO_CSV}"),
    ("ensemble -P output=.csv", f"output: .csv {NO_CSV}"),
    ("ensemble -P output=/", f"output: / {NO_CSV}"),
    ("ensemble -P output=folder.csv", f"output: folder.csv {NO_CSV}"),
    ("ensemble -P output=pipe.csv", f"output: pipe.csv {NO_CSV}"),
    ("ensemble -P output=other.csv", f"output: other.csv {OTHER}"),
    ("ensemble -P output=link.csv", f"output: link.csv {OTHER}"),
    (f"ensemble -P output={LONG}.csv", "File name too long"),
    ("export -P output=sweeps", f"output: sweeps {NO_ONNX}"),
    ("export -P output=vote.csv", f"output: vote.csv {NO_ONNX}"),
    ("export -P output=/", f"output: / {NO_ONNX}"),
    ("export -P output=folder.onnx", f"output: folder.onnx {NO_ONNX}"),
    ("export -P output=other.onnx", "output: other.onnx holds something else than a model of quorum's"),
    ("export -P output=/proc/no/file.onnx", "output: /proc/no cannot be made (No such file or directory)"),
    (f"export -P output={LONG}.onnx", "File name too long"),
    (f"report -P output={LONG}", f"'{CUT}: File name too long"),
    ("train -P work_dir=text", "text"),
    ("data -P work_dir=text", "'text/pixels': Not a directory"),
    ("data -P work_dir=/dev/null/x", "'/dev/null/x/pixels': Not a directory"),
    (f"train -P work_dir={LONG}", "File name too long"),
    (f"train -P dataset=folder -P path={LONG}", f"name: '{CUT} cannot be a folder's name"),
    *((f"train -P plugins=plugins/{name}.py", f"cannot be imported {line}") for name, (_, line) in PLUGINS.items()),
    ("train -P plugins=plugins/pipe.py", "cannot be imported (FileNotFoundError: no file"),
]


@one_line(CASES)
def test_one_line_and_exit_status_2(place: Place, words: str | tuple[str, ...], line: str) -> None:
    place.check(words, line)


STORE, EXPERIMENT, RUN = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"
EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
VARIABLES: list[tuple[Mapping[str, str | None], str]] = [
    ({STORE: "sqlite:///text"}, "tracking store sqlite:///text: "),
    ({STORE: "sqlite:///folder.csv"}, "tracking store sqlite:///folder.csv: is a folder, not a SQLite file"),
    ({STORE: "sqlite:///text/x.db"}, "tracking store sqlite:///text/x.db: "),
    ({STORE: "postgresql://me:secret@127.0.0.1:1/db"}, "tracking store postgresql://me:***@127.0.0.1:1/db: "),
    ({STORE: "postgresql:///db?host=/absent&password=secret"}, "postgresql:///db?host=/absent&password=*** "),
    ({STORE: "postgresql://127.0.0.1:abc/db"}, "tracking store postgresql://127.0.0.1:abc/db: "),
    ({STORE: "postgresql+nosuch://me:secret@127.0.0.1:1/db"}, "postgresql+nosuch://me:***@127.0.0.1:1/db: "),
    ({STORE: "mssql://me:secret@host/db"}, "tracking store mssql://me:***@host/db: "),
    ({STORE: "http://me:secret@127.0.0.1:1"}, "tracking store http://me:***@127.0.0.1:1: "),
    ({STORE: "http://me:se@cret@127.0.0.1:1"}, "tracking store http://me:***@127.0.0.1:1: "),
    ({STORE: "http://["}, "tracking store http://[: "),
    ({STORE: "nonsense://me:secret@store"}, "tracking store nonsense://me:***@store: "),
    ({STORE: "ftp://me:secret@host"}, "tracking store ftp://me:***@host: "),
    ({STORE: "s3://bucket/x"}, "tracking store s3://bucket/x: "),
    ({STORE: "uc:x"}, "tracking store uc:x: "),
    ({EXPERIMENT: "x" * 600}, "exceeds the maximum length of 500 characters"),
    ({EXPERIMENT: ""}, "Invalid experiment name: ''"),
    ({EXPERIMENT: None, EXPERIMENT_ID: "77"}, "MLFLOW_EXPERIMENT_ID: no experiment '77' in this store"),
    ({EXPERIMENT: None, EXPERIMENT_ID: "quorum"}, "MLFLOW_EXPERIMENT_ID: no experiment 'quorum' in this store"),
    ({EXPERIMENT: None, EXPERIMENT_ID: "-1"}, "MLFLOW_EXPERIMENT_ID: no experiment '-1' in this store"),
    ({RUN: "absent"}, "Run with id=absent not found"),
    ({RUN: "'"}, "for parameter 'run_id' supplied"),
]


@pytest.mark.parametrize(("variables", "line"), VARIABLES, ids=[repr(dict(one))[:60] for one, _ in VARIABLES])
def test_variables_of_the_environment(place: Place, variables: Mapping[str, str | None], line: str) -> None:
    place.check("promote", line, variables)


def test_a_password_is_nowhere_in_the_line(place: Place) -> None:
    for variables, _ in VARIABLES:
        if "secret" in (variables.get(STORE) or ""):
            assert "secret" not in place.commands(["promote"], variables).err
