"""Pseudo-labels: joined by id and never by position, one head for the whole training, and what is refused."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.training.test_resume import _each_step, broken, equal, run
from torch import Tensor
from torch.nn import functional as F

from bezoar.cleaning import METHODS, CleanCLIP, PseudoLabels
from bezoar.core.files import file_digest
from bezoar.core.settings import digest, dump
from bezoar.data import PairsPart, Scenes
from bezoar.data.captions import Eda
from bezoar.data.label_file import write
from bezoar.experiment.experiment import parse
from bezoar.experiment.layout import training_digest
from bezoar.experiment.run import run as run_experiment
from bezoar.training.loader import AsLeft, batches
from bezoar.training.loop import check_pairs, train
from bezoar.training.optimizer import adamw
from bezoar.training.stepping import Stepper

__all__ = ["_each_step"]
EDA = Eda(wordnet="none")
BRIEF: dict[str, Any] = {
    "epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32", "caption_view": EDA
}  # fmt: skip
NAMES = ("cat", "dog", "owl")


def wanted(count: int = 32) -> list[int]:
    return [index * index % 7 % 3 for index in range(count)]


def file(path: Path, seed: int = 0, count: int = 32, **facts: Any) -> str:
    """A file of labels in some other order than that of the pairs."""
    order = list(range(count))
    random.Random(seed).shuffle(order)
    ids = [tiny.data(count).id(index) for index in order]
    write(path, ids, [NAMES[wanted(count)[i]] for i in order], [1.0] * count, {"classes": NAMES, **facts})
    return str(path)


def test_it_is_in_the_family() -> None:
    assert PseudoLabels in METHODS
    assert PseudoLabels.kind == "pseudo_labels"


def test_defaults_are_those_of_the_released_command() -> None:
    method = PseudoLabels(labels="l.parquet")
    assert (method.clip_weight, method.in_modal_weight, method.deep_clustering_weight) == (1.0, 1.0, 5.0)
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (10, 64, 1e-4, 50)


@pytest.mark.parametrize("name", ["micro-cnn-32", "micro-vit-32"])
def test_the_loss_is_the_cross_entropy_with_the_label_of_the_same_id(name: str, tmp_path: Path) -> None:
    method = PseudoLabels(labels=file(tmp_path / "l.parquet"), deep_clustering_weight=2.5, **BRIEF)
    data = tiny.data(32)
    state: Any = method.build(tiny.clip(name).train(), AsLeft(data), 0)
    by_id = {data.id(index): label for index, label in enumerate(wanted())}
    (this,) = method.passes(state, 0)
    for batch in batches(data, state.model.tokenize, this, batch_size=8, seed=0, epoch=0):
        features = this.encode(state, batch)
        terms = method.loss(state, features, batch)
        assert list(terms) == ["contrastive", "in_modal_image", "in_modal_text", "pseudo_labels"]
        expected = [
            -F.log_softmax(state.head.weight @ row + state.head.bias, dim=0)[by_id[one]]
            for row, one in zip(features.images[0].own, batch.ids, strict=True)
        ]
        torch.testing.assert_close(terms["pseudo_labels"], 2.5 * torch.stack(expected).mean())
        plain = CleanCLIP(**BRIEF).loss(state, features, batch)
        assert all(torch.equal(terms[term], plain[term]) for term in plain)


def test_the_order_of_the_file_is_nothing_to_it(tmp_path: Path) -> None:
    models = []
    for seed in (1, 2):
        model = tiny.clip()
        train(PseudoLabels(labels=file(tmp_path / f"{seed}.parquet", seed), **BRIEF), model, tiny.data(32), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_one_head_learns_from_the_first_step_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.optim.AdamW] = []
    heads: list[Tensor] = []
    inner = Stepper.__call__

    def kept(*given: Any) -> torch.optim.AdamW:
        made.append(adamw(*given))
        return made[-1]

    def step(self: Stepper, this: Any, batch: Any, number: int) -> Any:
        state: Any = self.state
        heads.append(state.head.weight.detach().clone())
        return inner(self, this, batch, number)

    monkeypatch.setattr("bezoar.training.loop.adamw", kept)
    monkeypatch.setattr(Stepper, "__call__", step)
    method = PseudoLabels(labels=file(tmp_path / "l.parquet"), **BRIEF)
    state: Any = train(method, tiny.clip(), tiny.data(32), seed=0).state
    (optimizer,) = made
    assert float(optimizer.state[state.head.weight]["step"]) == 8
    assert heads[0].std().item() == pytest.approx(0.01, rel=0.2)
    steps = [float((one - other).abs().max()) for one, other in itertools.pairwise(heads)]
    assert max(steps) < 5e-3  # never begun anew
    (group,) = (group for group in optimizer.param_groups if any(p is state.head.weight for p in group["params"]))
    assert group["weight_decay"] == 0


def test_without_a_weight_it_is_cleanclip(tmp_path: Path) -> None:
    models = []
    for method in (
        PseudoLabels(labels=file(tmp_path / "l.parquet"), deep_clustering_weight=0.0, **BRIEF), CleanCLIP(**BRIEF)
    ):  # fmt: skip
        model = tiny.clip()
        train(method, model, tiny.data(32), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


@pytest.mark.parametrize("after", [0, 3, 6])
def test_a_killed_training_goes_on_with_the_same_bits(after: int, tmp_path: Path) -> None:
    method = PseudoLabels(labels=file(tmp_path / "l.parquet"), **BRIEF)
    whole = run(method, tmp_path / "whole")
    broken(method, tmp_path / "broken", after)
    assert equal(run(method, tmp_path / "broken"), whole)


def test_a_killed_training_goes_on_where_its_file_was_moved(tmp_path: Path) -> None:
    first, second, other = (
        PseudoLabels(labels=file(tmp_path / name, seed), **BRIEF).pinned()
        for name, seed in (("a.parquet", 1), ("b.parquet", 1), ("c.parquet", 2))
    )
    whole = run(first, tmp_path / "whole")
    broken(first, tmp_path / "broken", 3)
    with pytest.raises(ValueError, match=r"was begun with other settings: method\.digest was "):
        run(other, tmp_path / "broken")
    assert equal(run(second, tmp_path / "broken"), whole)


# ------------------------------------------------------------------------------------------- the file as a setting


def test_the_content_of_the_file_is_the_setting_and_not_its_path(tmp_path: Path) -> None:
    here, there, other = (
        PseudoLabels(labels=file(tmp_path / name, seed)).pinned()
        for name, seed in (("a.parquet", 1), ("b.parquet", 1), ("c.parquet", 2))
    )
    assert here.digest == file_digest(tmp_path / "a.parquet")
    assert here.pinned() == here
    assert digest(here) == digest(there)
    assert digest(here) != digest(other)
    assert digest(here) != digest(PseudoLabels(labels="a.parquet"))


def test_a_file_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    method = PseudoLabels(labels=file(tmp_path / "l.parquet", 1), **BRIEF).pinned()
    file(tmp_path / "l.parquet", 2)
    with pytest.raises(ValueError, match=r"method.labels: .*l.parquet is not the file it was: its content is not"):
        train(method, tiny.clip(), tiny.data(32), seed=0)


def experiment(labels: str, **changes: Any) -> Any:
    plain = tiny.experiment()
    plain["stages"][2] |= {"method": dump(PseudoLabels(labels=labels, **BRIEF)), "pairs": "train", **changes}
    return parse(plain)


def test_the_digest_of_a_stage_changes_with_the_content_alone(tmp_path: Path) -> None:
    def found(name: str, seed: int) -> str:
        made = experiment(file(tmp_path / name, seed)).pinned()
        return training_digest(made, made.stages[2], 0)

    assert found("a.parquet", 1) == found("b.parquet", 1)
    assert found("a.parquet", 1) != found("c.parquet", 2)


def test_the_file_may_be_an_axis_of_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = [file(Path(f"{seed}.parquet"), seed) for seed in (1, 2)]
    made = experiment(files[0], grid={"labels": tuple(files)}).pinned()
    points: Any = [stage.method for stage in made.stages[2:]]
    assert [point.labels for point in points] == files
    assert [point.digest for point in points] == [file_digest(Path(one)) for one in files]
    assert made.pinned() == made


# ---------------------------------------------------------------------------------------------- what is refused


def test_missing_ids_are_said_before_anything_is_trained(tmp_path: Path) -> None:
    path = file(tmp_path / "l.parquet", count=20)
    said = r"stages\.cleanclip\.method\.labels: .* has none for 12 of the 32 pairs, as for 'scenes-0-train-00000"
    with pytest.raises(ValueError, match=said):
        run_experiment(experiment(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_for_other_data_is_refused_though_its_ids_are_the_same(tmp_path: Path) -> None:
    pairs = tiny.data(32).pairs
    with pytest.raises(
        ValueError, match=rf"m\.labels: .* was made of other pairs \(abc, these are {pairs.fingerprint}\)"
    ):
        check_pairs(PseudoLabels(labels=file(tmp_path / "l.parquet", source="abc")), pairs, "m")
    own = PseudoLabels(labels=file(tmp_path / "l.parquet", source=pairs.fingerprint))
    check_pairs(own, pairs)
    with pytest.raises(ValueError, match="was made of other pairs"):
        train(
            PseudoLabels(labels=file(tmp_path / "l.parquet", source="abc"), **BRIEF), tiny.clip(), tiny.data(32), seed=0
        )


def test_labels_of_a_whole_do_for_a_part_of_it(tmp_path: Path) -> None:
    whole = Scenes(count=32)
    method = PseudoLabels(labels=file(tmp_path / "l.parquet", source=whole.open().fingerprint))
    part = PairsPart(of=PairsPart(of=whole, shuffle=1, stop=20), start=4).open()
    check_pairs(method, part)
    found: Any = method.build(tiny.clip(), part, 0)
    assert found.labels.tolist() == [wanted()[int(part.id(index)[-7:])] for index in range(16)]


def test_pairs_that_an_attacker_has_added_have_no_label(tmp_path: Path) -> None:
    from bezoar.attacks import Backdoor
    from bezoar.attacks.triggers import Patch

    data = tiny.data(32)
    attack = Backdoor(target="mushroom", count=5, templates=("a {c}",), trigger=Patch(size=8), mode="append")
    with pytest.raises(ValueError, match=r"method\.labels: .* has none for 5 of the 37 pairs"):
        train(
            PseudoLabels(labels=file(tmp_path / "l.parquet"), **BRIEF), tiny.clip(),
            tiny.data(32, attack.plan(data.pairs, 0)), seed=0,
        )  # fmt: skip


def test_labels_outside_the_classes(tmp_path: Path) -> None:
    method = PseudoLabels(labels=file(tmp_path / "l.parquet"), classes=("cat", "dog"))
    with pytest.raises(ValueError, match=r"method\.labels: .* are outside the 2 classes, as 'owl' of "):
        check_pairs(method, tiny.data(32).pairs)


def test_golden_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = PseudoLabels(
        labels=file(tmp_path / "l.parquet", count=640), epochs=1, batch_size=32, lr=1e-4, warmup_steps=5,
        precision="fp32", caption_view=EDA,
    )  # fmt: skip
    tiny.golden("pseudo_labels", method, monkeypatch)
