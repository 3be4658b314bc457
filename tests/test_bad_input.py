"""Mistakes of a user: one line, exit status 2, nothing half-written."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from tests.conftest import Quorum, enter, make_image

LONG = "x" * 300
CUT = "x" * 75 + "...'"  # what a message shows of it, with its quote before

# Words, divided at blanks where they are one text, and what the line says.
CASES: list[tuple[str | tuple[str, ...], str]] = [
    # commands and settings
    ("", "no command; choose from data, train, sweep, studies, report, promote, ensemble"),
    ("trian", "no command 'trian' (did you mean 'train'?); choose from data, ensemble, promote"),
    ("train --leraning_rate 1", "no setting 'leraning_rate'"),
    ("train -P epoch=2", "no setting 'epoch' (did you mean 'epochs'?)"),
    ("train -P lr", "-P lr: is not name=value"),
    ("train lr=1", "train: 'lr=1' is not a setting; settings are given as -P name=value or --name value"),
    ("train -P lr=0.1 --lr 0.2", "lr: is given twice, as '0.1' and '0.2'"),
    ("train -P lr=fast", "lr: 'fast' must be a valid number"),
    ("train -P lr=-1", "lr: '-1' must be greater than 0"),
    ("train -P lr=nan", "lr: 'nan'"),
    ("train -P epochs=0", "epochs: '0' must be greater than or equal to 1"),
    ("train -P epochs=2.5", "epochs: '2.5'"),
    ("train -P batch_size=0", "batch_size: '0'"),
    ("train -P batch_size=100000", "batch_size: 100000 is more than the 1257 training images of digits"),
    ("train -P momentum=1", "momentum: '1' must be less than 1"),
    ("train -P optimizer=lion", "no optimizer 'lion'; choose from adam, adamw, sgd"),
    (
        "train -P optimizer=adamw(beta=3)",
        "optimizer: 'adamw(beta=3)': no setting of adamw 'beta' (did you mean 'betas'?)",
    ),
    ("train -P schedule=cosin", "no schedule 'cosin' (did you mean 'cosine'?)"),
    (
        "train -P loss=cross_entropy(label_smoothing=2)",
        "loss: 'cross_entropy(label_smoothing=2)': label_smoothing must be",
    ),
    ("train -P precision=fp8", "precision: 'fp8'"),
    ("train -P seed=-1", "seed: '-1'"),
    ("train -P json=maybe", "json: 'maybe'"),
    ("train -P reuse=perhaps", "reuse: 'perhaps'"),
    ("train -P device=tpu", "device: 'tpu' is not available here"),
    ("train -P weights_digest=abc", "no setting 'weights_digest'"),
    # models, weights, inputs, phases, policies
    ("train -P model=alexnt", "no model 'alexnt' (did you mean 'alexnet'?)"),
    ("train -P model=convnext_tny", "no model 'convnext_tny' (did you mean 'convnext_tiny'?)"),
    ("train -P model=vit_b_16 -P input_size=64", "input_size: 64 does not fit vit_b_16, which takes 224 pixels only"),
    ("train -P model=resnet18 -P input_size=32 -P batch_size=1", "batch_size: 1 is too small for resnet18"),
    ("train -P eval_resize=-1", "eval_resize: '-1'"),
    ("train -P input_size=32", "input_size: 32 does not fit alexnet, which takes 63 pixels or more"),
    ("train -P model=scratch-simple -P input_size=64", "scratch-simple, which takes 32 pixels only"),
    ("train -P weights=absent.pt", "weights: no file absent.pt"),
    ("train -P weights=broken.pt", "weights: broken.pt is not a state file"),
    ("train -P model=scratch-simple -P weights=other.pt", "weights: other.pt is not for this model"),
    ("train -P model=scratch-simple -P weights=imagenet", "there are no ImageNet weights of scratch-simple"),
    ("train -P weights=models:/absent/1", "models:/absent/1: no such model"),
    ("train -P weights=runs:/absent/model", "runs:/absent/model: no such model"),
    ("train -P phases=layer4", "phases: no parameter group 'layer4'"),
    ("train -P phases=3:all", "phases: '3:all' starts its phases at epochs [3]"),
    ("train -P augment=flipp", "no augmentation operation 'flipp' (did you mean 'flip'?)"),
    # data sets and images
    ("train -P dataset=imagenet", "no dataset 'imagenet'"),
    ("train -P dataset=caltech101", "caltech101 is not in data/caltech101: `quorum data -P dataset=caltech101"),
    ("train -P dataset=folder", "dataset=folder needs path="),
    ("train -P dataset=folder -P path=absent", "absent: no such folder"),
    ("train -P dataset=folder -P path=bad-tree -P model=resnet18", "1 of 20 images cannot be used: a/0.png"),
    ("data -P dataset=cifar10", "cifar10 is not in data/cifar10"),
    ("data -P dataset=caltech101 -P archive=absent.tar", "absent.tar: no such archive"),
    ("data -P dataset=caltech101 -P archive=broken.pt", "broken.pt: neither a tar"),
    ("data -P dataset=caltech101 -P archive=evil.tar", "outside the target folder, which is refused"),
    ("data -P dataset=caltech101 -P archive=empty.tar", "no 101_ObjectCategories/ in it"),
    ("data -P dataset=digits -P archive=empty.tar", "digits comes with scikit-learn and needs none"),
    ("data -P dataset=folder -P path=good-tree -P archive=tree.tar", "good-tree holds something else"),
    ("data -P dataset=caltech101 -P archive=empty.tar -P download=true", "cannot be combined with archive="),
    # studies
    ("sweep -P study=zzz", "study: no study 'zzz'; choose from alexnet"),
    ("sweep -P study=absent.yaml", "absent.yaml: cannot be read"),
    ("sweep -P study=wrong.yaml", "wrong.yaml:4: no setting 'lrr' (did you mean 'lr'?)"),
    ("sweep -P study=group.yaml", "group.yaml:5: phases: no parameter group 'layer9'"),
    ("sweep -P model=alexnet -P lr=0.1", "lr: is varied by stage 'lr'"),
    ("sweep -P study=demo -P dataset=cifar10", "no study 'demo'"),
    ("sweep -P seeds=a,b", "seeds: 'a,b' is not a list of seeds such as 0,1,2"),
    ("sweep -P seeds=1,1", "seeds: '1,1' lists a seed twice"),
    ("sweep -P seed=1", "no setting 'seed' (did you mean 'seeds'?)"),
    ("sweep -P keep=0", "keep: '0'"),
    ("studies -P dataset=mnist", "no dataset 'mnist'"),
    ("studies -P sweeps_dir=absent", "sweeps_dir: no study file in absent/"),
    ("studies -P study=alexnet", "no setting 'study'"),
    ("studies -P dataset=folder", "sweeps_dir: no study file in sweeps/folder/"),
    ("report -P dataset=mnist", "no dataset 'mnist'"),
    ("report -P study=alexnt", "study: no study 'alexnt' (did you mean 'alexnet'?)"),
    ("report -P output=broken.pt", "output: broken.pt is not a folder"),
    ("report -P dataset=folder", "sweeps_dir: no study file in sweeps/folder/"),
    # Ray
    ("sweep -P engine=spark", "engine: 'spark' must be 'local' or 'ray'"),
    ("sweep -P ray_address=auto", "ray_address: 'auto' is of no use without engine=ray"),
    ("sweep -P gpus_per_job=1", "gpus_per_job: '1' is of no use without engine=ray"),
    ("promote -P mixed=true", "mixed: 'true' is of no use without engine=ray"),
    ("sweep -P engine=ray -P ray_address=ray://host:10001", "is of Ray Client, which is not maintained"),
    ("sweep -P engine=ray -P ray_address=host", "ray_address: 'host' is neither auto nor host:port"),
    ("sweep -P engine=ray -P gpus_per_job=0.18", "gpus_per_job: '0.18' is neither a whole number nor a share 1/k"),
    ("sweep -P engine=ray -P gpus_per_job=1.5", "gpus_per_job: '1.5' is neither a whole number nor a share 1/k"),
    ("sweep -P engine=ray -P gpus_per_job=-1", "gpus_per_job: '-1' must be greater than or equal to 0"),
    ("sweep -P engine=ray -P device=cpu -P gpus_per_job=1", "gpus_per_job: '1' does not go with device=cpu"),
    ("sweep -P engine=ray -P device=cuda -P gpus_per_job=0", "gpus_per_job: '0' does not go with device=cuda"),
    ("sweep -P engine=ray -P device=cuda:1", "engine: 'ray' chooses the GPUs of trainings itself"),
    # registry
    ("promote", "digits: 0 finished trials with different settings"),
    ("promote -P top=0", "top: '0'"),
    ("promote -P dataset=mnist", "no dataset 'mnist'"),
    ("promote -P metric=test_accuracy/mean", "the test split is never chosen on"),
    ("promote -P metric=charm", "metric: 'charm' must be 'val_accuracy/mean' or 'val_loss/mean'"),
    ("promote --rollback", "quorum-digits: no such registered model"),
    ("ensemble", "quorum-digits: no promoted model; run `quorum promote` first"),
    ("ensemble -P models=models:/absent@best-1", "models:/absent@best-1: no such model version"),
    ("ensemble -P models=models:/absent/7", "models:/absent/7: no such model version"),
    ("ensemble -P models=some-model", "'some-model' is no model URI"),
    ("ensemble -P output=sweeps", "output: sweeps is not the name of a CSV file"),
    ("ensemble -P threads=-1", "threads: '-1'"),
    # words that are no settings
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
    # characters
    (("train", "-P", "model=alex\0net"), "'model=alex\\x00net': '\\x00' is not allowed; settings are UTF-8 text"),
    (("train", "-P", "model=alex\nnet"), "'model=alex\\nnet': '\\n' is not allowed"),
    (("train", "-P", "path=\x1b[31mred"), "'\\x1b' is not allowed"),
    (("ensemble", "--output", "caf\udce9.csv"), "'caf\\udce9.csv': '\\udce9' is not allowed; settings are UTF-8 text"),
    (("ensemble", "-P", "images=\udcff"), "'images=\\udcff': '\\udcff' is not allowed"),
    # kinds, ranges, choices
    ("train -P json=on", "json: 'on' must be true or false (or yes, no, 1, 0)"),
    ("train -P reuse=t", "reuse: 't' must be true, false or any"),
    ("train -P skip_bad=2", "skip_bad: '2' must be true or false"),
    ("promote --rollback digits", "rollback: 'digits' must be true or false"),
    ("data -P download=off", "download: 'off' must be true or false"),
    ("train -P lr=inf", "lr: 'inf'"),
    ("train -P lr=0,1", "lr: '0,1' must be a valid number"),
    ("train -P gamma=0", "gamma: '0' must be greater than 0"),
    ("train -P gamma=1.5", "gamma: '1.5' must be less than or equal to 1"),
    ("train -P seed=2147483648", "seed: '2147483648' must be less than 2147483648"),
    ("train -P threads=many", "threads: 'many' must be a valid integer"),
    ("train -P threads=5000", "threads: '5000' must be less than or equal to 4096"),
    ("train -P device=meta", "device: 'meta' is not available here; auto, cpu or cuda"),
    ("train -P device=cuda:x", "device: 'cuda:x' is not available here"),
    ("train -P input_size=big", "input_size: 'big'"),
    ("sweep -P jobs=0", "jobs: '0' must be greater than or equal to 1"),
    ("sweep -P jobs=257", "jobs: '257' must be less than or equal to 256"),
    ("sweep -P state_gb=-1", "state_gb: '-1' must be greater than or equal to 0"),
    ("sweep -P state_gb=inf", "state_gb: 'inf' must be a finite number"),
    ("sweep -P seeds=-1", "seeds: '-1' is not a list of seeds such as 0,1,2"),
    ("sweep -P seeds=0.5", "seeds: '0.5' is not a list of seeds"),
    ("sweep -P seeds=2147483648", "seeds: '2147483648' must be less than 2147483648"),
    ("studies -P seeds=a", "seeds: 'a' is not a list of seeds"),
    ("promote -P top=100", "top: '100' must be less than or equal to 99"),
    ("promote -P top=three", "top: 'three' must be a valid integer"),
    ("report -P split_seed=-1", "split_seed: '-1' must be greater than or equal to 0"),
    # long values
    (f"train -P lr={LONG}", f"lr: '{CUT} must be a valid number"),
    (f"train -P model={LONG}", f"no model '{CUT}; choose from alexnet"),
    (f"train -P device={LONG}", f"device: '{CUT} is not available here"),
    (f"train -P work_dir={LONG}", "File name too long"),
    (f"data -P dataset=caltech101 -P archive={LONG}", "File name too long"),
    (f"train -P weights={LONG}", f"'{CUT}: File name too long"),
    (f"train -P dataset=folder -P path={LONG}", f"'{CUT}: File name too long"),
    (f"sweep -P study={LONG}.yaml", "x" * 76 + "...l: cannot be read"),
    # plugins
    ("train -P plugins=no_such_module", "cannot be imported (ModuleNotFoundError"),
    ("studies -P plugins=absent.py", "cannot be imported (FileNotFoundError"),
    ("data -P plugins=raises.py", "cannot be imported (ValueError: of its own)"),
    # protocols and reuse
    ("train -P drop_last=maybe", "drop_last: 'maybe'"),
    ("train -P verify=perhaps", "verify: 'perhaps' must be true or false (or yes, no, 1, 0)"),
    ("train -P reuse=all", "reuse: 'all' must be true, false or any"),
    ("train -P weights=imagenet1k_v9 -P model=resnet18", "imagenet1k_v9"),
    (
        "train -P weights=imagenet1k_v2 -P model=scratch-simple",
        "weights: there are no ImageNet weights of scratch-simple",
    ),
    ("sweep -P verify=x", "verify: 'x' must be true or false"),
    ("report -P verify=2", "verify: '2' must be true or false"),
    ("sweep -P study=no-margin.yaml", "margin"),
    ("sweep -P study=no-accuracy.yaml", "accuracy"),
    ("sweep -P study=no-deviations.yaml", "deviations"),
    ("sweep -P study=no-tie.yaml", "tie"),
    # confirmation, gate, vote
    ("promote -P confirm=-1", "confirm: '-1' must be greater than or equal to 0"),
    ("promote -P confirm=1001", "confirm: '1001' must be less than or equal to 1000"),
    ("promote -P confirm=some", "confirm: 'some' must be a valid integer"),
    ("promote -P candidates=5", "candidates: '5' needs fresh seeds to choose by; give confirm= too"),
    ("promote -P candidates=2 -P confirm=5", "candidates: '2' is fewer than top=3"),
    ("promote -P candidates=0 -P confirm=5", "candidates: '0' must be greater than or equal to 1"),
    ("promote -P gate=shut", "gate: 'shut' must be 'on' or 'off'"),
    ("promote -P confirm=3", "digits: 0 finished trials with different settings"),
    ("promote -P jobs=0", "jobs: '0' must be greater than or equal to 1"),
    ("promote -P device=tpu", "device: 'tpu' is not available here"),
    ("ensemble -P vote=best", "vote: 'best' must be 'majority', 'soft' or 'greedy'"),
    ("ensemble -P calibrate=isotonic", "calibrate: 'isotonic' must be 'auto', 'none' or 'temperature'"),
    ("ensemble -P abstain=0.5", "abstain: '0.5' is agreement:BOUND or probability:BOUND, with a bound between 0 and 1"),
    ("ensemble -P abstain=agreement:1.5", "abstain: 'agreement:1.5' is agreement:BOUND"),
    ("ensemble -P abstain=votes:1", "abstain: 'votes:1' is agreement:BOUND"),
    ("ensemble -P abstain=probability:nan", "abstain: 'probability:nan' is agreement:BOUND"),
    ("ensemble -P abstain=", "abstain: is empty"),
    ("ensemble -P verify=maybe", "verify: 'maybe' must be true or false"),
    # places
    ("train -P work_dir=broken.pt", "broken.pt"),
    ("ensemble -P output=predictions", "output: predictions is not the name of a CSV file"),
    ("ensemble -P output=mlflow.db", "output: mlflow.db is not the name of a CSV file"),
    ("ensemble -P output=other.csv", "output: other.csv holds something else than predictions, and is not overwritten"),
]

WRONG_STUDY = """\
dataset: digits
stages:
  - name: lr
    vary: {lrr: [0.1]}
