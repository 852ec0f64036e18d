"""One optimizer step of any method: encode, share, loss, gradient, update."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bezoar.core.seeds import stream_seed
from bezoar.training.batch import Batch, Features

if TYPE_CHECKING:
    from bezoar.training.ema import Average
    from bezoar.training.method import Method, Pass, Terms
    from bezoar.training.peers import Peers
    from bezoar.training.state import State


@dataclass(frozen=True, kw_only=True)
class Stepper:
    """Takes the steps of a run; all that changes is in the state, the optimizer, the scaler and the average."""

    method: Method
    state: State
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    autocast: Callable[[], torch.autocast]
    peers: Peers
    seed: int
    average: Average | None = None

    def __call__(self, this: Pass, batch: Batch, step: int) -> Terms:
        """Take global step ``step`` on this process's part of a batch; returns its terms, detached, unread."""
        rate = this.schedule(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        size = self.method.chunk_size
        terms = self._whole(this, batch, step) if size is None else self._in_chunks(this, batch, step, size)
        self._update()
        return {name: term.detach() for name, term in terms.items()}

    def _whole(self, this: Pass, batch: Batch, step: int) -> Terms:
        """The gradient of the loss, all pairs through the towers at once."""
        self._reseed(step, 0)
        with self.autocast():
            features = this.encode(self.state, batch)
        return self._backward(this, features, batch)

    def _in_chunks(self, this: Pass, batch: Batch, step: int, size: int) -> Terms:
        """The same gradient with few pairs in the towers at a time: features first, then what the loss says of each.

        Cached features, as in Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup", section 3.2. Without batch normalization nothing but rounding differs.
        """
        chunks = list(batch.chunks(size))
        pieces: list[list[Tensor]] = []
        with torch.no_grad(), unnoticed(self.state), self.autocast():
            for number, chunk in enumerate(chunks):
                self._reseed(step, number)
                features = this.encode(self.state, chunk)
                pieces.append(features.parts())
        whole = [torch.cat(parts) for parts in zip(*pieces, strict=True)]
        whole = [part.requires_grad_() if part.is_floating_point() else part for part in whole]
        terms = self._backward(this, features.made_of(whole), batch)
        wanted = [part.grad for part in whole]
        for number, chunk in enumerate(chunks):
            self._reseed(step, number)  # the same draws as the first time
            with self.autocast():
                again = this.encode(self.state, chunk).parts()
            start = number * size
            grads = [None if grad is None else grad[start : start + size] for grad in wanted]
            used = [
                (part, grad) for part, grad in zip(again, grads, strict=True) if part.requires_grad and grad is not None
            ]
            if used:
                torch.autograd.backward([part for part, _ in used], [grad for _, grad in used])
        return terms

    def _backward(self, this: Pass, features: Features, batch: Batch) -> Terms:
        with self.autocast():
            terms = this.loss(self.state, features.shared(self.peers), batch)
            total = torch.stack(
                [term if term.dtype == torch.float64 else term.float() for term in terms.values()]
            ).sum()
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        return terms

    def _update(self) -> None:
        # Not DistributedDataParallel: it wants every gradient once, from its own forward, while a loss here also trains
        # heads and scales, a tower may be locked, and chunks go through the towers one after the other.
        gradients = [weights.grad for weights in self.state.parameters() if weights.grad is not None]
        self.peers.average_([*gradients, *running(self.state)])
        if self.method.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.state.parameters(), self.method.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.method.max_scale is not None:
            scale: Tensor = self.state.model.tower.logit_scale  # type: ignore[assignment]
            if scale.requires_grad:
                with torch.no_grad():
                    scale.clamp_(math.log(self.method.min_scale), math.log(self.method.max_scale))
        if self.average is not None:
            self.average.update(self.state.model)

    def _reseed(self, step: int, chunk: int) -> None:
        """Seed what a tower draws in its forward by what it works on, so that a resume draws the same."""
        seed = stream_seed(self.seed, "forward", step, self.peers.rank, chunk)
        torch.default_generator.manual_seed(seed)
        if self.state.model.device.type == "cuda":
            torch.cuda.manual_seed(seed)


def running(module: nn.Module) -> list[Tensor]:
    """The running statistics that a forward changes: of normalization layers that keep some and are not locked."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._NormBase)]
    found = [statistic for layer in layers if layer.training for statistic in (layer.running_mean, layer.running_var)]
    return [statistic for statistic in found if statistic is not None]


@contextlib.contextmanager
def unnoticed(module: nn.Module) -> Iterator[None]:
    """Forwards that no running statistic takes notice of: they come once more."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._NormBase)]
    noting = [layer for layer in layers if layer.track_running_stats and layer.training]
    for layer in noting:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in noting:
            layer.track_running_stats = True
