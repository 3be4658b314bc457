"""Operations of an augmentation: what all of them have in common, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import torch
from pydantic import Field

from quorum.data.augment.draws import Prepared
from quorum.data.crop import Fill
from quorum.registry import Registry

Images = torch.Tensor  # float32 [n, 3, s, s], values 0..1
Draws = dict[str, torch.Tensor]  # every value [n, ...], on the CPU
Fraction = Annotated[float, Field(ge=0, le=1)]


class Operation(ABC):
    """One kind of change to square images, drawn for each of them. Most need `draw` and `apply` alone.

    Attributes:
        takes_bytes: whether `apply` takes uint8 images too. Moving bytes is moving a quarter of the memory.
    """

    takes_bytes: ClassVar[bool] = False

    @abstractmethod
    def draw(self, n: int, size: int, generator: torch.Generator) -> Draws:
        """Parameters for n images of `size` x `size` pixels, by name: [n, ...] on the CPU."""

    def prepare(self, draws: Draws, size: int) -> Prepared:
        """The draws as `apply` needs them, still on the CPU: what is worked out once for a whole epoch. As they are,
        unless an operation says otherwise."""
        return Prepared(draws)

    @abstractmethod
    def apply(self, images: Images, prepared: Prepared) -> Images:
        """The images changed as drawn, each as if it were alone.

        Args:
            images: float32 [n, 3, s, s], values 0..1, in either memory layout, on any device; left as they were.
            prepared: `prepared[name]` is [n, ...] on the same device.

        Returns:
            float32 [n, 3, s, s], values 0..1.
        """


@dataclass(frozen=True)
class RandomCrop:
    """A window at random in place of the one in the center. It is cut out as images are read, so it comes first.

    Attributes:
        fill: what is seen where a window reaches beyond its image: its edge pixels, repeated, or zeros.
    """

    fill: Fill = "edge"


@dataclass(frozen=True)
class RandomResizedCrop:
    """torchvision's RandomResizedCrop: a rectangle at random in place of the window, resized to the input's square,
    bilinear and antialiased. It is cut out as images are read, so it comes first.

    Attributes:
        scale: smallest and largest area, as fractions of the image's.
        ratio: smallest and largest width / height, drawn on a logarithmic scale.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale={self.scale} must be two fractions above 0 and up to 1, the smaller one first")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio={self.ratio} must be two numbers above 0, the smaller one first")


Crop = RandomCrop | RandomResizedCrop
Factory = Callable[..., Operation | Crop]
F = TypeVar("F", bound=Callable[..., Any])

OPERATIONS: Registry[Factory] = Registry("augmentation operation", "augment")
OPERATIONS.add("random_crop", RandomCrop)
OPERATIONS.add("random_resized_crop", RandomResizedCrop)


def register_operation(name: str) -> Callable[[F], F]:
    """A decorator for the class of an operation, or a function that returns one.

    Its signature is what an expression gives it: names, defaults, types and ranges (`Annotated[float, Field(ge=0)]`).

    Raises:
        ConfigError: where the name is taken.
    """

    def register(factory: F) -> F:
        OPERATIONS.add(name, factory)
        return factory

    return register


def to_float(images: torch.Tensor) -> Images:
    """Bytes as values 0..1, as torchvision's ToTensor makes them; floats as they are."""
    return images if images.is_floating_point() else images.float().div_(255)


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """[n] draws from [low, high)."""
    return torch.rand(n, generator=generator) * (high - low) + low


def pick(images: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Some of [n, 3, h, w] images, in the memory layout that they have."""
    if images.is_contiguous():
        return images.index_select(0, positions)
    # index_select would lay them out anew, which takes several times as long
    return images.permute(0, 2, 3, 1).index_select(0, positions).permute(0, 3, 1, 2)


def replace(images: Images, positions: torch.Tensor, changed: Images) -> Images:
    """The images with those at [m] positions replaced, in the memory layout that they have."""
    copy = images.clone()
    layout = torch.contiguous_format if copy.is_contiguous() else torch.channels_last
    copy[positions] = changed.contiguous(memory_format=layout)
    return copy
