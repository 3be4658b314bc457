"""Files of claims: ours load, and a wrong one is refused with file and line."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path

import pytest
import yaml

from quorum.engine.metrics import METRICS
from quorum.errors import StudyError
from quorum.study.claims import load_claims
from quorum.study.file import StudyFile, load_study
from tests.conftest import ROOT

OURS = ("under-sampling-would-help", "lite")  # beginnings of what a report asks and does not try, or of other networks

STUDY = """\
dataset: digits
base: {model: scratch-simple}
stages:
  - name: lr
    vary: {lr: [0.1, 0.2]}
    published:
      - {id: a, at: {lr: 0.1}, val_accuracy: 0.5}
      - {id: a, at: {lr: 0.2}, val_accuracy: 0.6}
"""


def studies(tmp_path: Path) -> list[StudyFile]:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return [load_study(file)]


@pytest.mark.parametrize("dataset", ["caltech101", "cifar10"])
def test_every_published_claim_is_in_our_files(dataset: str) -> None:
    sources = [load_study(file) for file in sorted((ROOT / "sweeps" / dataset).glob("*.yaml"))]
    claims = load_claims(ROOT / "sweeps", dataset, sources, METRICS)
    published = ROOT.parent / "shared" / "published.yaml"
    if not published.is_file():
        pytest.skip(f"the published numbers are not at {published}")
    stated = yaml.safe_load(published.read_text())[dataset]["claims"]
    assert [claim.id for claim in claims if not claim.id.startswith(OURS)] == [claim["id"] for claim in stated]
    assert all(claim.checks for claim in claims)


STEPS, BATCHES, RATES = (20, 30, 40, 50), (128, 256, 512, 1024), (0.001, 0.01, 0.06, 0.1)
ALL_PAIRS: dict[str, Collection[tuple[float, float]]] = {
    "lr-matters": {(0.05, rate) for rate in RATES},
    "step-size-is-idle-in-transfer": set(itertools.combinations(STEPS, 2)),
    "lite0-step-size-is-idle": set(itertools.combinations(STEPS, 2)),
    "small-batch-is-worse": {*((batch, 64) for batch in BATCHES), *itertools.combinations(BATCHES, 2)},
}


@pytest.mark.parametrize("claim", ALL_PAIRS)
def test_a_claim_about_several_values_is_checked_of_each_pair(claim: str) -> None:
    sources = [load_study(file) for file in sorted((ROOT / "sweeps" / "caltech101").glob("*.yaml"))]
    claims = {one.id: one for one in load_claims(ROOT / "sweeps", "caltech101", sources, METRICS)}
    pairs = [check.difference for check in claims[claim].checks if check.difference is not None]
    assert {tuple(next(iter(row.at.values())) for row in pair) for pair in pairs} == ALL_PAIRS[claim]
    assert len(pairs) == len(ALL_PAIRS[claim])


def test_a_data_set_without_claims(tmp_path: Path) -> None:
    assert load_claims(tmp_path, "digits", studies(tmp_path), METRICS) == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "a file of claims is a mapping with claims"),
        ("claims: 3\n", 1, "claims: must be"),
        ("claim: []\n", 1, "'claim' (did you mean 'claims'?)"),
        ("claims:\n- {id: a}\n", 2, "'says' is missing"),
        ("claims:\n- {id: a, says: b}\n- {id: a, says: c}\n", 1, "two claims with the id a"),
        ("claims:\n- {id: a, says: b, check: []}\n", 2, "'check' (did you mean 'checks'?)"),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {above: 0}\n", 5, "a check has one of difference"),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {mean: {id: a}}\n", 5, "mean takes one of above, below, within"),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {mean: {id: a}, above: 0, below: 1}\n", 5, "mean takes one of"),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {fails: {id: a}, above: 0}\n", 5, "fails takes no bound"),
        (
            "claims:\n- id: a\n  says: b\n  checks:\n  - {mean: {id: a, at: {lr: 0.1}}, metric: recall, above: 0}\n",
            5,
            "no metric 'recall'; choose from accuracy, balanced_accuracy, macro_f1",
        ),
        (
            "claims:\n- id: a\n  says: b\n  checks:\n  - {fails: {id: a}, metric: accuracy}\n",
            5,
            "metric goes with difference or mean, not with fails",
        ),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {mean: {id: c}, above: 0}\n", 5, "no published row 'c'"),
        (
            "claims:\n- id: a\n  says: b\n  checks:\n  - {mean: {id: a, at: {lr: 0.3}}, above: 0}\n",
            5,
            "no published row of a at {'lr': 0.3}",
        ),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {mean: {id: a, at: {lr: x}}, above: 0}\n", 5, "lr: 'x'"),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {mean: {id: a}, above: high}\n", 5, "above: must be"),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {gain: {id: a, epoch: 0}, above: 0}\n", 5, "epoch: must be"),
        ("claims:\n- id: a\n  says: b\n  checks:\n  - {difference: [{id: a}], above: 0}\n", 5, "difference"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_place(text: str, line: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(text)
    with pytest.raises(StudyError) as error:
        load_claims(tmp_path, "digits", studies(tmp_path), METRICS)
    assert str(error.value).startswith(f"{tmp_path}/digits.yaml:{line}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
