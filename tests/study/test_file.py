"""Study files: every one of ours loads, and a wrong one is refused with file and line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from quorum.errors import ConfigError, QuorumError, StudyError
from quorum.models import architecture, imagenet_file
from quorum.study.file import load_study
from quorum.study.model import PublishedRow
from quorum.study.plan import cost, plan
from quorum.study.values import canonical
from quorum.training.check import check_study
from tests.conftest import ROOT

STUDIES = sorted((ROOT / "sweeps").glob("*/*.yaml"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_study_file_loads_and_says_how_it_is_run(file: Path) -> None:
    study = load_study(file).study
    assert study.dataset == file.parent.name
    text = file.read_text()
    assert "# Command: mlflow run . -e sweep" in text
    planned = plan(study, study.first_config({}))
    [head] = [line for line in text.splitlines() if line.startswith("# Cost: ")]
    assert head.startswith(f"# Cost: {cost(planned, seeds=3)}")
    assert head.removeprefix(f"# Cost: {cost(planned, seeds=3)}")[:1] in (".", ";")
    if study.published:
        assert f"# Command: mlflow run . -e sweep -P dataset={study.dataset} -P study={file.stem}\n" in text
    for config in (trial.config for trial in planned if trial.config.weights == "imagenet"):
        assert imagenet_file(architecture(config.model)).name in text


def published_systems() -> dict[str, dict[str, Any]]:
    """The published systems by id, with their data set."""
    file = ROOT.parent / "shared" / "published.yaml"
    if not file.is_file():
        pytest.skip(f"the published figures are not at {file}")
    content = yaml.safe_load(file.read_text())
    return {system["id"]: {**system, "dataset": name} for name, part in content.items() for system in part["systems"]}


def ours(row: PublishedRow) -> bool:
    """Whether a row is of a question of ours: it states nothing that was published."""
    return row.val_accuracy is row.test_accuracy is row.figure is row.fails_below is None


def test_every_published_system_is_a_row_and_no_other() -> None:
    systems = published_systems()
    rows = {
        (row.id, study.dataset)
        for file in STUDIES
        for study in [load_study(file).study]
        for row in study.published
        if not ours(row)
    }
    assert len(systems) == 25
    assert rows == {(name, system["dataset"]) for name, system in systems.items()}


RENAMED = {"train_only": "phases"}  # published as a setting of its own


def test_every_published_number_is_in_the_files() -> None:
    found: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    for file in STUDIES:
        for row in load_study(file).study.published:
            if row.fails_below is not None or ours(row):  # published in words, or not at all
                continue
            at = json.dumps({k: str(v) for k, v in canonical(row.at).items()}, sort_keys=True)
            value = (row.val_accuracy, row.std)
            assert found.setdefault((row.id, at), value) == value  # a vote's member is in two files
    for name, system in published_systems().items():
        if "rows" in system:
            vary = RENAMED.get(system["vary"], system["vary"])
            for at, numbers in system["rows"].items():
                key = json.dumps({k: str(v) for k, v in canonical({vary: at}).items()})
                assert found.pop((name, key)) == (tuple(numbers) if numbers else (None, None)), (name, at)
        elif name == "alexnet-scratch-template":
            assert found.pop((name, '{"lr": "0.001"}')) == (system["val_accuracy"], None)
        else:
            expected = system.get("val_accuracy", system.get("published", {}).get("vote"))
            assert found.pop((name, "{}")) == (expected, None), name
    assert not found


@pytest.mark.slow
def test_published_protocols_are_the_trials_settings() -> None:
    """What published.yaml fixes (its `set`, `train` and template) is what the trials of its rows have."""
    content = yaml.safe_load((ROOT.parent / "shared" / "published.yaml").read_text()) if published_systems() else {}
    template = content["caltech101"]["template"]
    checked = 0
    for file in STUDIES:
        study = load_study(file).study
        for trial in plan(study, study.first_config({})):
            for row in (row for row in trial.published if not ours(row)):
                system = published_systems()[row.id]
                fixed = {**(template if study.dataset == "caltech101" else {}), **system.get("set", {})}
                for key, value in {**fixed, **system.get("train", {})}.items():
                    if RENAMED.get(key, key) not in trial.settings:
                        assert getattr(trial.config, RENAMED.get(key, key)) == value, (file.name, row.id, key)
                        checked += 1
                assert (trial.config.weights == "imagenet") == system.get("needs_imagenet", False)
    assert checked > 150


def test_the_reports_tables_are_in_the_files() -> None:
    study = load_study(ROOT / "sweeps" / "caltech101" / "alexnet.yaml").study
    assert [stage.budget for stage in study.stages] == [5, 5, 5]
    assert study.stages[0].published[3].val_accuracy == 0.446


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    return file


GOOD = """\
dataset: digits
base: {model: scratch-simple}
stages:
  - name: lr
    vary: {lr: [1e-3, 0.01]}
    published:
      - {id: a, at: {lr: 0.001}, val_accuracy: 0.5, std: 0.1}
