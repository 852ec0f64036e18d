"""What it costs to take a batch through the towers in chunks: time and peak memory against the whole batch at once.

Ours by ``chunk_size``, which keeps the contrastive batch (cached features); open_clip's ``--accum-freq`` beside it, on
the same pairs, which keeps it too. In turns, on a tower without batch normalization.
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
        chunk = None if side == "ours whole" else given.chunk
        work = ours(ClipPretraining(batch_size=given.batch, chunk_size=chunk), architecture, device)
    else:
        work = open_clip_side(architecture, device, given.batch, side)
    turns.serve(work, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    turns.options(parser, batch=64)
    parser.add_argument("--chunk", type=int, help="pairs; a quarter of the batch")
    parser.set_defaults(models=["ViT-B-32"])
    given = parser.parse_args()
    if given.side:
        serve(given.side, given)
        return
    turns.settle(given)
    import torch

    from bezoar.training.precision import resolve

    given.chunk = given.chunk or given.batch // 4
    parts, left = divmod(given.batch, given.chunk)
    if left:
        parser.error(f"--chunk: {given.chunk} does not divide the batch of {given.batch}")
    flags = f"--precision {'amp_bf16' if resolve('auto', torch.device(given.device)) == 'bf16' else 'fp32'}"
    ours = {"ours whole": "ours whole", f"ours in chunks of {given.chunk}": "ours chunks"}
    theirs = {"open_clip whole": flags, f"open_clip in {parts} parts": f"{flags} --accum-freq {parts}"}
    for architecture in given.models:
        for sides in (ours, theirs):
            made = {
                name: turns.Side(turns.again(given, architecture, side, "--chunk", str(given.chunk)))
                for name, side in sides.items()
            }
            took = turns.compare(made, given)
            whole, pieces = sides
            turns.show(architecture, whole, took[whole], given.batch)
            turns.show(architecture, pieces, took[pieces], given.batch, {whole: took[whole]})


if __name__ == "__main__":
    main()