"""
WRONG_GROUP = """\
dataset: digits
base: {model: scratch-simple}
stages:
  - name: groups
    vary: {phases: [all, layer9]}
"""


WRONG_LINES = {  # a line of a study file each, that is wrong
    "no-margin": "margin: 0",
    "no-accuracy": "accuracy: mean",
    "no-deviations": "deviations: {a: 1}",
    "no-tie": "vote: {members: [lr, lr], tie: absent}",
}


def prepare(folder: Path) -> None:
    """The files that the cases name."""
    for name, line in WRONG_LINES.items():
        (folder / f"{name}.yaml").write_text(f"dataset: digits\n{line}\nstages: [{{name: lr, vary: {{lr: [0.1]}}}}]\n")
    (folder / "broken.pt").write_text("no state")
    (folder / "other.csv").write_text("name,value\n")
    torch.save({"features.0.weight": torch.zeros(1)}, folder / "other.pt")
    (folder / "wrong.yaml").write_text(WRONG_STUDY)
    (folder / "group.yaml").write_text(WRONG_GROUP)
    for name, member in (("evil.tar", "../evil"), ("empty.tar", "readme"), ("tree.tar", "tree/readme")):
        with tarfile.open(folder / name, "w") as tar:
            info = tarfile.TarInfo(member)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    for tree in ("good-tree", "bad-tree"):
        for i in range(10):
            make_image(folder / tree / "a" / f"{i}.png", i)
            make_image(folder / tree / "b" / f"{i}.png", i + 10)
    (folder / "bad-tree" / "a" / "0.png").write_text("no image")
    (folder / "raises.py").write_text("raise ValueError('of its own')\n")
    with tarfile.open(folder / "tree.tar", "w") as tar:
        for name in ("a", "c"):
            tar.add(folder / "good-tree" / "a", f"other/{name}")


def listing(folder: Path) -> set[str]:
    """Every file but those of the tracking store and the cache, whose presence says nothing."""
    kept = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in kept if not name.startswith((".quorum/", "mlflow.db", "mlruns/"))}


@pytest.fixture
def prepared(quorum: Quorum) -> Quorum:
    prepare(quorum.folder)
    return quorum


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Quorum]:
    """One folder for all cases, which leave it as it was."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        entered = enter(tmp_path_factory.mktemp("bad") / "work", empty_store, monkeypatch)
        prepare(entered.folder)
        yield entered


