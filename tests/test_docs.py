"""The examples of README.md and docs/ work: Python runs, and command lines are ones that quorum takes.

The Python blocks of a file run in order, in one namespace and one temporary folder. What stands after `python` in a
block's first line changes that:

    ```python mine.py                the block is written to mine.py in that folder, for the blocks after it
    ```python no-run: needs a GPU    the block does not run, with the reason
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quorum.averages import AVERAGES
from quorum.cli import parse
from quorum.data import DATASETS
from quorum.data.augment.operation import OPERATIONS
from quorum.engine.losses import LOSSES
from quorum.engine.metrics import METRICS
from quorum.engine.optimizers import OPTIMIZERS
from quorum.models import ARCHITECTURES
from quorum.registry import Registry
from quorum.schedules import SCHEDULES
from tests.conftest import ROOT, Quorum

FILES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^ *```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(?P<text>(?:quorum|mlflow run \.) [^`]+)`")
COMMAND = re.compile(r"(?:quorum|mlflow run \.) .*")
TO_FILL_IN = {
    "COMMAND": "train",
    "DATASET": "digits",
    "STUDY": "demo",
    "NAME": "demo",
}  # what stands for a reader's own
NEED_NO_IMAGES = ("studies", "report", "promote", "ensemble")


@dataclass(frozen=True)
class Block:
    """A fenced block: what follows the fence, its text, and the line that the text begins in."""

    info: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    return [
        Block(found["info"].strip(), found["text"], text[: found.start("text")].count("\n") + 1)
        for found in FENCE.finditer(text)
    ]


def run_python(name: str, text: str) -> int:
    """Run the Python blocks of a page in the working directory. Returns how many there were."""
    count = 0
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(text):
        language, _, rest = block.info.partition(" ")
        if not language.startswith("py"):
            continue
        assert language == "python", f"{name}:{block.line}: ```{language} is not run; write ```python"
        if rest.endswith(".py"):
            Path(rest).write_text(block.text)
        elif rest:
            assert re.fullmatch(r"no-run: .+", rest), f"{name}:{block.line}: ```python {rest}; see tests/test_docs.py"
        else:
            code = compile("\n" * (block.line - 1) + block.text, name, "exec")
            exec(code, namespace)
            count += 1
    return count


def command_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The arguments of quorum in the command lines of a page, with the line where each stands."""
    fenced = [block for block in blocks(text) if not block.info.startswith("python")]
    lines = [(block.line + n, line.strip()) for block in fenced for n, line in enumerate(_joined(block.text))]
    outside = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    lines += [(outside[: found.start()].count("\n") + 1, found["text"]) for found in INLINE.finditer(outside)]
    for number, line in lines:
        if (found := COMMAND.match(line)) is not None:
            yield number, _arguments(found[0])


def _joined(text: str) -> list[str]:
    """The lines of a block, those that end in a backslash with what follows; their number stays."""
    lines = text.splitlines()
    for place in reversed(range(len(lines) - 1)):
        if lines[place].endswith("\\"):
            lines[place], lines[place + 1] = f"{lines[place][:-1]} {lines[place + 1]}", ""
    return lines


def _arguments(line: str) -> list[str]:
    """What quorum is given by a command line, `mlflow run` as MLproject passes it on."""
    filled = re.sub(r"\b[A-Z]+\b", lambda found: TO_FILL_IN.get(found[0], found[0]), line)
    words = shlex.split(filled, comments=True)
    if words[0] == "quorum":
        return words[1:]
    given, entry = words[3:], "sweep"
    while given and given[0] in ("--env-manager", "-e"):
        entry = given[1] if given[0] == "-e" else entry
        given = given[2:]
    return [entry, *given]


WITH_PYTHON = [file for file in FILES if any(block.info.startswith("py") for block in blocks(file.read_text()))]
EXAMPLES = [(file, number, words) for file in FILES for number, words in command_lines(file.read_text())]


@pytest.mark.parametrize(
    "words", [pytest.param(words, id=f"{file.relative_to(ROOT)}:{number}") for file, number, words in EXAMPLES]
)
def test_a_command_line_is_one_that_quorum_takes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if "--help" in words:
        with pytest.raises(SystemExit) as ended:
            parse(words)
        assert ended.value.code == 0
    else:
        parse(words)


@pytest.mark.slow
def test_the_commands_of_the_readme_that_need_no_images_run(trained: Quorum) -> None:
    readme = [words for file, _, words in EXAMPLES if file.name == "README.md" and file.parent == ROOT]
    chosen = {tuple(words): None for words in readme if words[0] in NEED_NO_IMAGES and "images=" not in " ".join(words)}
    assert {words[0] for words in chosen} == set(NEED_NO_IMAGES)
    for words in sorted(chosen, key=lambda words: NEED_NO_IMAGES.index(words[0])):
        if "--help" not in words:
            answer = trained(*words)
            assert answer.status == 0, f"{' '.join(words)}: {answer.err}"


REGISTRIES: tuple[Registry[Any], ...] = (
    ARCHITECTURES,
    DATASETS,
    OPERATIONS,
    OPTIMIZERS,
    SCHEDULES,
    LOSSES,
    AVERAGES,
    METRICS,
)


@pytest.fixture
def unregistered() -> Iterator[None]:
    """Things that a page registers are those of no other test."""
    before = [set(registry) for registry in REGISTRIES]
    yield
    for registry, names in zip(REGISTRIES, before, strict=True):
        for name in set(registry) - names:
            registry.remove(name)


@pytest.mark.slow
@pytest.mark.usefixtures("unregistered")
@pytest.mark.parametrize("file", WITH_PYTHON, ids=lambda file: str(file.relative_to(ROOT)))
def test_python_runs(file: Path, quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(quorum.folder)
    modules = set(sys.modules)
    try:
        assert run_python(str(file.relative_to(ROOT)), file.read_text()) > 0
    finally:  # modules that the page wrote are not those of the next
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(quorum.folder)):
                del sys.modules[name]


PAGE = """\
Text with `quorum studies --seeds 0`, `quorum COMMAND --help` and `quorum` alone.
```python first.py
VALUE = 2
```
```python no-run: it would fail
raise RuntimeError
```
```python
from first import VALUE
```
```
mlflow run . -e train -P lr=0.1 \\
    -P epochs=2     # a comment
mlflow run . --env-manager local -e report
mlflow ui
```
```python
VALUE += 1
```
```python
from pathlib import Path

Path("seen.txt").write_text(str(VALUE))
```
"""


def test_blocks_run_in_order_in_one_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run_python("page.md", PAGE)
    assert Path("seen.txt").read_text() == "3"


@pytest.mark.parametrize("info", ["python no-run", "python later", "py", "pycon"])
def test_a_block_is_not_left_out_without_a_reason(info: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:2: ```"):
        run_python("page.md", f"```{info}\npass\n```\n")


def test_an_error_has_the_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        run_python("page.md", "\n\n```python\n\n1 / 0\n```\n")
    assert raised.traceback[-1].lineno == 4  # counted from 0


def test_command_lines_are_found() -> None:
    assert list(command_lines(PAGE)) == [
        (12, ["train", "-P", "lr=0.1", "-P", "epochs=2"]),
        (14, ["report"]),
        (1, ["studies", "--seeds", "0"]),
        (1, ["train", "--help"]),
    ]
