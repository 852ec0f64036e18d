"""What it costs to share a batch among processes: one process with all threads against one process for each of them.

On a GPU: one device against all of them, which each take their share of the same batch. The loss and the gradient are
those of the whole batch on both sides.
"""

from __future__ import annotations

import argparse

import turns


def serve(given: argparse.Namespace) -> None:
    import torch
    from sides import ours

    from bezoar.pretraining import ClipPretraining
    from bezoar.training.peers import joined

    torch.set_num_threads(given.threads)
    method = ClipPretraining(batch_size=given.batch)
    device = torch.device(given.device)
    with joined(device) as peers:
        if device.type == "cuda":
            device = torch.device("cuda", torch.cuda.current_device())
        work = ours(method, given.models[0], device, peers=peers)
        turns.serve(work, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    turns.options(parser, batch=32)
    parser.add_argument("--ranks", type=int, help="processes; as many as threads, or GPUs")
    parser.set_defaults(models=["micro-vit-32", "ViT-B-32"])
    given = parser.parse_args()
    if given.side:
        serve(given)
        return
    turns.settle(given)
    import torch

    world = given.ranks or (torch.cuda.device_count() if given.device == "cuda" else given.threads)
    if world < 2 or given.batch % world:
        parser.error(f"--ranks: {given.batch} pairs cannot be shared by {world} processes")
    alone, together = "one process", f"{world} processes"
    for architecture in given.models:
        each = argparse.Namespace(**{**vars(given), "threads": max(1, given.threads // world)})
        made = {
            alone: turns.Side(turns.again(given, architecture, alone)),
            together: turns.ranks(turns.again(each, architecture, together), world),
        }
        took = turns.compare(made, given)
        turns.show(architecture, alone, took[alone], given.batch)
        turns.show(architecture, together, took[together], given.batch, {alone: took[alone]})


if __name__ == "__main__":
    main()
