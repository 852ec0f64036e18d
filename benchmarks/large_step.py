"""A step with two views of every pair, of RN50 and ViT-B/32 at 224 px: ours against the form of the released code.

The loss is that of MMCL+SSL pre-training (``clip_ssl``) and of CleanCLIP, which are one. Ours: bf16 autocast where the
device has the units, channels-last memory, captions cut to the longest of the batch, both views of a modality in one
forward, fused AdamW. The released form: both views in one forward too, but fp32, contiguous memory, captions padded to
77 tokens, AdamW in PyTorch's default form, and its losses as they stand there; its pictures come normalized from the
loader, so that is not counted, while ours are normalized within the step.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

import turns

if TYPE_CHECKING:
    import torch
    from sides import Work

    from bezoar.training.two_views import TwoViews

METHODS = ("clip_ssl", "cleanclip")
CLEANING = (100_000, 10)
"""Pairs and epochs of the published cleaning."""


def method_of(kind: str, batch_size: int) -> TwoViews:
    from bezoar.cleaning import CleanCLIP
    from bezoar.data.captions import Eda
    from bezoar.pretraining import ClipSSL

    made: type[TwoViews] = {"clip_ssl": ClipSSL, "cleanclip": CleanCLIP}[kind]
    return made(batch_size=batch_size, caption_view=Eda(wordnet="none"))


def released(method: TwoViews, architecture: str, device: torch.device) -> Work:
    """A step in the form of the released code."""
    import open_clip
    import torch
    from sides import first_batch, work_of
    from torch.nn import functional as F

    from bezoar.models.clip import create
    from bezoar.models.tokenizer import build

    tower = open_clip.create_model(architecture, device=device).train()
    tower.load_state_dict(create(architecture).tower.state_dict())  # those of ours: the first losses must agree
    preprocess = open_clip.get_model_preprocess_cfg(tower)
    size = preprocess["size"] if isinstance(preprocess["size"], int) else preprocess["size"][0]
    pairs, length = method.batch_size, tower.context_length
    batch = first_batch(method, size, build(architecture, tower.vocab_size, length, cut=False))
    mean, spread = (torch.tensor(preprocess[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    pictures = torch.cat([(view / 255 - mean) / spread for view in batch.images])
    tokens = torch.cat(batch.texts)
    assert tokens.shape == (2 * pairs, length)
    if device.type == "cuda":
        pictures, tokens = pictures.pin_memory(), tokens.pin_memory()
    plain = [p for name, p in tower.named_parameters() if any(s in name for s in ("bn", "ln", "bias", "logit_scale"))]
    held = set(map(id, plain))
    rest = [p for p in tower.parameters() if id(p) not in held]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.1}]
    optimizer = torch.optim.AdamW(groups, lr=1e-6, betas=(0.9, 0.999), eps=1e-8)
    targets = torch.arange(pairs, device=device)
    told: list[float] = []

    def step() -> None:
        optimizer.zero_grad()
        seen = tower.encode_image(pictures.to(device, non_blocking=True))
        read = tower.encode_text(tokens.to(device, non_blocking=True))
        image, image_view = F.normalize(seen, dim=-1).chunk(2)
        text, text_view = F.normalize(read, dim=-1).chunk(2)
        scale = tower.logit_scale.exp()
        logits = scale * image @ text.t()
        contrastive = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.t(), targets)) / 2
        in_images = F.cross_entropy(scale * image @ image_view.t(), targets)
        in_texts = F.cross_entropy(scale * text @ text_view.t(), targets)
        total = contrastive + (in_images + in_texts) / 2
        total.backward()
        optimizer.step()
        tower.logit_scale.data.clamp_(0, math.log(100))
        if not told:
            told.append(float(total.detach()))

    def facts() -> dict[str, Any]:
        return {"first loss": told[0], "settings": f"precision fp32, {length} tokens"}

    return work_of(step, facts, device)


def serve(side: str, given: argparse.Namespace) -> None:
    import torch
    from sides import ours

    torch.set_num_threads(given.threads)
    device, architecture = torch.device(given.device), given.models[0]
    method = method_of(given.method, given.batch)
    work = {"released": released, "ours": ours}[side](method, architecture, device)
    turns.serve(work, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    turns.options(parser, batch=32)
    parser.add_argument("--method", choices=METHODS, default="clip_ssl")
    given = parser.parse_args()
    if given.side:
        serve(given.side, given)
        return
    turns.settle(given)
    for architecture in given.models:
        made = {
            name: turns.Side(turns.again(given, architecture, name, "--method", given.method))
            for name in ("released", "ours")
        }
        took = turns.compare(made, given)
        for name, one in took.items():
            bases = {"released": took["released"]} if name == "ours" else {}
            turns.show(f"{given.method}, {architecture}", name, one, given.batch, bases, given.peak_tflops)
        if given.method == "cleanclip":
            pairs, epochs = CLEANING
            steps = epochs * (pairs // given.batch)
            days = ", ".join(f"{name} {one.wall * steps / 86_400:.2f} days" for name, one in took.items())
            print(f"  at this speed {pairs:,} pairs for {epochs} epochs, {steps:,} steps: {days}", flush=True)


if __name__ == "__main__":
    main()
