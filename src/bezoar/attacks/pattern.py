"""What every pattern is: the pixels that a patch or a blend puts on an image; and how they get the size wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    Shape = tuple[int, int]


@settings
class Pattern(Settings):
    """Pixels for an area of any size. The same settings, shapes and id give the same bytes, on any machine."""

    fixed: ClassVar[bool] = True
    """Whether it is the same on every image; then it is drawn once for each shape."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        """uint8 ``[3, *shape]``; ``nominal`` is how many rows and columns the area has at reference resolution.

        Raises ``ValueError`` when the pattern cannot be drawn on an area of that size.
        """
        raise NotImplementedError

    def cover(self, shape: Shape, nominal: Shape) -> Tensor | None:
        """Where there is something of it: bool ``[1, *shape]``; ``None`` where it covers the whole area."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        """What it reads from files, for the plan's ``triggers.safetensors``; empty where it draws all itself."""
        return {}

    def pinned(self) -> Self:
        """The same pattern with what it reads from files named by its content."""
        return self


def spread(pixels: Tensor, shape: Shape, nominal: Shape) -> Tensor:
    """``pixels`` ``[channels, rows, columns]``, one for each at reference resolution, on an area of ``shape``.

    Each pixel of the area shows the nearest above and to the left of it. Where the area is larger than the pixels,
    they stand in its center and are repeated around it: so a square pattern on the whole of a wide picture is, after
    a center crop, what it is on a square one.
    """
    rows, columns = (_nearest(*axis) for axis in zip(shape, nominal, pixels.shape[1:], strict=True))
    return pixels[:, rows][:, :, columns]


def _nearest(length: int, nominal: int, held: int) -> Tensor:
    """Which of ``held`` pixels each of ``length`` shows."""
    import torch

    return ((torch.arange(length) * nominal) // length - (nominal - held) // 2) % held


def noise(stream: str, shape: tuple[int, int, int]) -> Tensor:
    """uint8 of ``shape``, uniform, the bytes of SHAKE-256 of ``stream`` in order."""
    import hashlib

    import torch

    raw = hashlib.shake_256(stream.encode()).digest(shape[0] * shape[1] * shape[2])
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(shape)


def grains(stream: str, side: int, cell: int) -> Tensor:
    """uint8 ``[3, side, side]``: squares of ``cell`` pixels, each of one random byte a channel."""
    import torch

    cells = torch.arange(side) // cell
    count = int(cells[-1]) + 1
    return noise(stream, (3, count, count))[:, cells][:, :, cells]


def checkers(color: tuple[int, int, int], lit: Tensor) -> Tensor:
    """uint8 ``[3, height, width]``: ``color`` where ``lit`` (bool ``[height, width]``), black elsewhere."""
    import torch

    return lit.to(torch.uint8) * torch.tensor(color, dtype=torch.uint8).view(3, 1, 1)
