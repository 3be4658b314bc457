"""Single images: what is refused before it is decoded, and reading many in parts."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quorum.data import images
from quorum.data.images import decode, find_images, in_parts
from quorum.errors import DataError
from tests.conftest import make_image


def png(width: int, height: int, mode: str = "1") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((13300, 13300), "13300 x 13300 pixels are more than 50 million"),  # 22 kB that decode to 530 MB
        ((1, 60000), "1 x 60000 pixels; one side is more than 100 times the other"),
        ((60000, 1), "60000 x 1 pixels; one side is more than 100 times the other"),
    ],
)
def test_a_small_file_that_unpacks_to_much_is_refused_by_its_header(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], says: str
) -> None:
    content = png(*size)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match=says):
        decode(content, "large.png")


@pytest.mark.parametrize("kind", [2, 5, 12], ids=["text", "rational", "double"])
def test_a_damaged_header_is_no_readable_image(kind: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "TIFF")
    content = bytearray(buffer.getvalue())
    offsets = content.index(struct.pack("<HH", 273, 4))  # where the pixels begin, as an integer
    content[offsets + 2] = kind
    with pytest.raises(DataError, match=r"damaged\.tif: not a readable image \("):
        decode(bytes(content), "damaged.tif")


def test_what_is_within_the_limits_is_decoded() -> None:
    assert decode(png(100, 1), "strip.png").shape == (1, 100, 3)


def test_images_lie_in_memory_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    sizes = (60, 30, 30, 200, 1)
    parts = list(in_parts(np.zeros((size, 1, 3), np.uint8) for size in sizes))
    assert [[len(image) for image in part] for part in parts] == [[60, 30], [30], [200], [1]]
    assert not list(in_parts([]))


def test_what_is_hidden_is_not_found(tmp_path: Path) -> None:
    for name in (".hidden/1.png", "seen/.thumbnails/1.png", "seen/.1.png", "seen/1.png", "2.png"):
        make_image(tmp_path / ".folder" / name, 0)
    assert [image.name for image in find_images(tmp_path / ".folder")] == ["2.png", "seen/1.png"]
