"""Study files: what is not YAML, what is no study, and what no study can ask for."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from tests.bad_input.contract import LONG, Place

STUDY = """\
dataset: digits
base: {model: scratch-simple}
stages:
  - {name: lr, vary: {lr: [0.1]}}
"""


def stage(text: str) -> str:
    """A study with one stage."""
    return f"dataset: digits\nbase: {{model: scratch-simple}}\nstages:\n  - {text}\n"


def base(text: str) -> str:
    """A study with a base."""
    return f"dataset: digits\nbase: {text}\nstages: [{{name: a, set: {{step_size: 3}}}}]\n"


THREE_HUNDRED = list(range(1, 301))

# By name: the file, and what is said of it after its name.
STUDIES: dict[str, tuple[str, str]] = {
    "on_key": ("on: 1\n" + STUDY, "1: no entry 'on'; choose from accuracy, base, curves, dataset,"),
    "one_key": ("1: 2\n" + STUDY, "1: a key has to be text, not '1'"),
    "q": ("? [a]\n: 1\n" + STUDY, "1: a key has to be text, not a list or a mapping"),
    "date": ("description: 2024-01-01\n" + STUDY, "1: '2024-01-01' is a date; write it in quotes to have it as text"),
    "intabc": ("description: !!int abc\n" + STUDY, "1: 'abc' is not a number that can be read"),
    "foo": ("description: !foo x\n" + STUDY, "1: the tag !foo is not taken"),
    "merge": ("<<: 3\n" + STUDY, "1: merge keys (<<) are not taken"),
    "rec": ("a: &a [*a]\n" + STUDY, "1: anchors and aliases (&a) are not taken"),
    "brackets": ("a: " + "[" * 3000, "1: not YAML (nested more than 20 levels deep)"),
    "brackets2": ("a: " + "[" * 3000 + "]" * 3000, "1: not YAML (nested more than 20 levels deep)"),
    "empty_vary": (stage("{name: lr, vary: {lr: []}}"), "4: lr has no values"),
    "bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join('*' + p for _ in range(9))}]\n" for p, c in itertools.pairwise("abcdefghi")),
        "1: anchors and aliases (&a) are not taken",
    ),
    "grid": (
        stage(f"{{name: lr, vary: {{lr: {THREE_HUNDRED}, batch_size: {THREE_HUNDRED}, epochs: {THREE_HUNDRED}}}}}"),
        "4: stages: asks for 27,000,000 trials; at most 10,000 can be run",
    ),
    "v4000": (
        stage(f"{{name: lr, vary: {{lr: {list(range(1, 4001))}}}, published: [{{id: a, at: {{lr: 5000}}}}]}}"),
        "4: published row at {'lr': 5000.0}, which is not among the",
    ),
    "v10001": (
        stage(f"{{name: lr, vary: {{lr: {list(range(1, 10002))}}}}}"),
        "4: stages: asks for 10,001 trials; at most 10,000 can be run",
    ),
    "longname": (
        stage(f"{{name: {LONG}, vary: {{lr: [0.1]}}}}"),
        "4: name: must have at most 100 characters",
    ),
    "tpe_steps": (
        stage("{name: a, search: tpe, trials: 3, ranges: {epochs: {low: 1, high: 10, step: 0.3}}}"),
        "4: epochs: 1.3 must be a valid integer, got a number with a",
    ),
    "tpe_inf": (
        stage("{name: a, search: tpe, trials: 3, ranges: {lr: {low: .inf, high: 1}}}"),
        "4: low: must be a finite number",
    ),
    "tpe_nan": (
        stage("{name: a, search: tpe, trials: 3, ranges: {lr: {low: .nan, high: 1}}}"),
        "4: low: must be a finite number",
    ),
    "tpe_step_big": (
        stage("{name: a, search: tpe, trials: 3, ranges: {lr: {low: 0.1, high: 1, step: 100}}}"),
        "4: lr: step 100 does not divide 0.1 to 1 into whole steps",
    ),
    "tpe_step_small": (
        stage("{name: a, search: tpe, trials: 3, ranges: {lr: {low: 0.1, high: 1, step: 1e-300}}}"),
        "4: lr: step 1e-300 does not divide 0.1 to 1 into whole steps",
    ),
    "tpe_trials": (
        stage("{name: a, search: tpe, trials: 0, ranges: {lr: {low: 0.1, high: 1}}}"),
        "4: trials: must be greater than or equal to 1",
    ),
    "tpe_startup": (
        stage("{name: a, search: tpe, trials: 3, startup: 0, ranges: {lr: {low: 0.1, high: 1}}}"),
        "4: startup: must be greater than or equal to 1",
    ),
    "tpe_startup_text": (
        stage("{name: a, search: tpe, trials: 3, startup: many, ranges: {lr: {low: 0.1, high: 1}}}"),
        "4: startup: must be a valid integer",
    ),
    "tpe_startup_big": (
        stage("{name: a, search: tpe, trials: 3, startup: 100000, ranges: {lr: {low: 0.1, high: 1}}}"),
        "4: startup: must be less than or equal to 10000",
    ),
    "grid_startup": (
        stage("{name: a, vary: {lr: [0.1]}, startup: 3}"),
        "4: stages: ranges, trials and startup go with search: tpe",
    ),
    "tpe_trials2": (
        stage("{name: a, search: tpe, trials: 1000000000000000000000000000000, ranges: {lr: {low: 0.1, high: 1}}}"),
        "4: trials: must be less than or equal to 10000",
    ),
    "tpe_epochs": (
        stage("{name: a, search: tpe, trials: 3, ranges: {epochs: {low: 1, high: 1000000}}}"),
        "4: epochs: 1000000 must be less than or equal to 100000",
    ),
    "tpe_eq": (
        stage("{name: a, search: tpe, trials: 3, ranges: {lr: {low: 1, high: 1}}}"),
        "4: lr: low 1 is not below high 1",
    ),
    "tpe_model": (
        stage("{name: a, search: tpe, trials: 3, ranges: {model: [scratch-simple, scratch-simpel]}}"),
        "4: no model 'scratch-simpel' (did you mean 'scratch-simple'?);",
    ),
    "tpe_mixed": (
        stage("{name: a, search: tpe, trials: 3, ranges: {input_size: [auto, 32]}, vary: {lr: [1]}}"),
        "4: stages: search: tpe takes ranges and trials, not vary",
    ),
    "tpe_bool": (
        stage("{name: a, search: tpe, trials: 3, ranges: {drop_last: {low: 0, high: 1}}}"),
        "4: drop_last is true or false; a list of both takes the place of",
    ),
    "tpe_str": (
        stage("{name: a, search: tpe, trials: 3, ranges: {optimizer: {low: 0, high: 1}}}"),
        "4: optimizer: 0.0 must be a valid string",
    ),
    "tpe_null": (stage("{name: a, search: tpe, trials: 3, ranges: {lr: }}"), "4: lr: must be a mapping"),
    "tpe_seed": (
        stage("{name: a, search: tpe, trials: 3, ranges: {seed: {low: 0, high: 9}}}"),
        "4: no setting 'seed'; choose from activations, ",
    ),
    "null_name": (stage("{name: , vary: {lr: [0.1]}}"), "4: name: must be a valid string"),
    "num_name": (stage("{name: 3, vary: {lr: [0.1]}}"), "4: name: must be a valid string"),
    "list_name": (stage("{name: [a], vary: {lr: [0.1]}}"), "4: name: must be a valid string"),
    "slash": (stage("{name: a/b, vary: {lr: [0.1]}}"), "4: name: must match pattern '^[\\w.-]+$'"),
    "nl": (stage('{name: "a\\nb", vary: {lr: [0.1]}}'), "4: name: must match pattern '^[\\w.-]+$'"),
    "nulstage": ("dataset: digits\nstages:\n", "2: stages: must be a list"),
    "emptystages": ("dataset: digits\nstages: []\n", "2: stages: Tuple should have at least 1 item after validation,"),
    "strstages": ("dataset: digits\nstages: abc\n", "2: stages: must be a list"),
    "nostages": ("dataset: digits\n", "1: 'stages' is missing"),
    "nodataset": ("stages: [{name: a}]\n", "1: 'dataset' is missing"),
    "dsnum": ("dataset: 3\nstages: [{name: a}]\n", "1: dataset: must be a valid string"),
    "dslist": ("dataset: [digits]\nstages: [{name: a}]\n", "1: dataset: must be a valid string"),
    "dsbad": ("dataset: digts\nstages: [{name: a}]\n", "1: no dataset 'digts' (did you mean 'digits'?); choose from"),
    "dspath": (
        "dataset: ../x\nstages: [{name: a}]\n",
        "1: no dataset '../x'; choose from caltech101, ",
    ),
    "dslong": (f"dataset: {LONG}\nstages: [{{name: a}}]\n", "1: no dataset"),
    "stage_null": ("dataset: digits\nstages: [null]\n", "2: stages: must be a mapping"),
    "stage_num": ("dataset: digits\nstages: [3]\n", "2: stages: must be a mapping"),
    "dup": (
        stage("{name: a, vary: {lr: [1]}}, {name: a, vary: {lr: [2]}}"),
        "4: not YAML (expected <block end>, but found ',')",
    ),
    "base_list": ("dataset: digits\nbase: [lr]\nstages: [{name: a}]\n", "2: base: must be a mapping"),
    "base_lr_list": (base("{lr: [0.1]}"), "2: lr: must be one value: a number, a text, true or false"),
    "base_lr_map": (base("{lr: {a: 1}}"), "2: lr: must be one value: a number, a text, true or false"),
    "base_true": (base("{lr: true}"), "2: lr: True is true or false, not a number or text"),
    "base_yes": (base("{epochs: yes}"), "2: epochs: 'yes' must be a valid integer"),
    "base_130": (base("{epochs: 1:30}"), "2: epochs: '1:30' must be a valid integer"),
    "base_null": (base("{lr: null}"), "2: lr: must be one value: a number, a text, true or false"),
    "base_seed": (base("{seed: 3}"), "2: no setting 'seed'; choose from activations, "),
    "base_ds": (base("{dataset: cifar10}"), "2: no setting 'dataset'; choose from activations, "),
    "base_digest": (base("{weights_digest: abc}"), "2: no setting 'weights_digest' (did you mean 'weight_decay'?);"),
    "base_30": (
        base("{epochs: 1000000000000000000000000000000}"),
        "2: epochs: 1000000000000000000000000000000 must be less than or",
    ),
    "base_inf": (base("{lr: .inf}"), "2: lr: inf must be a finite number"),
    "base_nan": (base("{momentum: .nan}"), "2: momentum: nan must be a finite number"),
    "base_big": (base(f"{{lr: {'9' * 5000}}}"), "2:"),
    "base_bigf": (base("{lr: 1e999}"), "2: lr: inf must be a finite number"),
    "base_int400": (base(f"{{lr: {'9' * 400}}}"), "2: lr:"),
    "base_int400e": (base(f"{{epochs: {'9' * 400}}}"), "2: epochs:"),
    "base_hex": (base("{epochs: 0x}"), "2: epochs: '0x' must be a valid integer"),
    "base_empty": (base("{model: ''}"), "2: no model ''; choose from alexnet, resnet18, resnet50,"),
    "base_aug": (
        base("{model: scratch-simple, augment: flipp}"),
        "2: augment: 'flipp' at character 1: no augmentation operation",
    ),
    "base_aug2": (
        base("{model: scratch-simple, augment: 'flip | '}"),
        "2: augment: 'flip | ' at character 8: cannot be read",
    ),
    "base_augnum": (base("{augment: 3}"), "2: augment: 3 must be a valid string"),
    "base_optnum": (base("{optimizer: 3.5}"), "2: optimizer: 3.5 must be a valid string"),
    "base_phases": (base("{phases: 3}"), "2: phases: 3 must be a valid string"),
    "base_dot": (base("{augment.rotate.degrees: 3}"), "2: augment: no call 'rotate'; choose from none"),
    "base_dot2": (base("{augment..: 3}"), "2: augment..: is not SETTING.CALL.ARGUMENT, such as"),
    "base_dot3": (base("{.: 3}"), "2: no setting ''; choose from activations, "),
    "base_dot4": (
        base("{optimizer.sgd.nesterov: 3}"),
        "3: optimizer: 'sgd(nesterov=3)': nesterov=3 must be a valid boolean",
    ),
    "base_dot5": (base("{optimizer.sgd.lr: 3}"), "3: optimizer: 'sgd(lr=3)': no setting of sgd 'lr'; choose from"),
    "vary_str": (stage("{name: a, vary: lr}"), "4: vary: must be a mapping"),
    "vary_list": (stage("{name: a, vary: [lr]}"), "4: vary: must be a mapping"),
    "vary_scalar": (stage("{name: a, vary: {lr: 0.1}}"), "4: lr: must be a list"),
    "vary_nested": (
        stage("{name: a, vary: {lr: [[0.1]]}}"),
        "4: lr: must be one value: a number, a text, true or false",
    ),
    "vary_null": (stage("{name: a, vary: {lr: [null]}}"), "4: lr: must be one value: a number, a text, true or false"),
    "vary_dup": (stage("{name: a, vary: {lr: [0.1, 1e-1]}}"), "4: lr 0.1 is listed twice"),
    "vary_ds": (
        stage("{name: a, vary: {dataset: [digits, cifar10]}}"),
        "4: no setting 'dataset'; choose from activations, ",
    ),
    "vary_folds": (stage("{name: a, vary: {folds: [0,5]}}"), "4: folds is the same in all of a study, so base sets it"),
    "set_folds": (
        stage("{name: a, set: {folds: 5}, vary: {lr: [0.1]}}"),
        "4: folds is the same in all of a study, so base sets it",
    ),
    "base_folds": (base("{folds: 1}"), "2: folds: 1 leaves nothing to train on; 2 and more, or 0"),
    "vary_seed": (
        stage("{name: a, vary: {seed: [1,2]}}"),
        "4: no setting 'seed'; choose from activations, ",
    ),
    "vary_model": (
        stage("{name: a, vary: {model: [scratch-simple, vgg99]}}"),
        "4: no model 'vgg99' (did you mean 'vgg19'?); choose from alexnet,",
    ),
    "vary_is": (
        stage("{name: a, vary: {model: [vit_b_16], input_size: [64]}}"),
        "4: input_size: 64 does not fit vit_b_16, which takes 224 pixels",
    ),
    "set_vary": (stage("{name: a, set: {lr: 1}, vary: {lr: [0.1]}}"), "4: stages: both sets and varies lr"),
    "unk": (stage("{name: a, vry: {lr: [0.1]}}"), "4: no entry 'vry' (did you mean 'vary'?); choose from name,"),
    "unktop": ("datset: digits\nstages: [{name: a}]\n", "1: no entry 'datset' (did you mean 'dataset'?); choose from"),
    "search": (stage("{name: a, search: random}"), "4: search: must be 'grid' or 'tpe'"),
    "grid_trials": (
        stage("{name: a, vary: {lr: [1]}, trials: 3}"),
        "4: stages: ranges, trials and startup go with search: tpe",
    ),
    "pub_notrial": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.2}}]}"),
        "4: published row at {'lr': 0.2}, which is not among the stage's",
    ),
    "pub_notvaried": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {epochs: 2}}]}"),
        "4: published row at epochs, which stage 'lr' does not vary",
    ),
    "pub_twice": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.1}},{id: a, at: {lr: 0.1}}]}"),
        "4: published row at {'lr': 0.1} is given twice",
    ),
    "pub_acc": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.1}, val_accuracy: 85}]}"),
        "4: val_accuracy: must be less than or equal to 1",
    ),
    "pub_std": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.1}, val_accuracy: 0.5, std: -1}]}"),
        "4: std: must be greater than or equal to 0",
    ),
    "pub_runs": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.1}, runs: 1}]}"),
        "4: runs: must be greater than or equal to 2",
    ),
    "pub_noid": (stage("{name: lr, vary: {lr: [0.1]}, published: [{at: {lr: 0.1}}]}"), "4: 'id' is missing"),
    "pub_at": (stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: lr}]}"), "4: at: must be a mapping"),
    "pub_list": (stage("{name: lr, vary: {lr: [0.1]}, published: 0.5}"), "4: published: must be a list"),
    "pub_id": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: 3, at: {lr: 0.1}}]}"),
        "4: id: must be a valid string",
    ),
    "pub_date": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: 2024-01-01, at: {lr: 0.1}}]}"),
        "4: '2024-01-01' is a date; write it in quotes to have it as text",
    ),
    "pub_fig": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.1}, figure: 0}]}"),
        "4: figure: must be greater than or equal to 1",
    ),
    "pub_nan": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.1}, val_accuracy: .nan}]}"),
        "4: val_accuracy: must be a finite number",
    ),
    "pub_below": (
        stage("{name: lr, vary: {lr: [0.1]}, published: [{id: a, at: {lr: 0.1}, fails_below: 2}]}"),
        "4: fails_below: must be less than 1",
    ),
    "pub_longid": (
        stage(f"{{name: lr, vary: {{lr: [0.1]}}, published: [{{id: {LONG}, at: {{lr: 0.3}}}}]}}"),
        "4: published row at {'lr': 0.3}, which is not among the stage's",
    ),
    "vote1": (STUDY + "vote: {members: [lr]}\n", "5: members: Tuple should have at least 2 items after validation,"),
    "vote2": (STUDY + "vote: {members: [lr, absent]}\n", "5: vote: no stage 'absent'; choose from lr"),
    "vote3": (STUDY + "vote: {members: lr}\n", "5: members: must be a list"),
    "vote4": (STUDY + "vote: []\n", "5: vote: must be a mapping"),
    "vote5": (STUDY + "vote: {members: [lr, lr]}\n", "5: vote: lists a member twice"),
    "vote6": (STUDY + "vote: {}\n", "5: 'members' is missing"),
    "traj": (
        STUDY + "trajectories: [{id: a, stage: b, loss: [1,2], val_accuracy: [0,1]}]\n",
        "5: trajectories: no stage 'b'; choose from lr",
    ),
    "traj2": (
        STUDY + "trajectories: [{id: a, stage: lr, at: {lr: 3}, loss: [1,2], val_accuracy: [0,1]}]\n",
        "5: trajectories: a at {'lr': 3} is not among the trials of stage",
    ),
    "traj3": (
        STUDY + "trajectories: [{id: a, stage: lr, loss: [1], val_accuracy: [0,1]}]\n",
        "5: loss: has too few values",
    ),
    "traj4": (
        STUDY + "trajectories: [{id: a, stage: lr, at: {lr: abc}, loss: [1,2], val_accuracy: [0,1]}]\n",
        "5: trajectories: a: lr: 'abc' must be a valid number",
    ),
    "traj5": (
        STUDY + "trajectories: [{id: a, stage: lr, at: {foo: abc}, loss: [1,2], val_accuracy: [0,1]}]\n",
        "5: trajectories: a: no setting 'foo'; choose from activations, ",
    ),
    "margin": (STUDY + "margin: 2\n", "5: margin: must be less than 1"),
    "margin2": (STUDY + "margin: none\n", "5: margin: must be a valid number"),
    "dev": (STUDY + "deviations: none\n", "5: deviations: must be a list"),
    "dev2": (STUDY + "deviations: [3]\n", "5: deviations: must be a valid string"),
    "acc": (STUDY + "accuracy: first\n", "5: accuracy: must be 'best' or 'last'"),
    "curves": (STUDY + "curves: 3\n", "5: curves: must be a valid string"),
    "desc": (STUDY + "description: [a]\n", "5: description: must be a valid string"),
    "desc2": (STUDY + "description: 3\n", "5: description: must be a valid string"),
    "tabs": ("dataset: digits\n\tbase: {}\n", "2: not YAML (found character '\\t' that cannot start any token)"),
    "unclosed": ("dataset: [digits\n", "2: not YAML (expected ',' or ']', but got '<stream end>')"),
    "colon": ("dataset: a: b\n", "1: not YAML (mapping values are not allowed here)"),
    "twodocs": (STUDY + "---\n" + STUDY, "5: not YAML (but found another document)"),
    "dupkey": ("dataset: digits\n" + STUDY, "2: 'dataset' is given twice"),
    "directive2": ("%YAML 9.9\n---\n" + STUDY, "1: not YAML (found incompatible YAML document (version 1.* is"),
    "nul": ("dataset: dig\0its\n", "1: not YAML (the character '\\x00')"),
    "ctrl": ("dataset: \x01\n", "1: not YAML (the character '\\x01')"),
    "binary": ("dataset: !!binary aGVsbG8=\nstages: [{name: a}]\n", "1: the tag tag:yaml.org,2002:binary is not taken"),
    "sset": ("dataset: !!set {a, b}\nstages: []\n", "1: the tag tag:yaml.org,2002:set is not taken"),
    "omap": ("dataset: !!omap [a: b]\n", "1: the tag tag:yaml.org,2002:omap is not taken"),
    "py": (
        "dataset: !!python/object/apply:os.system ['touch ran']\n",
        "1: the tag tag:yaml.org,2002:python/object/apply:os.system is not",
    ),
    "fl": ("description: !!float abc\n" + STUDY, "1: 'abc' is not a number that can be read"),
    "boolx": ("description: !!bool maybe\n" + STUDY, "1: 'maybe' is not true or false"),
    "nulx": ("description: !!null x\n" + STUDY, "1: description: must be a valid string"),
    "ts": ("description: !!timestamp x\n" + STUDY, "1: 'x' is a date; write it in quotes to have it as text"),
    "seqx": ("stages: !!seq {a: 1}\n", "1: 'dataset' is missing"),
    "mapx": ("base: !!map [a]\n", "1: 'dataset' is missing"),
    "strx": ("stages: !!str [a]\n", "1: 'dataset' is missing"),
    "intmap": ("base: !!int {a: 1}\n", "1: 'dataset' is missing"),
    "alias": ("dataset: *a\n", "1: not YAML (found undefined alias 'a')"),
    "emptykey": ("? \n: 1\n" + STUDY, "1: a key has to be text, not ''"),
    "nullkey": ("null: 1\n" + STUDY, "1: a key has to be text, not 'null'"),
    "longkey": ("x" * 2000 + ": 1\n" + STUDY, "1: not YAML (mapping values are not allowed here)"),
    "longstr": ("description: " + "x" * 999_990, " has 1,000,003 bytes; a study has at most 1,000,000"),
    "toolong": ("description: " + "x" * 1_100_000, " has 1,100,013 bytes; a study has at most 1,000,000"),
    "deepmap": ("".join(" " * i + "a:\n" for i in range(50)), "20: not YAML (nested more than 20 levels deep)"),
    "nums": ("[1,2,3]", "1: a study is a mapping with dataset, base and stages"),
    "text": ("hello", "1: a study is a mapping with dataset, base and stages"),
    "empty": ("", "1: a study is a mapping with dataset, base and stages"),
    "null": ("null", "1: a study is a mapping with dataset, base and stages"),
    "comment": ("# nothing\n", "1: a study is a mapping with dataset, base and stages"),
    "hex": (
        "base: {lr: 0xzz}\n" + "dataset: digits\nstages: [{name: a}]\n",
        "1: lr: '0xzz' must be a valid number",
    ),
    "sexa": (base("{lr: 1:30.5}"), "2: lr: '1:30.5' must be a valid number"),
    "octal": (base("{epochs: 0o8}"), "2: epochs: '0o8' must be a valid integer"),
    "surrog": ('dataset: "\\ud800"\nstages: [{name: a}]\n', "1: '\\ud800' is not text that can be written as UTF-8"),
    "esc": ('dataset: "\\z"\n', "1: not YAML (found unknown escape character 'z')"),
    "esc2": (
        'dataset: "\\x00"\nstages: [{name: a}]\n',
        "1: no dataset '\\x00'; choose from caltech101, ",
    ),
    "esc3": ('dataset: "\\U00110000"\n', " not YAML (chr() arg not in range(0x110000))"),
    "lrnull": ("dataset: digits\nbase: \nstages: [{name: a}]\n", "2: base: must be a mapping"),
}


@pytest.fixture(scope="module")
def studies(place: Place) -> Path:
    """A folder with all of them, and with what is no file."""
    folder = place.folder / "studies"
    folder.mkdir()
    for name, (text, _) in STUDIES.items():
        (folder / f"{name}.yaml").write_bytes(text.encode())
    (folder / "latin.yaml").write_bytes(b"dataset: \xe9\n")
    (folder / "utf16.yaml").write_bytes(STUDY.encode("utf-16"))
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "dangling.yaml").symlink_to("nowhere")
    (folder / "circle.yaml").symlink_to("circle.yaml")
    return folder


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(("name", "line"), [(name, line) for name, (_, line) in STUDIES.items()], ids=list(STUDIES))
def test_a_wrong_study_is_one_line_with_its_place(place: Place, name: str, line: str) -> None:
    place.check(f"sweep -P study=studies/{name}.yaml", f"studies/{name}.yaml:{line}")


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("latin", "studies/latin.yaml:1: cannot be read (not UTF-8)"),
        ("utf16", "studies/utf16.yaml:1: cannot be read (not UTF-8)"),
        ("folder", "studies/folder.yaml: is a folder, not a file"),
        ("pipe", "studies/pipe.yaml: is not a regular file"),
        ("dangling", "studies/dangling.yaml: cannot be read"),
        ("circle", "studies/circle.yaml: cannot be read"),
        ("absent", "studies/absent.yaml: cannot be read"),
        (LONG, "cannot be read"),
    ],
)
def test_what_is_no_file_of_text(place: Place, name: str, line: str) -> None:
    place.check(f"sweep -P study=studies/{name}.yaml", line)