"""


TPE = "    search: tpe\n    trials: 2\n    ranges: "


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, GOOD)).study
    assert [canonical(settings) for settings in study.stages[0].grid()] == [{"lr": 0.001}, {"lr": 0.01}]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: scratch-simple", "modle: scratch-simple", "study.yaml:2: no setting 'modle' (did you mean 'model'?)"),
        ("model: scratch-simple", "lr: fast", "study.yaml:2: lr: 'fast' must be a valid number"),
        ("model: scratch-simple", "seed: 3", "study.yaml:2: no setting 'seed'"),
        ("    vary", "    varry", "study.yaml:5: no entry 'varry' (did you mean 'vary'?)"),
        ("0.01]", "0.01, 0.010]", "study.yaml:5: lr 0.01 is listed twice"),
        ("0.01]", "0.01, 0.001]", "study.yaml:5: lr 0.001 is listed twice"),
        (
            "std: 0.1}",
            "std: 0.1}\n      - {id: a, at: {lr: 1e-3}}",
            "study.yaml:8: published row at {'lr': 0.001} is given",
        ),
        ("stages:", "vote: {members: [lr, rl]}\nstages:", "study.yaml:3: vote: no stage 'rl'; choose from lr"),
        ("stages:", "vote: {members: [lr, lr]}\nstages:", "study.yaml:3: vote: lists a member twice"),
        ("stages:", "vote: {members: [lr]}\nstages:", "study.yaml:3: members"),
        ("stages:", "vote: {memebrs: [lr]}\nstages:", "study.yaml:3: no entry 'memebrs' (did you mean 'members'?)"),
        ("[1e-3, 0.01]", "[]", "study.yaml:5: lr has no values"),
        ("[1e-3, 0.01]", "[-1, 0.01]", "study.yaml:5: lr: -1"),
        ("lr: 0.001}, val", "lr: 0.002}, val", "study.yaml:7: published row at {'lr': 0.002}, which is not among"),
        ("at: {lr: 0.001}", "at: {gamma: 0.1}", "study.yaml:7: published row at gamma, which stage 'lr' does not vary"),
        ("val_accuracy: 0.5", "val_accuracy: 50", "study.yaml:7: val_accuracy"),
        ("dataset: digits\n", "", "study.yaml:1: 'dataset' is missing"),
        ("dataset: digits", "dataset: digits\ndataset: cifar10", "study.yaml:2: 'dataset' is given twice"),
        ("    vary: {lr: [1e-3, 0.01]}", "    set: {lr: 1}\n    vary: {lr: [1e-3, 0.01]}", "both sets and varies lr"),
        ("    vary: {lr: [1e-3, 0.01]}", "    search: tpe", "search: tpe takes ranges and trials"),
        ("    vary: {lr: [1e-3, 0.01]}", "    trials: 3", "ranges, trials and startup go with search: tpe"),
        ("  - name: lr", "  - name: lr\n  - name: lr", "has two stages named lr"),
        ("stages:", "stages: [", "not YAML"),
        ("model: scratch-simple", "1: x", "study.yaml:2: a key has to be text"),
        ("model: scratch-simple", "model: 2024-01-01", "study.yaml:2: '2024-01-01' is a date"),
        ("model: scratch-simple", "lr: [0.1]", "study.yaml:2: lr: must be one value: a number, a text, true or false"),
        ("model: scratch-simple", "lr: {a: 1}", "study.yaml:2: lr: must be one value"),
        ("model: scratch-simple", "lr: null", "study.yaml:2: lr: must be one value"),
        ("model: scratch-simple", "lr: true", "study.yaml:2: lr: True is true or false, not a number or text"),
        ("model: scratch-simple", "model: false", "study.yaml:2: model: False is true or false"),
        ("model: scratch-simple", "epochs: yes", "study.yaml:2: epochs: 'yes' must be a valid integer"),
        ("model: scratch-simple", "epochs: 1:30", "study.yaml:2: epochs: '1:30' must be a valid integer"),
        ("model: scratch-simple", "epochs: 1.5", "study.yaml:2: epochs: 1.5 must be a valid integer"),
        ("{model: scratch-simple}", "[model]", "study.yaml:2: base: must be a mapping"),
        ("{model: scratch-simple}", '{"a\\nb": [1]}', "study.yaml:2: a b: must be one value"),
        ("[1e-3, 0.01]", "0.01", "study.yaml:5: lr: must be a list"),
        ("[1e-3, 0.01]", "[1e-3, [0.01]]", "study.yaml:5: lr: must be one value"),
        ("[1e-3, 0.01]", "[1e-3, true]", "study.yaml:5: lr: True is true or false"),
        ("val_accuracy: 0.5", "val_accuracy: true", "study.yaml:7: val_accuracy: is true or false"),
        ("at: {lr: 0.001}", "at: {lr: fast}", "study.yaml:7: lr: 'fast' must be a valid number"),
        ("name: lr", f"name: {'x' * 101}", "study.yaml:4: name: must have at most 100 characters"),
        ("name: lr", "name: a/b", "study.yaml:4: name: must match"),
        ("    vary: {lr: [1e-3, 0.01]}", "    vary: lr", "study.yaml:5: vary: must be a mapping"),
        (
            "    vary",
            TPE + "{lr: 3}\n    #",
            "study.yaml:7: lr: must be a mapping",
        ),
        ("    vary", TPE + "{lr: []}\n    #", "study.yaml:7: lr has no values"),
        ("    vary", TPE + "{lr: {low: 1}}\n    #", ":7: 'high' is missing"),
        (
            "    vary",
            TPE + "{model: {low: 1, high: 2}}\n    #",
            "study.yaml:7: model: 1.0 must be a valid string",
        ),
        (
            "    vary",
            TPE + "{epochs: {low: 1, high: 9, step: 0.5}}\n    #",
            "study.yaml:7: epochs: 1.5 must be a valid integer",
        ),
        (
            "    vary",
            f"    search: tpe\n    ranges: {{lr: {{low: 0.1, high: 1}}}}\n    trials: {10**30}\n    #",
            "study.yaml:7: trials: must be less than or equal to 10000",
        ),
        (
            "{lr: [1e-3, 0.01]}",
            f"{{lr: {list(range(1, 301))}, batch_size: {list(range(1, 301))}, epochs: {list(range(1, 301))}}}",
            "study.yaml:4: stages: asks for 27,000,000 trials; at most 10,000 can be run",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(StudyError) as caught:
        load_study(written(tmp_path, GOOD.replace(old, new)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_trials_are_few_over_all_stages(tmp_path: Path) -> None:
    stages = "".join(f"  - {{name: s{i}, vary: {{epochs: {list(range(1, 5002))}}}}}\n" for i in range(2))
    with pytest.raises(StudyError, match=r"study\.yaml:2: stages: ask for 10,002 trials"):
        load_study(written(tmp_path, f"dataset: digits\nstages:\n{stages}"))


@pytest.mark.slow
def test_thousands_of_values_are_no_matter(tmp_path: Path) -> None:
    values = [i / 1000 for i in range(1, 4001)]
    rows = "".join(f"      - {{id: a, at: {{lr: {value}}}}}\n" for value in values[:400])
    text = f"dataset: digits\nstages:\n  - name: lr\n    vary: {{lr: {values}}}\n    published:\n{rows}"
    file = written(tmp_path, text)
    start = time.process_time()
    study = load_study(file).study
    planned = plan(study, study.first_config({"epochs": 1}))
    assert [trial.config.lr for trial in planned] == values
    assert [len(trial.published) for trial in planned] == [1] * 400 + [0] * 3600
    assert time.process_time() - start < 20  # comparing all pairs would take minutes


def test_what_is_no_study(tmp_path: Path) -> None:
    for text in ("", "- a\n- b", "just text"):
        with pytest.raises(StudyError, match=r"study\.yaml:1: a study is a mapping"):
            load_study(written(tmp_path, text))
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path / "absent.yaml")


def test_a_setting_that_a_stage_decides_cannot_be_given(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, GOOD)).study
    assert study.first_config({"epochs": "2"}).epochs == 2
    with pytest.raises(ConfigError, match="lr: is varied by stage 'lr'"):
        study.first_config({"lr": "1"})


ARGUMENTS = """\
dataset: digits
base: {model: scratch-simple, augment: flip | rotate(degrees=15)}
stages:
  - name: degrees
    vary: {augment.rotate.degrees: [5, 10]}
    published:
      - {id: a, at: {augment.rotate.degrees: 10}, val_accuracy: 0.5}
  - name: fixed
    set: {augment.rotate.degrees: 7}
  - name: open
    search: tpe
    trials: 2
    ranges: {augment.rotate.degrees: {low: 1, high: 9}}
