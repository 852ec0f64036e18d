"""How far our resize of a uint8 tensor is from the Pillow resize that checkpoints were published with, by frame,
in grey levels, and in what a tower makes of it beside what bf16 makes of it. The same files, the same run.

Weights are random: the figures say how much of a change passes through a tower, not through a trained one.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import torch
from photos import jpeg, photo
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

from bezoar.core.frame import Frame
from bezoar.data.decode import decode
from bezoar.data.images import fit, to_tensor
from bezoar.models.clip import Clip, create

FRAMES = (Frame(224), Frame(224, "squash"), Frame(224, interpolation="bilinear", larger=256))
TOWERS = ("ViT-B-32", "RN50")
REAL = ("coco_mini/coco_mini_val79_256px.parquet", "imagenet_samples/imagenet_samples_1k_128px.parquet")


def published(frame: Frame) -> Compose:
    """What Pillow makes of a picture."""
    box = [frame.side, frame.side] if frame.resize == "squash" else frame.side
    way = InterpolationMode(frame.interpolation)
    return Compose([Resize(box, interpolation=way), CenterCrop(frame.size), PILToTensor()])


def apart(model: Clip, ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """The largest 1 - cosine to their features in fp32: of ours in fp32, and of theirs in bf16."""
    with torch.no_grad():
        first, second = model.encode_image(ours), model.encode_image(theirs)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = model.encode_image(theirs)
    return tuple(1 - float((rows * second).sum(1).min()) for rows in (first, coarse))  # type: ignore[return-value]


def show(name: str, files: Sequence[bytes], towers: Sequence[Clip]) -> None:
    for frame in FRAMES:
        ours = torch.stack([fit(to_tensor(decode(data)), frame) for data in files])
        make = published(frame)
        theirs = torch.stack([make(Image.open(io.BytesIO(data)).convert("RGB")) for data in files])
        change = (ours.int() - theirs.int()).abs()
        print(
            f"{name}, {frame.plain}: mean {float(change.float().mean()):.4f} grey levels, max {int(change.max())}, "
            f"{float((change > 0).float().mean()):.1%} of values changed"
        )
        for model in towers:
            resized, coarse = apart(model, ours[:16], theirs[:16])
            print(f"  {model.architecture}: 1 - cosine at most {resized:.1e} by the resize, {coarse:.1e} by bf16")


if __name__ == "__main__":
    towers = [create(name).eval() for name in TOWERS]
    show("photos drawn here", [jpeg(photo(seed), 85) for seed in range(16)], towers)
    for name in REAL if "BEZOAR_DATA" in os.environ else ():
        table = pq.read_table(Path(os.environ["BEZOAR_DATA"]) / name, columns=["image"]).slice(0, 64)
        show(name, table["image"].to_pylist(), towers)
