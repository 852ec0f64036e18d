"""Spherical k-means against faiss, against loops, and where it is hard: empty clusters, ties, blocks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import bezoar.training.spherical_k_means
from bezoar.training.spherical_k_means import nearest, spherical_k_means


def directions(count: int, width: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def clumps(count: int, width: int, groups: int, seed: int = 0) -> Tensor:
    """Directions around some others."""
    middles = directions(groups, width, seed + 1)
    return F.normalize(middles.repeat(-(-count // groups), 1)[:count] + 0.1 * directions(count, width, seed), dim=1)


def by_loops(rows: Tensor, start: Tensor, iterations: int) -> Tensor:
    centroids = [one / one.norm() for one in start.double()]
    points = list(rows.double())
    for _ in range(iterations):
        cosines = [[float(point @ one) for one in centroids] for point in points]
        own = [row.index(max(row)) for row in cosines]
        strange = sorted(range(len(points)), key=lambda i: cosines[i][own[i]])
        made = []
        for cluster in range(len(centroids)):
            members = [point for point, found in zip(points, own, strict=True) if found == cluster]
            total = torch.stack(members).sum(0) if members else points[strange.pop(0)]
            made.append(total / total.norm())
        centroids = made
    return torch.stack(centroids).float()


@pytest.mark.parametrize(("count", "width", "clusters"), [(400, 16, 12), (3000, 64, 50), (60, 1024, 10)])
def test_centroids_are_those_of_faiss(count: int, width: int, clusters: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of what its wrapper is built with
        faiss: Any = pytest.importorskip("faiss")
    rows = clumps(count, width, clusters)
    start = rows[:clusters]
    theirs = faiss.Kmeans(width, clusters, niter=20, spherical=True, gpu=False, min_points_per_centroid=1)
    theirs.train(rows.numpy(), init_centroids=start.numpy())
    ours = spherical_k_means(rows, start, 20)
    torch.testing.assert_close(ours, torch.from_numpy(theirs.centroids), rtol=0, atol=1e-5)
    _, labels = theirs.index.search(rows.numpy(), 1)
    assert nearest(rows, ours).tolist() == labels.flatten().tolist()


@pytest.mark.parametrize("iterations", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_centroids_are_those_of_loops(iterations: int, seed: int) -> None:
    rows = directions(40, 5, seed)
    start = directions(7, 5, seed + 100)
    ours = spherical_k_means(rows, start, iterations)
    torch.testing.assert_close(ours, by_loops(rows, start, iterations), rtol=0, atol=1e-5)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_an_empty_cluster_takes_the_row_that_is_least_like_its_own(iterations: int) -> None:
    rows = clumps(30, 4, 3)
    start = torch.cat([rows[:3], -rows[:1], -rows[:1]])  # nothing is near the last two, and nothing nearer to the last
    ours = spherical_k_means(rows, start, iterations)
    torch.testing.assert_close(ours, by_loops(rows, start, iterations), rtol=0, atol=1e-5)
    if iterations == 1:
        strange = (rows @ F.normalize(start, dim=1).T).amax(1).argsort()[:2]
        torch.testing.assert_close(ours[3:], rows[strange])
    else:
        assert set(nearest(rows, ours).tolist()) == set(range(5))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, start = directions(101, 6), directions(9, 6, 1)
    whole, labels = spherical_k_means(rows, start, 6), nearest(rows, start)
    monkeypatch.setattr(bezoar.training.spherical_k_means, "_BLOCK", 9 * 7)
    torch.testing.assert_close(spherical_k_means(rows, start, 6), whole, rtol=0, atol=1e-6)
    assert torch.equal(nearest(rows, start), labels)
    monkeypatch.setattr(bezoar.training.spherical_k_means, "_BLOCK", 1)
    assert torch.equal(nearest(rows, start), labels)


def test_the_same_bits_each_time() -> None:
    rows, start = directions(500, 32), directions(20, 32, 1)
    assert torch.equal(spherical_k_means(rows, start, 9), spherical_k_means(rows, start, 9))


def test_length_is_one_and_what_is_given_stays_as_it_is() -> None:
    rows, start = directions(50, 8), 3 * directions(4, 8, 1)
    before = rows.clone(), start.clone()
    ours = spherical_k_means(rows, start, 3)
    torch.testing.assert_close(ours.norm(dim=1), torch.ones(4))
    assert torch.equal(rows, before[0])
    assert torch.equal(start, before[1])


def test_of_equal_centroids_the_first_is_nearest() -> None:
    axes = torch.eye(4)
    assert nearest(axes, torch.cat([axes, axes])).tolist() == [0, 1, 2, 3]
    assert nearest(axes[:1], axes[1:]).tolist() == [0]


def test_autocast_changes_nothing() -> None:
    rows, centroids = directions(64, 16), directions(40, 16, 1)
    full = nearest(rows, centroids), spherical_k_means(rows, centroids, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(rows, centroids), full[0])
        assert torch.equal(spherical_k_means(rows, centroids, 2), full[1])


def test_as_many_rows_as_centroids_and_fewer() -> None:
    rows = directions(6, 4)
    torch.testing.assert_close(spherical_k_means(rows, rows, 5), rows)
    with pytest.raises(ValueError, match="centroids: 7 are more than the 6 rows there are"):
        spherical_k_means(rows, directions(7, 4), 1)


def test_many_equal_rows_end() -> None:
    ours = spherical_k_means(directions(1, 4).repeat(20, 1), directions(3, 4, 1), 4)
    assert np.isfinite(ours.numpy()).all()