IDS = [(words if isinstance(words, str) else " ".join(words))[:80] for words, _ in CASES]


@pytest.mark.parametrize(("words", "message"), CASES, ids=IDS)
def test_one_line_and_exit_status_2(shared: Quorum, words: str | tuple[str, ...], message: str) -> None:
    before = listing(shared.folder)
    answer = shared(*(words.split() if isinstance(words, str) else words))
    out, err = answer.out, answer.err
    assert answer.status == 2
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("quorum: ")
    assert LONG[:100] not in err
    assert out == ""
    assert listing(shared.folder) == before
    assert not list((shared.folder / "data").glob("*"))
    assert not (shared.folder / ".quorum" / "errors").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "train -P lr=fast",
        "train -P model=alexnt",
        "sweep -P study=zzz",
        "sweep -P study=group.yaml",
        "promote",
        "ensemble",
        "data -P dataset=cifar10",
    ],
)
def test_the_run_that_mlflow_made_is_failed_with_the_line_as_its_note(
    prepared: Quorum, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    client = MlflowClient()
    run = client.create_run("1")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    answer = prepared(*arguments.split())
    assert answer.status == 2
    ended = client.get_run(run.info.run_id)
    assert ended.info.status == "FAILED"
    assert ended.data.tags["mlflow.note.content"] == answer.err.strip().removeprefix("quorum: ")
    assert [r.info.run_id for r in client.search_runs(["0", "1"])] == [run.info.run_id]


@pytest.mark.slow
def test_members_that_know_other_classes_are_refused(prepared: Quorum) -> None:
    uris = []
    for dataset in ("digits -P epochs=1", "folder -P path=good-tree -P batch_size=4 -P epochs=1", "digits -P epochs=2"):
        arguments = f"train --json -P model=scratch-simple -P dataset={dataset}".split()
        if dataset.startswith("digits"):
            arguments += ["-P", "batch_size=128"]
        assert prepared(*arguments).status == 0
        models = MlflowClient().search_logged_models(["1"])
        uris.append(f"models:/{models[0].model_id}")
    answer = prepared("ensemble", "-P", f"models={','.join(uris[:2])}")
    assert answer.status == 2
    assert "do not know the same classes" in answer.err
    assert not (prepared.folder / "predictions.csv").exists()
    for uri, message in ((f"{uris[0]},{uris[0]}", "is a member already"), (uris[0], "alone is no vote")):
        answer = prepared("ensemble", "-P", f"models={uri}")
        assert answer.status == 2
        assert message in answer.err
    pair = f"models={uris[0]},{uris[2]}"
    answer = prepared("ensemble", "-P", pair, "-P", "images=absent")
    assert "absent: no such folder of images" in answer.err
    (prepared.folder / "empty").mkdir()
    answer = prepared("ensemble", "-P", pair, "-P", "images=empty")
    assert "empty: no image in this folder" in answer.err
    answer = prepared("ensemble", "-P", pair, "-P", "images=bad-tree")
    assert "1 of 20 images cannot be used: a/0.png" in answer.err
    assert not (prepared.folder / "predictions.csv").exists()
