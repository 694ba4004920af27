"""Transforms of images (..., C, H, W), tensors or arrays: what is drawn at random is drawn for each sample by itself.

    augment = Compose([RandomCrop(28, padding=2), RandomHorizontalFlip(), Normalize([0.5], [0.25])])

Random transforms draw from `sample_generator()`, so in a `Dataset` that a `DataLoader` reads they give the same whatever the
number of workers, and again when an interrupted pass is resumed. They return what they were given: a tensor or an array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import autograd as ag
from nn.data.randomness import sample_generator


class Compose:
    """One transform after the other.

    >>> Compose([Normalize([1.0], [2.0]), RandomHorizontalFlip(p=1.0)])(np.float32([[[1.0, 3.0]]]))
    array([[[1., 0.]]], dtype=float32)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return f"Compose({self.transforms!r})"


class _Transform:
    def _apply(self, image: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def __call__(self, image: Any) -> Any:
        """The transformed image; the one given is left as it is.

        Raises:
            ValueError: not three dimensions or more, or a shape that does not fit.
        """
        is_tensor = isinstance(image, ag.Tensor)
        array = image.detach().cpu().numpy() if is_tensor else np.asarray(image)
        if array.ndim < 3:
            raise ValueError(f"{type(self).__name__}: an image has the shape (..., C, H, W), got {array.shape}")
        found = np.ascontiguousarray(self._apply(array))
        return ag.asarray(found, device=image.device) if is_tensor else found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Normalize(_Transform):
    """(image - mean) / std, a number of each for every channel (or one for all); images are floats."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = [float(m) for m in mean], [float(s) for s in std]
        if not self.mean or len(self.mean) != len(self.std) or not all(s > 0 for s in self.std):
            raise ValueError(f"Normalize: mean and std are of one length, and std above 0; got {self.mean} and {self.std}")

    def _apply(self, image: np.ndarray) -> np.ndarray:
        if image.dtype.kind != "f" or (len(self.mean) > 1 and image.shape[-3] != len(self.mean)):
            raise ValueError(
                f"Normalize: expected floats with {len(self.mean)} channels (..., C, H, W), got {image.shape} of {image.dtype}"
            )
        mean, std = (np.array(numbers, image.dtype).reshape(-1, 1, 1) for numbers in (self.mean, self.std))
        return (image - mean) / std


class RandomCrop(_Transform):
    """A part of the given size, at a random place, after zeros (or `fill`) are put around the image.

    Args:
        size: height and width, or one number for both.
        padding: rows and columns put on each side.
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0, fill: float = 0.0) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.size) != 2 or min(self.size) < 1 or padding < 0:
            raise ValueError(f"RandomCrop: size must be 1 or more and padding 0 or more, got {size} and {padding}")
        self.padding, self.fill = padding, fill

    def _apply(self, image: np.ndarray) -> np.ndarray:
        height, width = (n + 2 * self.padding for n in image.shape[-2:])
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(f"RandomCrop: an image of {height} x {width}, padding included, has no part of {self.size}")
        generator = sample_generator()
        top = int(generator.integers(0, height - self.size[0] + 1, ()))
        left = int(generator.integers(0, width - self.size[1] + 1, ()))
        around = [(0, 0)] * (image.ndim - 2) + [(self.padding, self.padding)] * 2
        padded = np.pad(image, around, constant_values=self.fill) if self.padding else image
        return padded[..., top : top + self.size[0], left : left + self.size[1]].copy()


class RandomHorizontalFlip(_Transform):
    """Left and right exchanged, with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"RandomHorizontalFlip: p is a probability and must be from 0 to 1, got {p}")
        self.p = p

    def _apply(self, image: np.ndarray) -> np.ndarray:
        return (image[..., ::-1] if sample_generator().uniform(()) < self.p else image).copy()


class RandomAffine(_Transform):
    """A rotation, shift, change of size and shear about the centre, each at random; bilinear, on floats.

    Args:
        degrees: the rotation is between -degrees and degrees, or the two numbers given; positive turns clockwise.
        translate: the largest shifts, as parts of width and height.
        scale: the smallest and the largest factor of size.
        shear: the angle, in degrees, by which upright lines lean, between -shear and shear.
        fill: the value outside of the image.
    """

    def __init__(
        self, degrees: float | tuple[float, float], translate: tuple[float, float] = (0.0, 0.0),
        scale: tuple[float, float] = (1.0, 1.0), shear: float = 0.0, fill: float = 0.0,
    ) -> None:  # fmt: skip
        self.degrees = (-abs(degrees), abs(degrees)) if isinstance(degrees, (int, float)) else tuple(degrees)
        self.translate, self.scale, self.shear, self.fill = tuple(translate), tuple(scale), shear, fill
        if not (0.0 < self.scale[0] <= self.scale[1]) or not all(0.0 <= t <= 1.0 for t in self.translate) or not abs(shear) < 90:
            raise ValueError(
                "RandomAffine: translate must be from 0 to 1, scale above 0 and ascending, and shear below 90, got "
                f"{self.translate}, {self.scale} and {shear}"
            )

    def _apply(self, image: np.ndarray) -> np.ndarray:
        if image.dtype.kind != "f":
            raise ValueError(f"RandomAffine: expected floats, got {image.dtype}; convert with .astype(np.float32) / 255")
        height, width = image.shape[-2:]
        draws = sample_generator().uniform(5, dtype=np.float64)
        angle = math.radians(self.degrees[0] + draws[0] * (self.degrees[1] - self.degrees[0]))
        shift = (2 * draws[1:3] - 1) * self.translate * (width, height)
        factor = self.scale[0] + draws[3] * (self.scale[1] - self.scale[0])
        lean = math.tan(math.radians((2 * draws[4] - 1) * self.shear))
        cos, sin = math.cos(angle), math.sin(angle)
        forward = factor * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, lean], [0.0, 1.0]])  # of (x, y), y down
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        y, x = np.mgrid[:height, :width]
        places = np.stack([x.ravel(), y.ravel()]) - (centre + shift)[:, None]
        from_x, from_y = (np.linalg.inv(forward) @ places + centre[:, None]).reshape(2, height, width)
        return _sampled(image, from_y, from_x, self.fill)


def _sampled(image: np.ndarray, y: np.ndarray, x: np.ndarray, fill: float) -> np.ndarray:
    """The image at fractional places, interpolated between its four neighbours; `fill` where a neighbour is outside."""
    height, width = image.shape[-2:]
    top, left = np.floor(y + 1e-9).astype(np.int64), np.floor(x + 1e-9).astype(np.int64)  # whole places stay exact
    down, right = np.maximum(y - top, 0.0), np.maximum(x - left, 0.0)
    out = np.zeros(image.shape, np.float64)
    for row, column, weight in (
        (top, left, (1 - down) * (1 - right)), (top, left + 1, (1 - down) * right),
        (top + 1, left, down * (1 - right)), (top + 1, left + 1, down * right),
    ):  # fmt: skip
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        values = image[..., np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        out += weight * np.where(inside, values, fill)
    return out.astype(image.dtype)
