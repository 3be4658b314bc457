"""Words that are no command or no setting, settings given twice or empty, and characters that no setting holds."""

from __future__ import annotations

from tests.bad_input.contract import CUT, LONG, Case, Place, one_line

CASES: list[Case] = [
    ("", "no command; choose from data, train, sweep, studies, report, promote, ensemble, export"),
    ("trian", "no command 'trian' (did you mean 'train'?); choose from data, ensemble, export, promote"),
    ("train --leraning_rate 1", "no setting 'leraning_rate'"),
    ("train -P epoch=2", "no setting 'epoch' (did you mean 'epochs'?)"),
    ("train -P lr", "-P lr: is not name=value"),
    ("train lr=1", "train: 'lr=1' is not a setting; settings are given as -P name=value or --name value"),
    ("train -P weights_digest=abc", "no setting 'weights_digest'"),
    ("-P lr=1 train", "no command '-P'; choose from"),
    (("",), "no command ''; choose from"),
    ("--verbose", "no command '--verbose'"),
    ("train --lr", "argument --lr: expected one argument; see quorum train --help"),
    ("train -P", "argument -P: expected one argument"),
    ("train --lr --epochs 2", "argument --lr: expected one argument"),
    ("train -lr 0.1", "train: no setting 'lr'"),
    ("train -x", "train: no setting 'x'"),
    ("train digits", "train: 'digits' is not a setting"),
    ("train -P =1", "-P =1: is not name=value"),
    ("train --learning-rate=1", "train: no setting 'learning_rate'"),
    ("train --ep 2", "train: no setting 'ep'"),  # nothing is abbreviated
    ("promote -P lr=1", "promote: no setting 'lr'"),
    ("train --weights-digest abc", "train: no setting 'weights_digest'"),
    (("train", f"--{LONG}"), f"train: no setting '{CUT}; choose from"),
    (("train", LONG), f"train: '{CUT} is not a setting"),
    ((LONG,), f"no command '{CUT}; choose from"),
    # twice
    ("train --lr 0.1 --lr 0.2", "lr: is given twice, as '0.1' and '0.2'"),
    ("train -P lr=0.1 -P lr=0.2", "lr: is given twice, as '0.1' and '0.2'"),
    ("train --batch-size 8 --batch_size 16", "batch_size: is given twice, as '8' and '16'"),
    ("train -P batch-size=8 --batch_size 16", "batch_size: is given twice, as '8' and '16'"),
    ("train --json --json false", "json: is given twice, as 'true' and 'false'"),
    ("promote --rollback --rollback=no", "rollback: is given twice, as 'true' and 'no'"),
    (("train", "-P", f"model=a{LONG}", "--model", "b"), "model: is given twice, as 'axxxx"),
    # empty
    ("ensemble -P images=", "images: is empty; give PATH, or leave it out"),
    ("sweep -P study=", "study: is empty; give TEXT, or leave it out"),
    ("report -P study=", "study: is empty; give TEXT, or leave it out"),
    ("train --model=", "model: is empty; give TEXT, or leave it out"),
    ("train -P lr=", "lr: is empty; give FLOAT, or leave it out"),
    ("train -P optimizer=", "optimizer: is empty; give "),
    ("train -P input_size=", "input_size: is empty; give {INT,auto}, or leave it out"),
    ("train -P reuse=", "reuse: is empty; give {BOOL,any}, or leave it out"),
    ("sweep -P seeds=", "seeds: is empty; give A,B,C, or leave it out"),
    ("train -P work_dir=", "work_dir: is empty; give PATH, or leave it out"),
    (("train", "--model", ""), "model: is empty"),
    (("train", "--model", "  "), "model: is empty"),
    ("ensemble -P models=,", "models: ',' has an empty entry; entries are separated by one comma"),
    ("ensemble -P models=a,,b", "models: 'a,,b' has an empty entry"),
    ("data -P archive=a.tar,", "archive: 'a.tar,' has an empty entry"),
    ("train -P plugins=a,,b", "plugins: 'a,,b' has an empty entry"),
    ("sweep -P seeds=1,", "seeds: '1,' is not a list of seeds such as 0,1,2"),
    ("promote -P metric=", "metric: is empty; give {val_accuracy/mean,val_loss/mean}"),
    ("ensemble -P vote=", "vote: is empty; give {majority,soft,greedy}, or leave it out"),
    ("ensemble -P output=", "output: is empty; give PATH, or leave it out"),
    ("export -P output=", "output: is empty; give PATH, or leave it out"),
    ("export -P model=", "model: is empty; give TEXT, or leave it out"),
    ("export -P onxn=true", "no setting 'onxn' (did you mean 'onnx'?)"),
    ("data -P dataset=", "dataset: is empty; give TEXT, or leave it out"),
    ("data -P max_gb=", "max_gb: is empty; give FLOAT, or leave it out"),
    ("studies -P sweeps_dir=", "sweeps_dir: is empty; give PATH, or leave it out"),
    ("train -P device=", "device: is empty; give TEXT, or leave it out"),
    ("sweep -P jobs=", "jobs: is empty; give INT, or leave it out"),
    ("promote -P candidates=", "candidates: is empty; give INT, or leave it out"),
    ("report --output=", "output: is empty; give PATH, or leave it out"),
    ("sweep -P seeds=,", "seeds: ',' is not a list of seeds such as 0,1,2"),
    ("sweep -P seeds=1,,2", "seeds: '1,,2' is not a list of seeds such as 0,1,2"),
    # characters
    (("train", "-P", "model=alex\0net"), "'model=alex\\x00net': '\\x00' is not allowed; settings are UTF-8 text"),
    (("train", "-P", "model=alex\nnet"), "'model=alex\\nnet': '\\n' is not allowed"),
    (("train", "-P", "path=\x1b[31mred"), "'\\x1b' is not allowed"),
    (("ensemble", "--output", "caf\udce9.csv"), "'caf\\udce9.csv': '\\udce9' is not allowed; settings are UTF-8 text"),
    (("ensemble", "-P", "images=\udcff"), "'images=\\udcff': '\\udcff' is not allowed"),
    (("train", "-P", "model=a\u2028b\x85"), "'\\x85' is not allowed"),
    (("train", "-P", "lr=0.1\t"), "'lr=0.1\\t': '\\t' is not allowed"),
    (("train", "-P", "lr=0.1\r\n"), "'\\r' is not allowed"),
    (("train", "\ud800"), "'\\ud800' is not allowed"),
    (("tr\0ain",), "'\\x00' is not allowed; settings are UTF-8 text on one line"),
]


@one_line(CASES)
def test_one_line_and_exit_status_2(place: Place, words: str | tuple[str, ...], line: str) -> None:
    place.check(words, line)
