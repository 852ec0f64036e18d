"""Deep clustering: its loss by loops, its clusters by faiss, a new head each epoch, ranks, resume, and what is said."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.album import Album
from tests.training.test_resume import _each_step, broken, equal, run
from torch import Tensor
from torch.nn import functional as F

from bezoar.cleaning import METHODS, CleanCLIP, DeepClustering
from bezoar.core.seeds import torch_generator
from bezoar.core.settings import dump
from bezoar.data.captions import Eda
from bezoar.experiment.experiment import parse
from bezoar.experiment.run import run as run_experiment
from bezoar.training.loader import AsLeft, batches
from bezoar.training.loop import Pause, check_pairs, train
from bezoar.training.optimizer import adamw
from bezoar.training.precision import autocast_for
from bezoar.training.scorer import Scorer
from bezoar.training.stepping import Stepper

__all__ = ["_each_step"]
EDA = Eda(wordnet="none")
BRIEF: dict[str, Any] = {
    "epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, "precision": "fp32", "caption_view": EDA
}  # fmt: skip


def test_it_is_in_the_family() -> None:
    assert DeepClustering in METHODS
    assert DeepClustering.kind == "deep_clustering"


def test_defaults_are_those_of_the_released_command() -> None:
    method = DeepClustering()
    assert (method.centroids, method.iterations, method.deep_clustering_weight) == (1000, 20, 5.0)
    assert (method.clip_weight, method.in_modal_weight) == (1.0, 1.0)
    assert (method.epochs, method.batch_size, method.lr, method.warmup_steps) == (10, 64, 1e-4, 50)


def begun(method: DeepClustering, count: int = 32, name: str = "micro-cnn-32", epoch: int = 0) -> tuple[Any, Tensor]:
    """The state when an epoch begins, and the features that were clustered."""
    model, data = tiny.clip(name).train(), tiny.data(count)
    state = method.build(model, AsLeft(data), 0)
    scorer = Scorer(model, data, autocast_for("fp32", torch.device("cpu")))
    images = scorer.images()
    method.begin_epoch(state, epoch, scorer)
    return state, images


@pytest.mark.parametrize("name", ["micro-cnn-32", "micro-vit-32"])
def test_clusters_are_those_of_faiss(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of what its wrapper is built with
        faiss: Any = pytest.importorskip("faiss")
    state, images = begun(DeepClustering(centroids=6, **BRIEF), 48, name)
    start = images[torch.randperm(48, generator=torch_generator(0, "centroids", 0))[:6]]
    theirs = faiss.Kmeans(images.shape[1], 6, niter=20, spherical=True, gpu=False, min_points_per_centroid=1)
    theirs.train(images.numpy(), init_centroids=start.numpy())
    torch.testing.assert_close(state.centroids, torch.from_numpy(theirs.centroids), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["micro-cnn-32", "micro-vit-32"])
def test_the_loss_is_the_cross_entropy_with_the_nearest_centroid(name: str) -> None:
    method = DeepClustering(centroids=5, deep_clustering_weight=2.5, **BRIEF)
    state, _ = begun(method, 32, name)
    (this,) = method.passes(state, 0)
    data = tiny.data(32)
    batch = next(batches(data, state.model.tokenize, this, batch_size=8, seed=0, epoch=0))
    features = this.encode(state, batch)
    terms = method.loss(state, features, batch)
    assert list(terms) == ["contrastive", "in_modal_image", "in_modal_text", "deep_clustering"]
    expected = []
    for row in features.images[0].own:  # the picture itself, not its view
        cosines = [float(row.detach() @ centroid) for centroid in state.centroids]
        logits = state.head.weight @ row + state.head.bias
        expected.append(-F.log_softmax(logits, dim=0)[cosines.index(max(cosines))])
    torch.testing.assert_close(terms["deep_clustering"], 2.5 * torch.stack(expected).mean())
    plain = CleanCLIP(**BRIEF).loss(state, features, batch)
    assert all(torch.equal(terms[name], plain[name]) for name in plain)
    torch.autograd.backward(terms["deep_clustering"])
    assert all(weights.grad is not None and weights.grad.any() for weights in state.head.parameters())
    trained = {key for key, weights in state.model.named_parameters() if weights.grad is not None}
    assert trained
    assert all("visual" in key for key in trained)


def test_without_a_weight_it_is_cleanclip() -> None:
    models = []
    for method in (DeepClustering(deep_clustering_weight=0.0, **BRIEF), CleanCLIP(**BRIEF)):
        model = tiny.clip()
        train(method, model, tiny.data(32), seed=0)
        models.append(dict(model.state_dict()))
    assert tiny.same(*models)


def test_with_a_weight_it_is_not_and_the_head_learns() -> None:
    model, other = tiny.clip(), tiny.clip()
    train(CleanCLIP(**BRIEF), model, tiny.data(32), seed=0)
    train(DeepClustering(centroids=5, **BRIEF), other, tiny.data(32), seed=0)
    assert not tiny.same(dict(model.state_dict()), dict(other.state_dict()))


def test_each_epoch_has_a_new_head_and_new_centroids_and_the_optimizer_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.optim.AdamW] = []
    seen: list[tuple[Tensor, Tensor, float]] = []

    def kept(*given: Any) -> torch.optim.AdamW:
        made.append(adamw(*given))
        return made[-1]

    inner = Stepper.__call__

    def step(self: Stepper, this: Any, batch: Any, number: int) -> Any:
        state: Any = self.state
        before = state.head.weight.detach().clone(), state.centroids.clone()
        found = inner(self, this, batch, number)
        seen.append((*before, float(self.optimizer.state[state.head.weight]["step"])))
        return found

    monkeypatch.setattr("bezoar.training.loop.adamw", kept)
    monkeypatch.setattr(Stepper, "__call__", step)
    pauses: list[Pause] = []
    train(DeepClustering(centroids=5, **BRIEF), tiny.clip(), tiny.data(32), seed=0, on_pause=pauses.append)
    heads, centroids, counted = zip(*seen, strict=True)
    assert counted == (1, 2, 3, 4, 1, 2, 3, 4)
    for first in (heads[0], heads[4]):  # as it is begun
        assert first.std().item() == pytest.approx(0.01, rel=0.2)
        assert first.abs().max() < 0.06
    assert not torch.equal(heads[0], heads[4])
    assert torch.equal(centroids[0], centroids[3])
    assert not torch.equal(centroids[0], centroids[4])
    (optimizer,) = made
    assert [group["name"] for group in optimizer.param_groups] == ["decayed", "plain"]
    everything = [one for group in optimizer.param_groups for one in group["params"]]
    assert len(everything) == len(list(pauses[-1].state.parameters()))


@pytest.mark.parametrize("after", [0, 3, 4, 6])
def test_a_killed_training_goes_on_with_the_same_bits(after: int, tmp_path: Path) -> None:
    method = DeepClustering(centroids=5, **BRIEF)
    whole = run(method, tmp_path / "whole")
    broken(method, tmp_path / "broken", after)
    assert equal(run(method, tmp_path / "broken"), whole)


def test_more_clusters_than_images() -> None:
    said = "method.centroids: 1000 clusters are more than the 32 images there are"
    with pytest.raises(ValueError, match=said):
        train(DeepClustering(**BRIEF), tiny.clip(), tiny.data(32), seed=0)
    with pytest.raises(ValueError, match=r"stages\.a\.method\.centroids: 33 clusters are more than the 32 images"):
        check_pairs(DeepClustering(centroids=33), tiny.data(32).pairs, "stages.a.method")
    check_pairs(DeepClustering(centroids=32), tiny.data(32).pairs)
    check_pairs(DeepClustering(deep_clustering_weight=0.0), tiny.data(32).pairs)


def test_captions_of_one_picture_are_one_image() -> None:
    class Fives(Album):
        pictures = 4

        def picture(self, index: int) -> int:
            return index // 5

        def first(self, picture: int) -> int:
            return 5 * picture

    pairs = Fives([f"caption {index}" for index in range(20)])
    check_pairs(DeepClustering(centroids=4), pairs)
    with pytest.raises(ValueError, match="5 clusters are more than the 4 images"):
        check_pairs(DeepClustering(centroids=5), pairs)


def test_more_clusters_than_images_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    plain = tiny.experiment()
    plain["stages"][2]["method"] = dump(DeepClustering(centroids=17, **BRIEF))
    with pytest.raises(ValueError, match=r"stages\.cleanclip\.method\.centroids: 17 clusters are more than the 16 im"):
        run_experiment(parse(plain), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_golden_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """640 pairs in 20 clusters: 10 batches an epoch, so that the second has a new head."""
    method = DeepClustering(
        epochs=2, batch_size=64, lr=1e-4, warmup_steps=5, precision="fp32", centroids=20, caption_view=EDA
    )  # fmt: skip
    tiny.golden("deep_clustering", method, monkeypatch)