"""


def test_an_argument_of_an_expression_is_set_varied_searched_and_published(tmp_path: Path) -> None:
    source = load_study(written(tmp_path, ARGUMENTS))
    planned = plan(source.study, source.study.first_config({}))
    degrees = [f"flip | rotate(degrees={value})" for value in (5, 10, 7)]
    assert [trial.config.augment for trial in planned[:3]] == degrees
    assert [len(trial.published) for trial in planned[:3]] == [0, 1, 0]
    assert planned[1].settings == {"augment.rotate.degrees": 10}
    assert [source.at_setting(trial.stage, trial.settings, "augment") for trial in planned[:3]] == [
        f"{source.file}:{line}" for line in (5, 5, 9)
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vary: {augment", "vary: {augmnt", "study.yaml:5: no setting 'augmnt' (did you mean 'augment'?)"),
        ("vary: {augment.rotate.degrees", "vary: {augment.rotate", "study.yaml:5: augment.rotate: is not SETTING.CALL"),
        (
            "vary: {augment.rotate.degrees",
            "vary: {lr.rotate.degrees",
            "study.yaml:5: lr.rotate.degrees: is not",
        ),
        (
            "set: {augment.rotate",
            "set: {augment.rotat",
            "study.yaml:9: augment: no call 'rotat' (did you mean 'rotate'?)",
        ),
        ("set: {augment.rotate", "set: {augment.shift", "study.yaml:9: augment: no call 'shift'"),
        ("    ranges: {augment.rotate", "    ranges: {augment.shift", "study.yaml:13: augment: no call 'shift'"),
        ("rotate(degrees=15)", "rotate(15)", "study.yaml:5: augment: "),
        ("rotate(degrees=15)", "rotate(degrees=15", "study.yaml:2: augment: 'flip | rotate(degrees=15' at character"),
        ("[5, 10]", "[5, 5.0, 10]", "study.yaml:5: augment.rotate.degrees 5.0 is listed twice"),
        ("at: {augment.rotate.degrees: 10}", "at: {augment.rotate.degrees: 9}", "study.yaml:7: published row at"),
        (
            "set: {augment.rotate.degrees: 7}",
            "set: {augment.rotate.degrees: 7}\n    vary: {augment: [rotate]}",
            "study.yaml:8: stages: both sets and varies augment.rotate.degrees",
        ),
        (
            "set: {augment.rotate.degrees: 7}",
            "vary: {augment: [rotate, flip]}",
            "study.yaml:13: augment: no call 'rotate'; choose from flip",
        ),
    ],
)
def test_a_wrong_argument_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ARGUMENTS
    with pytest.raises(StudyError) as caught:
        load_study(written(tmp_path, ARGUMENTS.replace(old, new, 1)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_argument_is_refused_with_its_line_before_anything_is_trained(tmp_path: Path) -> None:
    source = load_study(
        written(
            tmp_path,
            ARGUMENTS.replace("rotate.degrees: [5, 10]", "rotate.degres: [5, 10]").replace(
                "at: {augment.rotate.degrees", "at: {augment.rotate.degres"
            ),
        )
    )
    with pytest.raises(QuorumError) as caught:
        check_study(source)
    assert str(caught.value).startswith(f"{source.file}:5: ")
    assert "degres" in str(caught.value)
