"""One rank of several, as a process of its own: ``python -m tests.training.ranks OUT``; run by ``test_peers``."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tests import tiny
from tests.toy import Split
from torch import Tensor

from bezoar.cleaning import ADP, CleanCLIP, Finetune
from bezoar.cleaning import METHODS as CLEANING
from bezoar.data.captions import Eda
from bezoar.models.clip import Clip, create
from bezoar.pretraining import METHODS, RoCLIP, SafeCLIP
from bezoar.training.loader import AsLeft, batches
from bezoar.training.loop import train
from bezoar.training.method import Method
from bezoar.training.optimizer import adamw
from bezoar.training.oracle import Oracle
from bezoar.training.peers import ALONE, Peers, joined
from bezoar.training.precision import autocast_for
from bezoar.training.scorer import Scorer
from bezoar.training.stepping import Stepper
from bezoar.training.taught import Taught

TOWER = "micro-vit-32"
"""Without batch statistics."""
BATCH = 12
BRIEF: dict[str, Any] = {"epochs": 2, "batch_size": BATCH, "lr": 1e-3, "warmup_steps": 3, "precision": "fp32"}
CPU = torch.device("cpu")


def methods() -> dict[str, Method]:
    """Every method, and what of the loop could make a difference between ranks."""
    kinds: tuple[type[Method], ...] = (*METHODS, *CLEANING)
    found = {str(kind.kind): tiny.method(kind, **BRIEF) for kind in kinds}
    eda = Eda(wordnet="none")
    found["adp"] = tiny.method(ADP, **BRIEF, attack_steps=0)  # an attack is among the pairs of a process
    found["symmetric"] = CleanCLIP(**BRIEF, caption_view=eda, in_modal="symmetric")
    found["chunks"] = CleanCLIP(**BRIEF, caption_view=eda, chunk_size=2)
    found["matched"] = _roclip(match_every=1, pool_start="random")
    found["matched, read"] = _roclip(match_every=1, text_tower="trained")
    found["clipped"] = Finetune(**BRIEF, clip_norm=0.01)
    found["locked"] = Finetune(**BRIEF, lock=("image",))
    return found | filled()


def filled() -> dict[str, Method]:
    """Methods whose pool or banks a first step fills that moves no weight: the second one finds captions there."""
    still = {**BRIEF, "lr": 0.0}
    return {
        "matched, filled": _roclip(**still, match_every=1),
        "matched, read, filled": _roclip(**still, match_every=1, text_tower="trained"),
        "safeclip, filled": tiny.method(SafeCLIP, **still, in_modal_lr=0.0),
    }


def _roclip(**changes: Any) -> RoCLIP:
    return RoCLIP(**{**BRIEF, "caption_view": Eda(wordnet="none"), "pool_share": 0.5, **changes})


def step(method: Method, peers: Peers, dtype: torch.dtype, count: int = 1) -> dict[str, Tensor]:
    """Terms and gradients of step ``count``, as this rank has them."""
    model = tiny.clip(TOWER).to(dtype)
    torch.set_default_dtype(dtype)  # for what a method adds to the model
    try:
        return _step(method, model, peers, dtype, count)
    finally:  # else every later test of the process has it
        torch.set_default_dtype(torch.float32)


def _step(method: Method, model: Clip, peers: Peers, dtype: torch.dtype, count: int) -> dict[str, Tensor]:
    data = tiny.fitting(method, 2 * BATCH)
    if method.lock:
        for weights in model.tower.visual.parameters():  # type: ignore[union-attr]
            weights.requires_grad_(False)
    state = method.build(model, AsLeft(data), 0)
    if isinstance(method, Oracle):
        method.reveal(state, data.poisoned())
    if isinstance(method, Taught):
        method.teach(state, create(TOWER, 1).to(dtype).eval())
    stepper = Stepper(
        method=method, state=state, optimizer=adamw(state, method), scaler=torch.amp.GradScaler("cpu", enabled=False),
        autocast=autocast_for("fp32", CPU), peers=peers, seed=0,
    )  # fmt: skip
    (this,) = method.passes(state, 0)
    stream = batches(data, model.tokenize, this, batch_size=BATCH, seed=0, epoch=0, peers=peers)
    for number, batch in enumerate(itertools.islice(stream, count)):
        terms = [term.clone() for term in stepper(this, batch, number).values()]
    peers.average_(terms)
    grads = {name: weights.grad for name, weights in state.named_parameters() if weights.grad is not None}
    return {**grads, **{f"term {number}": term for number, term in enumerate(terms)}}


def trained(
    peers: Peers, folder: Path, method: Method, stop: int | None = None, tower: str = TOWER
) -> dict[str, Tensor]:
    """Weights and features after a whole training, or where it was broken off."""
    calls: list[int] = []

    def hear(event: Any) -> None:
        calls.append(event.done)
        if stop is not None and len(calls) > stop:
            raise InterruptedError

    model = tiny.clip(tower)
    if not peers.lead:
        with torch.no_grad():  # as a rank has it whose processor draws other weights: the lead's count
            model.tower.logit_scale.add_(0.1)  # type: ignore[operator]
    with contextlib.suppress(InterruptedError):
        model = train(method, model, tiny.data(40), seed=0, folder=folder, peers=peers, listen=hear).model
    return _seen(model)


def _seen(model: Clip) -> dict[str, Tensor]:
    model.eval()
    with torch.no_grad():
        seen = model.encode_image(torch.stack([tiny.data(40).image(index) for index in range(8)]))
    return {"seen": seen, **{name: value.clone() for name, value in model.state_dict().items()}}


def pooled(peers: Peers) -> dict[str, Tensor]:
    """The same, and the pool: filled in an epoch that does not match, and wrapped around in one that does."""
    return _with_state(peers, _roclip(in_modal_weight=0.5, text_tower="trained"))


def parted(peers: Peers) -> dict[str, Tensor]:
    """The same of an in-modal epoch and two that are split, with the split and the banks."""
    method = tiny.method(SafeCLIP, **{**BRIEF, "epochs": 3}, score_views=True, cross_views="crossed", ratio_step=0.2)
    return _with_state(peers, method)


def _with_state(peers: Peers, method: Method) -> dict[str, Tensor]:
    end = train(method, tiny.clip(TOWER), tiny.data(40), seed=0, peers=peers)
    return _seen(end.model) | {name: one.clone() for name, one in end.state.named_buffers() if "model" not in name}


def disagreement(peers: Peers) -> str:
    """What is said where ranks do not see the same folder."""
    try:
        peers.agree({"step": "3", "folder": f"disk{peers.rank}"})
    except ValueError as error:
        return str(error)
    return ""


def scores(peers: Peers) -> dict[str, Tensor]:
    """What a scorer says of seven pairs, shared out unevenly."""
    images, texts = Scorer(tiny.clip(TOWER), tiny.data(7), autocast_for("fp32", CPU), peers).features()
    return {"images": images, "texts": texts}


def every_step() -> None:
    """A state and a line of the log after every step."""
    from bezoar.training import loop, steplog

    steplog.LOG_EVERY, loop.SAVE_SECONDS, loop._SAVE_SHARE = 1, 0.0, float("inf")


def all_of_it(peers: Peers, out: Path) -> dict[str, dict[str, Tensor]]:
    """Everything that is compared with one process."""
    dtypes = DTYPES[: 2 if peers.world < 3 else 1]  # a third rank is to change nothing that rounding could hide
    found = {
        f"{name} {dtype}": step(method, peers, dtype, 2 if name in filled() else 1)
        for name, method in methods().items()
        for dtype in dtypes
    }
    clean = methods()["cleanclip"]
    found["trained"] = trained(peers, out / "whole", clean)
    found["broken"] = trained(peers, out / "broken", clean, stop=3)
    found["split"] = trained(peers, out / "split", Split(batch_size=6, epochs=2))
    found["clustered"] = trained(peers, out / "clustered", methods()["deep_clustering"])
    found["pooled"] = pooled(peers)
    found["parted"] = parted(peers)
    found["norms"] = trained(peers, out / "norms", Finetune(**BRIEF, ema=0.5), tower="micro-cnn-32")
    found["scores"] = scores(peers)
    found["said"] = {"said": torch.tensor(list(disagreement(peers).encode()), dtype=torch.uint8)}
    return found


DTYPES = (torch.float64, torch.float32)


def launch(world: int, words: Sequence[str], **environment: str) -> list[subprocess.Popen[str]]:
    """``python words`` in ``world`` processes that find each other as ``torchrun`` would have them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | given | {"RANK": str(rank), "LOCAL_RANK": str(rank)} | environment,
        )
        for rank in range(world)
    ]  # fmt: skip


def ended(processes: Sequence[subprocess.Popen[str]], seconds: float = 240) -> list[tuple[int, str, str]]:
    """Exit status, stdout and stderr of each."""
    found = [(process, *process.communicate(timeout=seconds)) for process in processes]
    return [(process.returncode, out, err) for process, out, err in found]


def main(work: Callable[[Peers, Path], Any] = all_of_it) -> None:
    out = Path(sys.argv[1])
    torch.set_num_threads(1)
    every_step()
    with joined(CPU) as peers:
        assert peers != ALONE
        torch.save(work(peers, out), out / f"rank{peers.rank}.pt")


if __name__ == "__main__":
    main()
