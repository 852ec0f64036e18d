"""A step of DeCLIP at 224 px: ours against four separate forwards in the form of the released code.

Ours: both image views in one forward, both captions in one, cut to the longest of the batch; bf16 autocast where the
device has the units, channels-last memory, fused AdamW. The released form: a forward for each image view and each
caption, fp32, contiguous memory, captions padded to 77 tokens, scores of all tokens before those that are asked for are
chosen, AdamW in PyTorch's default form; its pictures come normalized, so that is not counted, while ours are normalized
within the step. Views are drawn beforehand on both sides.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

import turns

if TYPE_CHECKING:
    import torch
    from sides import Work

    from bezoar.pretraining import DeCLIP


def method_of(batch_size: int) -> DeCLIP:
    from bezoar.data.captions import Eda
    from bezoar.data.views import Plain
    from bezoar.pretraining import DeCLIP

    words = Eda(wordnet="none", operations=("swap", "delete"))
    # Plain pictures: drawing a thousand views of MoCo would take longer than the benchmark.
    return DeCLIP(batch_size=batch_size, queue_size=batch_size, image_view=Plain(), caption_view=words)


def released(method: DeCLIP, architecture: str, device: torch.device) -> Work:
    """A step in the form of the released code, on the same pictures and captions, with the same heads."""
    import open_clip
    import torch
    from sides import Captioned, first_batch, work_of
    from torch.nn import functional as F

    from bezoar.losses import in_modal, info_nce, simsiam
    from bezoar.models.clip import create
    from bezoar.models.words import read

    model = create(architecture)
    model.tokenize.cut = False
    batch = first_batch(method, model.image_size, model.tokenize)
    state = method.build(model, Captioned(method.batch_size), 0)
    mean, spread = (torch.tensor(one).view(1, 3, 1, 1) for one in (model.mean, model.std))
    views = [((view / 255 - mean) / spread).to(device) for view in batch.images]
    words, augmented = (text.to(device) for text in batch.texts)
    changed, asked, covered = method._masked(0, state, words, batch.indices.to(device))
    nothing = torch.zeros_like(covered)
    state.to(device).train()
    tower, heads, scale = model.tower.to(memory_format=torch.contiguous_format), state.heads, model.tower.logit_scale
    plain = [p for name, p in state.named_parameters() if any(s in name for s in ("bn", "ln", "bias", "logit_scale"))]
    held = set(map(id, plain))
    rest = [p for p in state.parameters() if id(p) not in held]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.1}]
    optimizer = torch.optim.AdamW(groups, lr=1e-6, betas=(0.9, 0.98), eps=1e-8)
    told: list[float] = []

    def step() -> None:
        optimizer.zero_grad()
        raw = [tower.encode_image(view) for view in views]  # type: ignore[operator]
        masked, hidden = read(model, changed, covered, state.mask)
        other, _ = read(model, augmented, nothing, state.mask)
        images, texts = [F.normalize(one, dim=-1) for one in raw], [F.normalize(one, dim=-1) for one in (masked, other)]
        inverse = scale.exp()
        contrastive = sum(info_nce(image, text, inverse) for image in images for text in texts) / 4
        near = [state.queue.nearest(text, instead=text) for text in texts]
        nearest = sum(in_modal(image, text, inverse) for image in images for text in near) / 4
        for text in reversed(texts):
            state.queue.push(text)
        first, second = (heads.projector(one) for one in raw)
        alike = simsiam(heads.predictor(first), first, heads.predictor(second), second)
        guessed = F.cross_entropy(heads.text_label_predictor(hidden)[asked], words[asked])
        total = 0.4 * contrastive + 0.2 * (nearest + alike + guessed)
        total.backward()
        optimizer.step()
        scale.data.clamp_(3, math.log(100))
        if not told:
            told.append(float(total.detach()))

    def facts() -> dict[str, Any]:
        return {"first loss": told[0], "settings": f"precision fp32, {words.shape[1]} tokens, {open_clip.__version__}"}

    return work_of(step, facts, device)


def serve(side: str, given: argparse.Namespace) -> None:
    import torch
    from sides import ours

    torch.set_num_threads(given.threads)
    device, method = torch.device(given.device), method_of(given.batch)
    make = {"released": released, "ours": ours}[side]
    turns.serve(make(method, given.models[0], device), device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    turns.options(parser, batch=32)
    given = parser.parse_args()
    if given.side:
        serve(given.side, given)
        return
    turns.settle(given)
    for architecture in given.models:
        made = {name: turns.Side(turns.again(given, architecture, name)) for name in ("released", "ours")}
        took = turns.compare(made, given)
        for name, one in took.items():
            bases = {"released": took["released"]} if name == "ours" else {}
            turns.show(f"declip, {architecture}", name, one, given.batch, bases, given.peak_tflops)


if __name__ == "__main__":
    main()
