"""Adversarial copies: inside the bound, against the model, gone on with after a break, and what adp makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

from bezoar.cleaning import ADP
from bezoar.cli.main import main
from bezoar.core.frame import Frame
from bezoar.data import Scenes, Table
from bezoar.data.captions import Eda
from bezoar.data.prepared import Prepared
from bezoar.experiment import adversarial as module
from bezoar.experiment.adversarial import adversarial
from bezoar.models.checkpoint import save
from bezoar.models.clip import create
from bezoar.training.declip import DeclipLoss
from bezoar.training.loader import AsLeft, batches
from bezoar.training.loop import check_pairs, train
from bezoar.training.objective import ClipLoss

SOURCE = Scenes(count=20)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save(create("micro-cnn-32", 1), folder)
    return folder


def pictures(table: Path | None = None) -> list[Tensor]:
    prepared = Prepared((Table(path=str(table)) if table else SOURCE).open(), Frame(32))
    return [prepared[index] for index in range(20)]


def test_they_stay_inside_the_bound_and_the_model_does_worse(model: Path, tmp_path: Path) -> None:
    found = adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=8, bound=0.05, precision="fp32")
    assert (found.pairs, found.out) == (20, tmp_path / "out")
    assert found.after > found.before
    written = Table(path=str(tmp_path / "out" / "pairs.csv"), id_key="id").open()
    own = SOURCE.open()
    assert [written.id(index) for index in range(20)] == [own.id(index) for index in range(20)]
    assert [written.caption(index) for index in range(20)] == [own.caption(index) for index in range(20)]
    for before, after in zip(pictures(), pictures(tmp_path / "out" / "pairs.csv"), strict=True):
        span = (before.amax((1, 2)) - before.amin((1, 2))).float()[:, None, None]
        moved = (after.float() - before.float()).abs()
        assert (moved <= 0.05 * span).all()
        assert moved.any()


def test_a_broken_one_goes_on_with_the_same(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = adversarial(SOURCE, model=model, out=tmp_path / "whole", batch_size=8, precision="fp32")

    def broken(event: Any) -> None:
        if event.done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=8, precision="fp32", listen=broken)
    assert len(list((tmp_path / "out" / "images").iterdir())) == 16
    assert not (tmp_path / "out" / "pairs.csv").exists()
    made: list[int] = []
    real = module._Worker._loss

    def counted(self: Any, *given: Any) -> Tensor:
        made.append(1)
        return real(self, *given)

    monkeypatch.setattr(module._Worker, "_loss", counted)
    again = adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=8, precision="fp32")
    assert len(made) == 5 + 3 * 2  # of three batches one is attacked, in five steps
    assert (again.before, again.after) == pytest.approx((whole.before, whole.after))
    for path in (tmp_path / "whole" / "images").iterdir():
        assert (tmp_path / "out" / "images" / path.name).read_bytes() == path.read_bytes()


def test_what_is_refused(model: Path, tmp_path: Path) -> None:
    adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=8, steps=1)
    with pytest.raises(ValueError, match="holds other pictures, or of other settings: name another folder"):
        adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=8, steps=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match=r"holds 'thesis\.tex', which is no part of this"):
        adversarial(SOURCE, model=model, out=tmp_path / "mine")
    for name, value in (("steps", 0), ("batch_size", 1), ("bound", -0.1), ("decay", float("nan"))):
        changed: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=f"^{name}: "):
            adversarial(SOURCE, model=model, out=tmp_path / "none", **changed)
    assert not (tmp_path / "none").exists()


def test_the_command_and_the_loss_of_declip(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective = '{"kind": "declip", "queue_size": 8, "caption_view": {"kind": "eda", "wordnet": "none"}}'
    words = ["data", "adversarial", "{kind: scenes, count: 20}", "--model", str(model), "--out", str(tmp_path / "out")]
    assert main([*words, "--objective", objective, "--batch-size", "10", "--steps", "2"]) == 0
    said = capsys.readouterr().out
    assert "changed     20 pictures\nloss        rises from " in said
    assert f"written to  {tmp_path / 'out' / 'pairs.csv'}" in said


BRIEF: dict[str, Any] = {**tiny.TAUGHT, "epochs": 1}


def test_adp_takes_them_in_the_place_of_its_own(model: Path, tmp_path: Path) -> None:
    """Half of a batch again, by id, under views of their own."""
    adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=10, bound=0.2, steps=2, precision="fp32")
    there = Table(path=str(tmp_path / "out" / "pairs.csv"), id_key="id")
    method = ADP(**BRIEF, objective=ClipLoss(), image_view=None, pictures=there)
    data = tiny.data(20)
    state: Any = method.build(tiny.clip(), AsLeft(data), 0)
    (this,) = method.passes(state, 0)
    batch = next(batches(data, state.model.tokenize, this, batch_size=8, seed=0, epoch=0, workers=1))
    assert len(batch) == 12
    assert batch.ids[8:] == batch.ids[:8:2]
    changed = dict(zip([there.open().id(k) for k in range(20)], pictures(tmp_path / "out" / "pairs.csv"), strict=True))
    for name, picture, words in zip(batch.ids[8:], batch.images[0][8:], batch.texts[0][8:], strict=True):
        assert torch.equal(picture, changed[name])
        assert torch.equal(words, batch.texts[0][batch.ids.index(name)])
    train(method, tiny.clip(), data, seed=0, teacher=tiny.teacher(method))

    drawn = ADP(**BRIEF, objective=DeclipLoss(caption_view=Eda(wordnet="none"), queue_size=8), pictures=there)
    state = drawn.build(tiny.clip(), AsLeft(data), 0)
    (this,) = drawn.passes(state, 0)
    one = next(batches(data, state.model.tokenize, this, batch_size=8, seed=0, epoch=0))
    assert not torch.equal(one.images[0][8], one.images[0][0])


def test_they_are_as_they_were_written_where_the_model_cuts_out_the_center(model: Path, tmp_path: Path) -> None:
    adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=10, steps=1, precision="fp32")
    there = Table(path=str(tmp_path / "out" / "pairs.csv"), id_key="id")
    cutting = tiny.clip()
    cutting.frame = Frame(32, larger=36)
    state: Any = ADP(**BRIEF, objective=ClipLoss(), pictures=there).build(cutting, AsLeft(tiny.data(20)), 0)
    for index, picture in enumerate(pictures(tmp_path / "out" / "pairs.csv")):
        assert torch.equal(state.again.picture(index), picture)


def test_pairs_that_an_attacker_adds_come_again_with_their_own(model: Path, tmp_path: Path) -> None:
    adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=10, bound=0.2, steps=2, precision="fp32")
    there = Table(path=str(tmp_path / "out" / "pairs.csv"), id_key="id")
    method = ADP(**BRIEF, objective=ClipLoss(), image_view=None, pictures=there)
    data = tiny.data(20, replace(tiny.ATTACK, mode="append", count=4).plan(tiny.data(20).pairs, 0))
    check_pairs(method, data.pairs)
    state: Any = method.build(tiny.clip(), AsLeft(data), 0)
    (this,) = method.passes(state, 0)
    assert len(this.indices) == 24
    (batch,) = batches(data, state.model.tokenize, this, batch_size=24, seed=0, epoch=0, workers=1)
    own = dict(zip(batch.ids[:24], batch.images[0][:24], strict=True))
    again = dict(zip(batch.ids[24:], batch.images[0][24:], strict=True))
    added = {data.id(index) for index in range(20, 24)}
    assert added & again.keys()
    assert all(torch.equal(picture, own[name]) == (name in added) for name, picture in again.items())
    train(method, tiny.clip(), data, seed=0, teacher=tiny.teacher(method))


def test_pairs_without_such_a_picture(model: Path, tmp_path: Path) -> None:
    adversarial(SOURCE, model=model, out=tmp_path / "out", batch_size=10, steps=1)
    there = Table(path=str(tmp_path / "out" / "pairs.csv"), id_key="id")
    with pytest.raises(ValueError, match=r"method\.pictures: 4 of 24 pairs have none \(first: '"):
        check_pairs(ADP(**BRIEF, objective=ClipLoss(), pictures=there), tiny.data(24).pairs)
