"""Images that cannot be decoded, and folders that are no data set."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.bad_input.contract import Case, Place, one_line
from tests.conftest import make_image


def encoded(width: int, height: int, kind: str = "PNG", mode: str = "1") -> bytes:
    """A black image file."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, kind)
    return buffer.getvalue()


def png_of_header(width: int, height: int) -> bytes:
    """A PNG file whose header lies: it holds 100 bytes of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def tiff_of_text() -> bytes:
    """A TIFF file that says in text where its pixels begin."""
    return encoded(4, 4, "TIFF", "RGB").replace(struct.pack("<HH", 273, 4), struct.pack("<HH", 273, 2))


UNKNOWN = "a/0.png: not a readable image (unknown format)"
CONTENTS: dict[str, tuple[bytes, str]] = {  # of a file among good ones
    "text": (b"no image", UNKNOWN),
    "empty": (b"", UNKNOWN),
    "svg": (b"<svg/>", UNKNOWN),
    "html": (b"<html>404</html>", UNKNOWN),
    "pickle": (b"\x80\x04K\x01.", UNKNOWN),
    "cut-header": (encoded(40, 40)[:12], UNKNOWN),
    "cut-png": (encoded(200, 200, mode="RGB")[:100], "a/0.png: not a readable image (image file is truncated"),
    "cut-jpeg": (encoded(40, 40, "JPEG", "RGB")[:300], "a/0.png: not a readable image ("),
    "cut-gif": (encoded(40, 40, "GIF")[:20], "a/0.png: not a readable image ("),
    "cut-tiff": (encoded(40, 40, "TIFF")[:50], "a/0.png: not a readable image ("),
    "wrong-tiff": (b"II*\0" + b"\xff" * 40, UNKNOWN),
    "text-tiff": (tiff_of_text(), "a/0.png: not a readable image ('str' object"),
    "wrong-gif": (b"GIF89a" + bytes(20), UNKNOWN),
    "wrong-bmp": (b"BM" + b"\xff" * 60, "a/0.png: not a readable image ("),
    "wrong-webp": (b"RIFF\x10\0\0\0WEBPVP8 ", "a/0.png: not a readable image ("),
    "wrong-ppm": (b"P6 abc", "a/0.png: not a readable image ("),
    "short-pgm": (b"P5 10 10 255\nabc", "a/0.png: not a readable image (image file is truncated"),
    "large-ppm": (b"P6 99999999 99999999 255\n", "exceeds limit of"),
    "pixels": (encoded(13300, 13300), "a/0.png: 13300 x 13300 pixels are more than 50 million"),
    "tall": (encoded(1, 60000), "a/0.png: 1 x 60000 pixels; one side is more than 100 times the other"),
    "wide": (encoded(60000, 1), "a/0.png: 60000 x 1 pixels; one side is more than 100 times the other"),
    "lying-small": (png_of_header(40, 40), "a/0.png: not a readable image (image file is truncated"),
    "lying-large": (png_of_header(30000, 30000), "exceeds limit of"),
    "lying-huge": (png_of_header(2**31 - 1, 2**31 - 1), "exceeds limit of"),
    "no-pixels": (png_of_header(0, 0), UNKNOWN),
    # Pillow would know these by their content
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", UNKNOWN),
    "icon": (b"icns" + b"\xff" * 50, UNKNOWN),
    "surface": (b"DDS " + b"\xff" * 124, UNKNOWN),
    "photoshop": (b"8BPS\0\1" + b"\xff" * 60, UNKNOWN),
    "jpeg-2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\xff" * 40, UNKNOWN),
    "fits": (b"SIMPLE  =                    T" + b" " * 50, UNKNOWN),
}


def tree(folder: Path, images: int = 6) -> Path:
    """A data set of two classes."""
    for number in range(images):
        make_image(folder / "a" / f"{number}.png", number)
        make_image(folder / "b" / f"{number}.png", number + images)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _trees(place: Place) -> None:
    """A folder for each case."""
    folder = place.folder / "images"
    for name, (content, _) in CONTENTS.items():
        (tree(folder / name) / "a" / "0.png").write_bytes(content)
    (tree(folder / "dangling") / "a" / "z.png").symlink_to("nowhere")
    (tree(folder / "circle") / "a" / "z.png").symlink_to("z.png")
    (tree(folder / "no-file") / "a" / "z.png").mkdir()
    os.mkfifo(tree(folder / "pipe") / "a" / "z.png")
    file = tree(folder / "latin-file") / "a" / "0.png"
    file.rename(os.fsdecode(bytes(file.parent) + b"/\xe9.png"))
    latin = tree(folder / "latin-class") / "a"
    latin.rename(os.fsdecode(bytes(latin.parent) + b"/\xe9"))
    shutil.rmtree(tree(folder / "one-class") / "b")
    tree(folder / "two-images", 1)
    tree(folder / "four-images", 2)
    make_image(folder / "flat" / "0.png", 0)
    (folder / "nothing").mkdir()
    (folder / "no-images" / "a").mkdir(parents=True)
    (folder / "hidden" / "a").mkdir(parents=True)
    make_image(folder / "hidden" / "a" / ".0.png", 0)
    tree(folder / "no-train" / "val")
    tree(folder / "other-class" / "train")
    make_image(folder / "other-class" / "test" / "c" / "0.png", 0)
    tree(folder / "no-test" / "train")
    (folder / "no-test" / "test").mkdir()
    for file in sorted((tree(folder / "uneven") / "b").iterdir())[1:]:
        file.unlink()
    tree(folder / "good")
    (folder / "file").write_text("text")


CASES: list[Case] = [
    *((f"data -P dataset=folder -P path=images/{name}", line) for name, (_, line) in CONTENTS.items()),
    ("data -P dataset=folder -P path=images/dangling", "1 of 13 images cannot be used: a/z.png: not a file"),
    ("data -P dataset=folder -P path=images/circle", "1 of 13 images cannot be used: a/z.png: not a file"),
    ("data -P dataset=folder -P path=images/no-file", "1 of 13 images cannot be used: a/z.png: not a file"),
    ("data -P dataset=folder -P path=images/pipe", "1 of 13 images cannot be used: a/z.png: not a file"),
    ("data -P dataset=folder -P path=images/latin-file", r"'a/\udce9.png': a name that is not UTF-8; rename it"),
    ("data -P dataset=folder -P path=images/latin-class", r"'\udce9': a name that is not UTF-8; rename it"),
    ("data -P dataset=folder -P path=images/one-class", "images/one-class: 1 class folders with images; a classifier"),
    ("data -P dataset=folder -P path=images/two-images", "cannot split 2 images class by class"),
    (
        "data -P dataset=folder -P path=images/four-images",
        "cannot split 4 images class by class: the smallest class has",
    ),
    ("data -P dataset=folder -P path=images/uneven", "cannot split 7 images class by class: the smallest class has 1"),
    ("data -P dataset=folder -P path=images/flat", "images/flat: 0 class folders with images"),
    ("data -P dataset=folder -P path=images/nothing", "images/nothing: 0 class folders with images"),
    ("data -P dataset=folder -P path=images/no-images", "images/no-images: 0 class folders with images"),
    ("data -P dataset=folder -P path=images/hidden", "images/hidden: 0 class folders with images"),
    ("data -P dataset=folder -P path=images/no-train", "images/no-train: has val/ but no train/"),
    ("data -P dataset=folder -P path=images/other-class", "images/other-class/test: classes that train/ lacks: c"),
    ("data -P dataset=folder -P path=images/no-test", "no-test: no image in test"),
    ("data -P dataset=folder -P path=images/file", "images/file: no such folder; path= names a tree"),
    ("data -P dataset=folder -P path=/dev/null", "/dev/null: no such folder; path= names a tree"),
    ("data -P dataset=folder -P path=images/absent", "images/absent: no such folder; path= names a tree"),
    ("train -P dataset=folder -P path=images/cut-jpeg", "1 of 12 images cannot be used: a/0.png: not a readable"),
    ("train -P dataset=folder -P path=images/pipe", "1 of 13 images cannot be used: a/z.png: not a file"),
    ("train -P dataset=folder -P path=images/latin-file", "a name that is not UTF-8; rename it"),
    ("train -P dataset=folder -P path=images/good -P batch_size=9", "batch_size: 9 is more than the"),
    # other data sets, and folders that nobody reads
    ("train -P dataset=imagenet", "no dataset 'imagenet'"),
    ("train -P dataset=caltech101", "caltech101 is not in data/caltech101: `quorum data -P dataset=caltech101"),
    ("train -P dataset=folder", "dataset=folder needs path="),
    ("data -P dataset=cifar10", "cifar10 is not in data/cifar10"),
    ("data -P dataset=cifar10 -P data_dir=images/file", "cifar10 is not in images/file/cifar10"),
    ("data -P dataset=cifar10 -P path=images/good", "images/good: neither train/ and test/ with the ten classes"),
    ("data -P dataset=caltech101 -P path=images/good", "images/good: no 101_ObjectCategories/ in it"),
    ("data -P dataset=cifar100 -P path=images/good", "images/good: no cifar-100-python/ in it"),
    ("data -P dataset=caltech256 -P path=images/good", "images/good: no 256_ObjectCategories/ in it"),
    ("data -P dataset=mnist", "mnist is not in data/mnist: `quorum data -P dataset=mnist -P archive="),
    (
        "data -P dataset=flowers102 -P path=images/good",
        "images/good: not flowers102 as torchvision.datasets.Flowers102 reads it (Dataset not found or corrupted.); "
        "`quorum data -P dataset=flowers102 -P download=true` fetches it",
    ),
    (
        "train -P dataset=usps -P path=images/good",
        "([Errno 2] No such file or directory: 'images/good/usps.bz2')",
    ),
    ("data -P dataset=stanford_cars -P path=images/good", "StanfordCars reads it (Dataset not found.)"),
    ("data -P dataset=stanford_cars -P download=true", "there is nothing to download for stanford_cars"),
    ("data -P dataset=fashionmnist", "no dataset 'fashionmnist' (did you mean 'fashion_mnist'?)"),
    ("data -P dataset=digits -P path=images/good", "path: digits reads no folder: its images come from sklearn"),
    ("train -P dataset=digits -P path=images/good", "path: digits reads no folder: its images come from sklearn"),
    ("sweep -P dataset=digits -P path=images/good", "path: digits reads no folder: its images come from sklearn"),
    ("report -P dataset=digits -P path=images/good", "path: digits reads no folder: its images come from sklearn"),
    ("promote -P dataset=digits -P path=images/good", "path: digits reads no folder: its images come from sklearn"),
    ("ensemble -P dataset=digits -P path=absent", "path: digits reads no folder: its images come from sklearn"),
    ("data -P path=new -P download=true", "download: there is nothing to download for new"),
    # names of folders
    ("data -P dataset=folder", "dataset=folder needs path=, a tree of class/image files, or name=, once it ran"),
    ("train -P name=pets", "name: no run knows the folder pets; give path= too"),
    ("sweep -P name=pets", "name: no run knows the folder pets; give path= too"),
    ("promote -P name=pets", "name: no run knows the folder pets; give path= too"),
    ("ensemble -P dataset=pets", "no dataset 'pets'"),
    ("report -P dataset=it's", 'no dataset "it\'s"'),
    ("train -P name=digits -P path=images/good", "name: digits is another data set's; give the folder another name="),
    ("train -P dataset=digits -P name=pets", "name: is that of a folder of your own; digits has its name"),
    ("data -P dataset=cats -P name=pets -P path=images/good", "name: pets and dataset=cats are two data sets"),
    (
        "data -P name=a/b -P path=images/good",
        "name: 'a/b' cannot be a folder's name: 1 to 64 letters, digits, _, - and .",
    ),
    ("data -P name=pets-vote -P path=images/good", "name: 'pets-vote' cannot be a folder's name"),
    ("data -P name=it's -P path=images/good", "name: \"it's\" cannot be a folder's name"),
    ("data -P path=/", "name: '' cannot be a folder's name"),
    ("data -P download=true", "archive: digits comes with scikit-learn and needs none"),
]


@one_line(CASES)
def test_one_line_and_exit_status_2(place: Place, words: str | tuple[str, ...], line: str) -> None:
    place.check(words, line)
