"""`python -m tests.faults.two_nodes`, as root: one sweep on two machines that share no folder, while things go wrong.

The two machines are network and mount namespaces of this one, joined by a bridge: each has its own `/tmp`, `/dev/shm`
and an empty folder in the place of the driver's. Ray runs on both; tracking is MLflow's server on PostgreSQL with its
artifacts in S3, and what trainings hand to one another lies in S3 too (`storage=`). The study is the whole of
sweeps/caltech101/alexnet.yaml, on some of its pictures, with a small network in AlexNet's place.

It is run three times: by `jobs=1` with nothing around it, on the two machines, and there while a machine is lost twice,
MLflow's server and PostgreSQL are restarted, and the driver is killed and given again. All three have to agree in every
table, in every step of every history, in the weights that are kept and in the status of every run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mlflow import artifacts
from mlflow.tracking import MlflowClient

from quorum.data import load_catalogue
from quorum.data.images import FileImage
from quorum.data.sources.archives import unpack
from quorum.tracking import schema
from tests.conftest import REAL, ROOT
from tests.servers.running import KEYS, Postgres, Server, free_port, make_bucket, mlflow, postgres, running, s3

BRIDGE, NETWORK = "quorum-nodes", "10.213.0"
HEAD = f"{NETWORK}.1"
NETWORK_MODEL = {"model": "scratch-simple", "input_size": 32, "resize": 32, "normalize": "half"}
SECONDS = 3600  # that a sweep may take
RAY = str(Path(sys.executable).with_name("ray"))


@dataclass
class Node:
    """A machine of one core: a network and a mount namespace with a Ray node in it."""

    name: str
    address: str
    hidden: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self, head: str) -> None:
        """Join the cluster, as a machine that has just been started."""
        mounts = [f"mount -t tmpfs tmpfs {place}" for place in ("/tmp", "/dev/shm", self.hidden)]
        join = f"exec {RAY} start --block --address={head} --node-ip-address={self.address} --num-cpus=1"
        script = " && ".join([*mounts, "cd /tmp", f"{join} --object-store-memory=100000000"])
        words = ["ip", "netns", "exec", self.name, "unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        self.process = subprocess.Popen(
            words, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def remove(self) -> None:
        """Lose the machine, with all that is on it."""
        pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True).stdout
        for pid in pids.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


@contextlib.contextmanager
def nodes(hidden: Path, environment: dict[str, str]) -> Iterator[list[Node]]:
    """Two machines on a bridge, not started yet."""
    made = [Node(f"{BRIDGE}-{place}", f"{NETWORK}.1{place}", hidden, environment) for place in (1, 2)]
    with contextlib.ExitStack() as stack:
        ip("link", "add", BRIDGE, "type", "bridge")
        stack.callback(ip, "link", "del", BRIDGE)
        ip("addr", "add", f"{HEAD}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for place, node in enumerate(made, 1):
            ip("netns", "add", node.name)
            stack.callback(ip, "netns", "del", node.name)
            ip("link", "add", f"quorum-{place}", "type", "veth", "peer", "name", "eth0", "netns", node.name)
            ip("link", "set", f"quorum-{place}", "master", BRIDGE, "up")
            ip("-n", node.name, "addr", "add", f"{node.address}/24", "dev", "eth0")
            ip("-n", node.name, "link", "set", "eth0", "up")
            ip("-n", node.name, "link", "set", "lo", "up")
            stack.callback(node.remove)
        yield made


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def head(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The head of a Ray cluster on this machine, which does no trainings. Yields its address."""
    port = free_port()
    words = f"start --head --block --node-ip-address={HEAD} --port={port} --num-cpus=0 --include-dashboard=false"
    command = [RAY, *words.split(), f"--temp-dir={folder}", "--object-store-memory=100000000"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        asked = [RAY, "health-check", "--address", f"{HEAD}:{port}"]
        while subprocess.run(asked, env=environment, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, "the head of the Ray cluster does not answer"
        yield f"{HEAD}:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass
class Driver:
    """A sweep's command, and what it says."""

    folder: Path
    words: Sequence[str]
    environment: dict[str, str]
    told: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "quorum", "sweep", "--json", *self.words]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.told.append(line)

    @property
    def epochs(self) -> int:
        """How many it has said so far."""
        return sum(": epoch " in line for line in self.told)

    def wait_for(self, epochs: int) -> None:
        deadline = time.monotonic() + SECONDS
        while self.epochs < epochs and time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, "".join(self.told[-20:])
            time.sleep(0.05)

    def result(self) -> dict[str, Any]:
        """What it prints at its end."""
        assert self.process is not None
        assert self.process.stdout is not None
        answer = self.process.stdout.read()
        assert self.process.wait(timeout=SECONDS) == 0, "".join(self.told[-20:])
        data: dict[str, Any] = json.loads(answer)
        return data


def findings(result: dict[str, Any], uri: str, experiment: str) -> dict[str, Any]:
    """All that two sweeps have to agree in."""
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=5000)
    names = {run.info.run_id: run.data.tags.get(schema.KEY, "") for run in runs}
    names[result["run_id"]] = "sweep"
    figures = ("settings", "mean", "std", "n", "last_mean", "test_mean", "test_std", "failed")
    history: Counter[tuple[str, str, int, float]] = Counter()
    for run in runs:
        for metric in ("train/loss", "val/loss", "val/accuracy"):
            for point in client.get_metric_history(run.info.run_id, metric):
                history[names[run.info.run_id], metric, point.step, point.value] += 1
    return {
        "tables": [[trial[name] for name in figures] for stage in result["stages"] for trial in stage["trials"]],
        "statuses": sorted((names[run.info.run_id], run.info.status) for run in runs),
        "history": history,
        "weights": sorted(_digests(client, runs)),
    }


