"""The steps that are compared: ours as the training loop takes it, and open_clip's by its own training code.

Both get the same pictures of the built-in scenes and captions of the lengths that captions of the web have.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from where import flops, operators, phases

from bezoar.core.frame import Frame
from bezoar.data import Scenes
from bezoar.data.prepared import Prepared
from bezoar.models.clip import create
from bezoar.models.tokenizer import build
from bezoar.training.batch import Batch
from bezoar.training.compiling import compile_towers
from bezoar.training.loader import TrainingPairs, batches
from bezoar.training.method import Method
from bezoar.training.optimizer import adamw
from bezoar.training.peers import ALONE, Peers
from bezoar.training.precision import autocast_for, resolve
from bezoar.training.steplog import LOG_EVERY
from bezoar.training.stepping import Stepper

WORDS = """
a a a a the the of of in in on with and at his her for to from by young old man woman people dog horse street city sky
beach water sunset mountain river house garden kitchen table window bridge boat train football player actor artist
wedding dress background illustration vector pattern view front white black red blue green large small beautiful
traditional colorful vintage wooden standing sitting walking playing holding arriving during premiere festival
championship photographer's wheelbarrow lighthouses snowboarder embroidered watercolour amphitheatre
""".split()  # noqa: SIM905


def captions(count: int) -> list[str]:
    """Captions of 10.3 ± 4.5 words, as those of Conceptual Captions (Sharma et al. 2018, table 3), at least three."""
    draw = np.random.default_rng(0)
    mean, spread = 10.3, 4.5
    lengths = draw.gamma((mean / spread) ** 2, spread**2 / mean, count).round().clip(3, 50).astype(int)
    return [" ".join(draw.choice(WORDS, length)) for length in lengths]


class Captioned:
    """Scenes under other captions."""

    def __init__(self, count: int) -> None:
        self.scenes = Scenes(count=count, width=320, height=240).open()
        self.captions = captions(count)
        self.fingerprint = "0" * 16

    def __len__(self) -> int:
        return len(self.captions)

    def id(self, index: int) -> str:
        return self.scenes.id(index)

    def image(self, index: int) -> Any:
        return self.scenes.image(index)

    def caption(self, index: int) -> str:
        return self.captions[index]


@dataclasses.dataclass
class Work:
    """What a process does in its turns, and what it can tell afterwards."""

    steps: Callable[[int], object]
    facts: Callable[[], dict[str, Any]]
    costs: Callable[[], dict[str, Any]]
    """Takes more steps to find out."""


def work_of(step: Callable[[], None], facts: Callable[[], dict[str, Any]], device: torch.device) -> Work:
    """What a process does that takes one ``step`` after the other."""

    def steps(number: int) -> None:
        for _ in range(number):
            step()

    return Work(steps, facts, lambda: {"flops": flops(step), "operators": operators(step, device)})


def first_batch(method: Method, size: int, tokenize: Any, peers: Peers = ALONE) -> Batch:
    """A batch for one pass of ``method``."""
    pairs = Captioned(method.batch_size)
    this = method.passes(method.build(create("micro-cnn-32"), pairs, 0), 0)[0]
    data = TrainingPairs(pairs, Prepared(pairs, Frame(size)))
    pin = torch.cuda.is_available()
    return next(batches(data, tokenize, this, batch_size=method.batch_size, seed=0, epoch=0, peers=peers, pin=pin))


def ours(
    method: Method,
    architecture: str,
    device: torch.device,
    *,
    cut: bool = True,
    compiled: bool = False,
    peers: Peers = ALONE,
) -> Work:
    """Steps as the training loop takes them, on a batch that is there: from uint8 pictures and tokens on."""
    model = create(architecture).to(device)
    model.tokenize.cut = cut
    batch = first_batch(method, model.image_size, model.tokenize, peers)
    state = method.build(model, Captioned(method.batch_size), 0)
    state.to(device).train()
    if compiled:
        compile_towers(model)
    stepper = Stepper(
        method=method, state=state, optimizer=adamw(state, method), autocast=autocast_for(method.precision, device),
        scaler=torch.amp.GradScaler(device.type, enabled=False), peers=peers, seed=0,
    )  # fmt: skip
    this = method.passes(state, 0)[0]
    count = 0
    told: list[float] = []

    def steps(number: int) -> None:
        nonlocal count
        for _ in range(number):
            terms = stepper(this, batch.to(device), count)
            if count % LOG_EVERY == 0:  # the loop looks at them as often
                total = torch.stack([term.float() for term in terms.values()]).sum()
                peers.average_([total])
                told.append(float(total))
            count += 1

    def step() -> None:
        steps(1)

    def facts() -> dict[str, Any]:
        precision = resolve(method.precision, device)
        return {"first loss": told[0], "settings": f"precision {precision}, {batch.texts[0].shape[1]} tokens"}

    def costs() -> dict[str, Any]:
        if compiled or peers.world > 1:
            return {}
        if method.chunk_size is not None:
            return {"flops": flops(step)}
        split = phases(stepper, this, batch.to(device), count)
        return {"flops": flops(step), "phases": split, "operators": operators(step, device)}

    return Work(steps, facts, costs)


class _Stream(list[Any]):
    """Prepared batches in the place of open_clip's loader."""

    @property
    def num_batches(self) -> int:
        return len(self)

    @property
    def num_samples(self) -> int:
        return sum(len(texts) for _, texts in self)


