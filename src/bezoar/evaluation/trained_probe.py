"""Linear probe as the released code of CyCLIP, CleanCLIP, RoCLIP and SafeCLIP has it: trained by AdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.probing import Fitted, Probe
from bezoar.training.method import Count, Positive, Weight

if TYPE_CHECKING:
    from torch import Tensor


@settings
class TrainedProbe(Probe):
    """``trained_probe_accuracy_topK`` and ``trained_probe_asr_topK``: one linear layer, cross-entropy, AdamW, cosine.

    CleanCLIP trains it for 10 epochs, the others for 32. The batch is that of the released code's ``--batch_size``; its
    ``--linear_probe_batch_size`` of 16 is only how many pictures it encodes together.
    """

    kind: ClassVar[str] = "trained_probe"
    epochs: Count = 32
    batch_size: Count = 128
    lr: Positive = 0.005
    weight_decay: Weight = 0.01
    """Of the weights; the bias has none."""
    seed: int = 0

    def fit(self, features: Tensor, labels: Tensor, classes: int) -> Fitted:
        import torch
        from torch.nn import functional as F

        from bezoar.core.seeds import torch_generator
        from bezoar.training.linear_head import LinearHead
        from bezoar.training.schedule import Schedule

        head = LinearHead(features.shape[1], tuple(map(str, range(classes))), torch_generator(self.seed, self.kind))
        optimizer = torch.optim.AdamW(
            [
                {"params": [head.weight], "weight_decay": self.weight_decay},
                {"params": [head.bias], "weight_decay": 0.0},
            ],
            fused=True,
        )
        per_epoch = -(-len(features) // self.batch_size)
        schedule = Schedule(shape="cosine", lr=self.lr, warmup=0, total=self.epochs * per_epoch)
        for epoch in range(self.epochs):
            order = torch.randperm(len(features), generator=torch_generator(self.seed, self.kind, epoch))
            for number, batch in enumerate(torch.split(order, self.batch_size)):
                for group in optimizer.param_groups:
                    group["lr"] = schedule(epoch * per_epoch + number)
                loss = F.cross_entropy(head(features[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return Fitted(head.weight.detach(), head.bias.detach())