def _digests(client: MlflowClient, runs: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Digests of the weights that are kept, with the trial that they are of."""
    for run in runs:
        if run.data.tags.get(schema.KIND) == schema.TRIAL_KIND and (model := run.data.tags.get(schema.MODEL_ID)):
            with tempfile.TemporaryDirectory() as folder:
                place = artifacts.download_artifacts(artifact_uri=f"models:/{model}", dst_path=folder)
                (weights,) = Path(place).rglob("weights.pt")
                yield run.data.tags[schema.KEY], hashlib.sha256(weights.read_bytes()).hexdigest()


def write_images(folder: Path, train: int, val: int) -> None:
    """Copy some pictures of Caltech-101 into a tree `split/class/image`, in turn from all classes."""
    unpacked = folder / "all"
    unpack(sorted((REAL / "caltech101").glob("part-*.tar")), unpacked)
    catalogue = load_catalogue("caltech101", unpacked, unpacked)
    for split, count in (("train", train), ("val", val), ("test", len(catalogue.classes))):
        seen: Counter[int] = Counter()
        places = []
        for position in catalogue.splits[split].tolist():
            label = int(catalogue.labels[position])
            seen[label] += 1
            places.append((seen[label], label, position))
        for turn, label, position in sorted(places)[:count]:
            image = catalogue.images[position]
            assert isinstance(image, FileImage)
            place = folder / "images" / split / catalogue.classes[label] / f"{turn}{image.path.suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image.path, place)
    shutil.rmtree(unpacked)


def study(stages: int) -> str:
    """The published study with a small network on a folder of images, without its published rows."""
    published = yaml.safe_load((ROOT / "sweeps" / "caltech101" / "alexnet.yaml").read_text())
    tables = [{key: stage[key] for key in ("name", "set", "vary")} for stage in published["stages"]][:stages]
    base = {**published["base"], **NETWORK_MODEL}
    return yaml.safe_dump({"dataset": "folder", "accuracy": published["accuracy"], "base": base, "stages": tables})


@dataclass(frozen=True)
class Site:
    """All that a sweep on two machines needs.

    Attributes:
        folder: the driver's, which the machines do not see.
        environment: of the driver.
        words: of its command.
        machines, server, database: what can be lost.
        cluster: address of the head.
    """

    folder: Path
    environment: dict[str, str]
    words: list[str]
    machines: list[Node]
    server: Server
    database: Postgres
    cluster: str

    def driver(self, name: str) -> Driver:
        """A sweep in a folder and an experiment of its own."""
        environment = {**self.environment, "MLFLOW_TRACKING_URI": self.server.uri, "MLFLOW_EXPERIMENT_NAME": name}
        shared = ["-P", f"storage=s3://quorum/{name}", "-P", "engine=ray", "-P", f"ray_address={self.cluster}"]
        words = [*self.words, *shared, "-P", "jobs=2", "-P", "reuse=false"]  # nothing of another experiment's
        return Driver(working_folder(self.folder / name), words, environment)


@contextlib.contextmanager
def site(folder: Path, words: list[str]) -> Iterator[Site]:
    """Two machines, a cluster, a database, a server and an object store, all running."""
    with contextlib.ExitStack() as stack:
        # A network of this machine alone needs no token.
        keys = {**os.environ, **KEYS, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        machines = stack.enter_context(nodes(folder, keys))
        objects = stack.enter_context(running(s3(folder / "s3", HEAD)))
        for bucket in ("quorum", "runs"):
            make_bucket(objects, bucket)
        keys |= {"AWS_ENDPOINT_URL": objects.uri, "MLFLOW_S3_ENDPOINT_URL": objects.uri}
        keys["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        database = stack.enter_context(postgres())
        server = stack.enter_context(running(mlflow(folder / "server", database.uri, "s3://runs", keys)))
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")))
        cluster = stack.enter_context(head(short, keys))
        for machine in machines:
            machine.environment = keys
            machine.start(cluster)
        yield Site(folder, keys, words, machines, server, database, cluster)


def working_folder(folder: Path) -> Path:
    """A folder with the study."""
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text((folder.parent / "study.yaml").read_text())
    return folder


def disturbed(here: Site, total: int) -> dict[str, Any]:
    """A sweep during which everything that may be lost is lost, at shares of the epochs that it has to train."""
    driver = here.driver("disturbed")
    driver.start()

    def at(share: float, what: str, happen: Callable[[], None]) -> None:
        driver.wait_for(int(share * total))
        print(f"epoch {driver.epochs} of {total}: {what}", flush=True)
        happen()

    def again(lose: Callable[[], None], start: Callable[[], None]) -> Callable[[], None]:
        def happen() -> None:
            lose()
            time.sleep(5)
            start()

        return happen

    def kill_driver() -> None:
        assert driver.process is not None
        driver.process.kill()
        driver.process.wait()
        driver.start()

    first, second = here.machines
    at(0.15, "the first machine is lost, and comes again", again(first.remove, lambda: first.start(here.cluster)))
    at(0.3, "MLflow's server is restarted", again(here.server.stop, here.server.start))
    at(0.45, "the driver is killed, and its command given again", kill_driver)
    at(0.6, "PostgreSQL is restarted", again(here.database.stop, here.database.start))
    at(0.75, "the second machine is lost, and comes again", again(second.remove, lambda: second.start(here.cluster)))
    return driver.result()


def compare(name: str, found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Say whether two sweeps agree."""
    wrong = [what for what in expected if found[what] != expected[what]]
    points, runs = sum(found["history"].values()), len(found["statuses"])
    print(f"{name}: {runs} runs, {points} points of histories, {len(found['weights'])} weights: ", end="")
    print(f"otherwise in {', '.join(wrong)}" if wrong else "as by jobs=1, bit for bit", flush=True)
    return not wrong


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256, help="to train on (default: 256)")
    parser.add_argument("--stages", type=int, default=3, help="tables of the study to run (default: all three)")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    with tempfile.TemporaryDirectory(prefix="two-nodes-", dir=ROOT.parent) as temporary:
        folder = Path(temporary)
        write_images(folder, options.images, 102)
        (folder / "study.yaml").write_text(study(options.stages))
        data = ["-P", f"path={folder / 'images'}", "-P", f"seeds={options.seeds}", "-P", "threads=1"]
        words = ["-P", "study=study.yaml", *data]
        alone = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/alone/mlflow.db", "MLFLOW_EXPERIMENT_NAME": "alone"}
        one = Driver(working_folder(folder / "alone"), words, {**os.environ, **alone})
        started = time.monotonic()
        one.start()
        result = one.result()
        os.environ["MLFLOW_TRACKING_URI"] = alone["MLFLOW_TRACKING_URI"]
        expected = findings(result, alone["MLFLOW_TRACKING_URI"], "alone")
        print(f"jobs=1: {result['epochs']} in {time.monotonic() - started:.0f} s", flush=True)
        with site(folder, words) as here:
            os.environ |= {**KEYS, "MLFLOW_TRACKING_URI": here.server.uri}
            quiet = here.driver("undisturbed")
            started = time.monotonic()
            quiet.start()
            agree = [compare("two machines", findings(quiet.result(), here.server.uri, "undisturbed"), expected)]
            print(f"in {time.monotonic() - started:.0f} s", flush=True)
            last = disturbed(here, quiet.epochs)
            agree.append(compare("two machines, disturbed", findings(last, here.server.uri, "disturbed"), expected))
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