class _Data:
    def __init__(self, dataloader: _Stream) -> None:
        self.dataloader = dataloader

    def set_epoch(self, epoch: int) -> None: ...


def open_clip_side(architecture: str, device: torch.device, batch_size: int, flags: str) -> Work:
    """Steps by ``open_clip_train.train.train_one_epoch`` as its ``main`` calls it with these flags on one device.

    Its loader gives normalized float pictures and 77 tokens; they are there before the clock starts.
    """
    import open_clip
    from open_clip_train.params import parse_args
    from open_clip_train.scheduler import cosine_lr
    from open_clip_train.train import train_one_epoch

    args = parse_args(["--model", architecture, "--batch-size", "1", *flags.split()])
    gpu = device.type == "cuda"
    if gpu:  # as its main does
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    alone = {"rank": 0, "local_rank": 0, "world_size": 1, "distributed": False}
    vars(args).update(alone, device=str(device), distill=False, wandb=False)
    args.batch_size = batch_size // args.accum_freq
    model, _, _ = open_clip.create_model_and_transforms(
        architecture, precision=args.precision, device=device, output_dict=True,
        force_context_length=args.force_context_length,
    )  # fmt: skip
    model.load_state_dict(create(architecture).tower.state_dict())  # those of ours: the first losses must agree
    plain = [weights for name, weights in model.named_parameters() if _undecayed(name, weights)]
    held = set(map(id, plain))
    rest = [weights for weights in model.parameters() if id(weights) not in held]
    assert args.opt == "adamw", args.opt
    optimizer = torch.optim.AdamW(
        [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": args.wd}],
        lr=args.lr, betas=(args.beta1, args.beta2), eps=args.eps,
    )  # fmt: skip
    scaler = torch.amp.GradScaler(device=device.type) if args.precision == "amp" else None
    scheduler = cosine_lr(optimizer, args.lr, args.warmup, 100_000)
    loss = open_clip.create_loss(args)
    told: list[float] = []
    made = _batches(model, architecture, batch_size, args.accum_freq, pin=gpu)
    runner = torch.compile(model) if args.torchcompile else model

    def noted(**given: Any) -> dict[str, Tensor]:
        terms = loss(**given)
        if not told:
            told.append(float(sum(terms.values()).detach()))
        return dict(terms)

    def steps(number: int) -> None:
        # One epoch: it writes a line of its log, and so waits for the device, at the end of each.
        data = {"train": _Data(_Stream(made * number))}
        train_one_epoch(runner, data, noted, 0, optimizer, scaler, scheduler, None, args)

    def step() -> None:
        steps(1)

    def facts() -> dict[str, Any]:
        return {"first loss": told[0], "settings": f"open_clip {open_clip.__version__}, {flags}"}

    def costs() -> dict[str, Any]:
        return {} if args.torchcompile else {"flops": flops(step), "operators": operators(step, device)}

    return Work(steps, facts, costs)


def _undecayed(name: str, weights: Tensor) -> bool:
    """Which weights open_clip does not decay."""
    return weights.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))


def _batches(model: Any, architecture: str, batch_size: int, parts: int, *, pin: bool) -> list[tuple[Tensor, Tensor]]:
    """The pairs of ``first_batch`` in the form in which open_clip's loader gives them, in ``parts`` batches."""
    import open_clip

    from bezoar.pretraining import ClipPretraining

    preprocess = open_clip.get_model_preprocess_cfg(model)
    size = preprocess["size"] if isinstance(preprocess["size"], int) else preprocess["size"][0]
    tokenize = build(architecture, model.vocab_size, model.context_length, cut=False)
    batch = first_batch(ClipPretraining(batch_size=batch_size), size, tokenize)
    mean, spread = (torch.tensor(preprocess[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    images, texts = (batch.images[0] / 255 - mean) / spread, batch.texts[0]
    if pin:
        images, texts = images.pin_memory(), texts.pin_memory()
    return list(zip(images.chunk(parts), texts.chunk(parts), strict=True))


def said_of_captions(count: int) -> str:
    """How long the captions are."""
    made = captions(count)
    tokens = [int((row != 0).sum()) for row in build("RN50", 49_408, 77, cut=True)(made)]
    words = [len(caption.split()) for caption in made]
    return (
        f"captions: {statistics.mean(words):.1f} words, {statistics.mean(tokens):.1f} tokens, the longest {max(tokens)}"
    )
