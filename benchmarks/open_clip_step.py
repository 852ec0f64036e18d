"""A step of CLIP pre-training: ours against open_clip's own training code on the same pairs, in turns.

Ours is what the training loop calls (``Stepper`` of the ``clip`` method): from uint8 pictures and cut captions, so the
normalization of the pictures is counted. Theirs is ``open_clip_train.train.train_one_epoch`` with the optimizer, the
loss and the schedule of its ``main`` at the flags that are named: from pictures that are normalized already, which its
loader does. Nobody's loader is counted. Both begin with the same weights, so their first losses tell whether they do
the same work.

``amp_bf16`` is the arithmetic of ours, with and without ``--torchcompile``, which brings channels-last memory too;
there is no flag for a fused AdamW. Others can be named in ``--theirs``, a string for each side: ``--precision
pure_bf16`` keeps weights, gradients and moments in bf16 too, which is another training.
"""

from __future__ import annotations

import argparse

import turns


def serve(side: str, given: argparse.Namespace) -> None:
    import torch
    from sides import open_clip_side, ours

    from bezoar.pretraining import ClipPretraining

    torch.set_num_threads(given.threads)
    device, architecture = torch.device(given.device), given.models[0]
    if side.startswith("ours"):
        work = ours(ClipPretraining(batch_size=given.batch), architecture, device, compiled=side == "ours compiled")
    else:
        work = open_clip_side(architecture, device, given.batch, side)
    turns.serve(work, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    turns.options(parser, batch=32)
    parser.add_argument("--theirs", nargs="+", help="flags of open_clip, one string a side")
    parser.add_argument("--compiled", action="store_true", help="ours with compiled towers too")
    given = parser.parse_args()
    if given.side:
        serve(given.side, given)
        return
    turns.settle(given)
    import torch
    from sides import said_of_captions

    from bezoar.training.precision import resolve

    print(said_of_captions(given.batch))
    bf16 = resolve("auto", torch.device(given.device)) == "bf16"
    precision = f"--precision {'amp_bf16' if bf16 else 'fp32'}"
    flags = given.theirs or [precision, f"{precision} --torchcompile"]
    for architecture in given.models:
        names = [*flags, "ours", *(["ours compiled"] if given.compiled else [])]
        made = {name: turns.Side(turns.again(given, architecture, name)) for name in names}
        took = turns.compare(made, given)
        for name in names:
            bases = {theirs: took[theirs] for theirs in flags} if name.startswith("ours") else {}
            turns.show(architecture, name, took[name], given.batch, bases, given.peak_tflops)


if __name__ == "__main__":
    main()
