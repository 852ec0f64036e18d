"""Several processes train as one would: losses, gradients, weights, scores; and what is refused or lost is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.training import ranks
from torch import Tensor

from bezoar.core.machine import rank_and_world
from bezoar.core.records import read_lines
from bezoar.pretraining import ClipPretraining
from bezoar.training import loop, steplog
from bezoar.training.loop import check
from bezoar.training.peers import ALONE, Peers, _gpu_of, joined

Results = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What one process makes of the same global batches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steplog, "LOG_EVERY", 1)
        patch.setattr(loop, "SAVE_SECONDS", 0.0)
        patch.setattr(loop, "_SAVE_SHARE", float("inf"))
        found = ranks.all_of_it(ALONE, tmp_path_factory.mktemp("alone"))
    torch.set_num_threads(threads)
    return found


@pytest.fixture(scope="module", params=[2, 3])
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Results]]:
    """What each of two and of three processes has in the end."""
    out = tmp_path_factory.mktemp(f"ranks{request.param}")
    for status, _, error in ranks.ended(ranks.launch(request.param, ["-m", "tests.training.ranks", str(out)])):
        assert status == 0, error
    return out, [torch.load(out / f"rank{rank}.pt") for rank in range(request.param)]


def close(one: dict[str, Tensor], other: dict[str, Tensor], relative: float) -> None:
    assert one.keys() == other.keys()
    for name, expected in other.items():
        room = relative * max(float(expected.abs().max()), 1e-3)
        torch.testing.assert_close(one[name], expected, rtol=relative, atol=room, msg=lambda said: f"{name}: {said}")  # noqa: B023


@pytest.mark.parametrize("name", ranks.methods())
def test_loss_and_gradient_are_those_of_one_process(
    name: str, alone: Results, several: tuple[Path, list[Results]]
) -> None:
    for found in several[1]:
        close(found[f"{name} torch.float64"], alone[f"{name} torch.float64"], 1e-9)
        if len(several[1]) < 3:
            close(found[f"{name} torch.float32"], alone[f"{name} torch.float32"], 1e-4)


def test_the_gradients_say_something(alone: Results) -> None:
    for name in ranks.methods():
        found = alone[f"{name} torch.float64"]
        scale = [key for key, grad in found.items() if key.endswith("logit_scale") and float(grad.abs()) > 1e-6]
        assert bool(scale) == (name != "supervised"), name
        assert any("visual" in key for key in found) == (name != "locked")
        assert all(grad.dtype == torch.float64 for grad in found.values())


def test_chunks_change_nothing_without_batch_statistics(alone: Results) -> None:
    close(alone["chunks torch.float64"], alone["cleanclip torch.float64"], 1e-9)


def test_a_whole_training_ends_with_the_same_weights_on_all_ranks(
    alone: Results, several: tuple[Path, list[Results]]
) -> None:
    first, *others = several[1]
    everything = ("trained", "split", "scores", "norms", "clustered", "pooled", "parted")
    for found in others:
        assert all(tiny.same(found[name], first[name]) for name in everything)
    # Not weight by weight: where a gradient is nothing but rounding, as that of a key's bias, Adam makes a step of it.
    for name in ("trained", "split", "clustered", "pooled", "parted"):
        torch.testing.assert_close(first[name]["seen"], alone[name]["seen"], rtol=0, atol=2e-3)
    close(first["scores"], alone["scores"], 1e-5)
    assert torch.equal(first["pooled"]["tokens"], alone["pooled"]["tokens"])
    torch.testing.assert_close(first["pooled"]["pool.entries"], alone["pooled"]["pool.entries"], rtol=0, atol=2e-3)
    for name, value in alone["parted"].items():
        if name in ("safe", "dropped", "first"):
            assert torch.equal(first["parted"][name], value), name
        elif name in ("cosine", "mixture") or "_bank." in name:
            torch.testing.assert_close(first["parted"][name], value, rtol=0, atol=2e-3)


def test_running_statistics_and_their_average_are_those_of_all_ranks(
    alone: Results, several: tuple[Path, list[Results]]
) -> None:
    """With batch normalization each rank sees its own pairs: near to one process, not equal to it."""
    name = "tower.visual.trunk.stem.1.running_mean"
    found, whole = several[1][0]["norms"][name], alone["norms"][name]
    assert not torch.equal(found, whole)
    torch.testing.assert_close(found, whole, rtol=0.05, atol=0.02)


def test_ranks_that_see_other_disks_are_refused(alone: Results, several: tuple[Path, list[Results]]) -> None:
    for found in several[1]:
        said = bytes(found["said"]["said"].tolist()).decode()
        assert said.startswith("ranks: rank 0 and rank 1 do not see the same folder: disk0 and disk1;")
    assert not len(alone["said"]["said"])


def test_a_rank_without_a_gpu() -> None:
    assert [_gpu_of(rank, 4) for rank in range(4)] == [0, 1, 2, 3]
    assert _gpu_of(3, 1) == 0
    with pytest.raises(ValueError, match="device: rank 4 of this node has no GPU, it has 4"):
        _gpu_of(4, 4)


def test_a_rank_ends_with_what_has_started_it() -> None:
    """A process in between starts the rank and dies; the rank is gone when nobody holds its stdout any more."""
    rank = "import os; from bezoar.training.peers import _follow as follow; print('here', flush=True); "
    rank += "follow(int(os.environ['P']))"
    between = (
        "import os, subprocess, sys; os.environ['P'] = str(os.getpid());"
        f"subprocess.Popen([sys.executable, '-c', {rank!r}]).stdout; sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", between], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.kill()
        assert process.stdout.read() == ""  # ends only when the rank has


def test_only_the_lead_writes_and_its_log_is_of_the_whole_batch(
    alone: Results, several: tuple[Path, list[Results]]
) -> None:
    lines = list(read_lines(several[0] / "whole" / "steps.jsonl"))
    assert [line["step"] for line in lines] == list(range(6))


def test_a_training_goes_on_with_another_number_of_ranks(
    alone: Results,
    several: tuple[Path, list[Results]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steplog, "LOG_EVERY", 1)
    folder = several[0] / "broken"
    kept = torch.load(folder / "training_state", weights_only=True)
    assert (kept["progress"]["step"], kept["ranks"]) == (3, len(several[1]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = ranks.trained(ALONE, folder, ranks.methods()["cleanclip"])
    torch.set_num_threads(threads)
    assert f"resuming on 1 ranks what began on {len(several[1])}" in caplog.text
    torch.testing.assert_close(found["seen"], alone["trained"]["seen"], rtol=0, atol=2e-3)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 24])
def test_shares_are_all_of_it_in_order(count: int, world: int) -> None:
    shares = [Peers(rank, world).share(count) for rank in range(world)]
    assert [at for share in shares for at in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_each_rank_reads_its_part_of_every_batch() -> None:
    from bezoar.training.loader import batches

    method = ClipPretraining(batch_size=6)
    (this,) = method.passes(method.build(tiny.clip(), tiny.data(40).pairs, 0), 0)

    def read(peers: Peers, workers: int = 0) -> list[tuple[str, ...]]:
        stream = batches(
            tiny.data(40), tiny.clip().tokenize, this, batch_size=6, seed=0, epoch=1, peers=peers, workers=workers
        )
        return [batch.ids for batch in stream]

    whole = read(ALONE)
    parts = [read(Peers(rank, 3), workers=rank) for rank in range(3)]
    assert [sum(together, ()) for together in zip(*parts, strict=True)] == whole
    seen = [pair for batch in whole for pair in batch]
    assert len(seen) == len(set(seen)) == 36


# ----------------------------------------------------------------------------------------------------- what is refused


def test_a_batch_that_the_ranks_cannot_share() -> None:
    said = r"method.batch_size: 32 pairs cannot be shared equally by 3 ranks \(nearest choices: 30, 33\)"
    with pytest.raises(ValueError, match=said):
        check(ClipPretraining(batch_size=32), tiny.clip(), 100, world=3)


def test_more_workers_than_pairs() -> None:
    with pytest.raises(ValueError, match="workers: 33 loader processes are more than the 32 pairs there are"):
        check(ClipPretraining(batch_size=8), tiny.clip(), 32, workers=33)


def test_synchronized_statistics_need_gpus() -> None:
    with pytest.raises(ValueError, match=r"method\.batch_norm: 'synchronized' needs GPUs"):
        check(ClipPretraining(batch_size=8, batch_norm="synchronized"), tiny.clip(), 32, world=2)
    check(ClipPretraining(batch_size=8, batch_norm="synchronized"), tiny.clip(), 32)


def test_half_precision_without_a_gpu() -> None:
    with pytest.raises(ValueError, match=r"stages\.a\.method\.precision: 'fp16' needs a CUDA device, this one is cpu"):
        check(ClipPretraining(batch_size=8, precision="fp16"), tiny.clip(), 32, where="stages.a.method")


def test_what_cannot_be_locked_is_refused_and_nothing_stays_locked() -> None:
    model = tiny.clip()
    with pytest.raises(ValueError, match=r"m\.lock: no parameter is named 'visual.layer9"):
        check(ClipPretraining(batch_size=8, lock=("image", "visual.layer9.*")), model, 32, where="m")
    check(ClipPretraining(batch_size=8, lock=("image",)), model, 32)
    assert all(weights.requires_grad for weights in model.parameters())


@pytest.mark.parametrize("words", [("1", None), (None, "2"), ("2", "2"), ("-1", "2"), ("a", "2"), ("0", "0")])
def test_an_environment_that_does_not_fit(words: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, word in zip(("RANK", "WORLD_SIZE"), words, strict=True):
        monkeypatch.delenv(name, raising=False)
        if word is not None:
            monkeypatch.setenv(name, word)
    with pytest.raises(ValueError, match="RANK and WORLD_SIZE: must be set together"):
        rank_and_world()


def test_without_torchrun_one_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with joined(ranks.CPU) as peers:
        assert peers == ALONE
        assert peers.led(lambda: 3) == peers.from_lead(3) == 3
