"""Spherical k-means of deep clustering against faiss: the same features, first centroids, rounds and threads."""

from __future__ import annotations

import argparse
import time

COUNT, WIDTH, CENTROIDS = 20_000, 1024, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    import faiss
    import torch
    from torch.nn import functional as F

    from bezoar.training.spherical_k_means import spherical_k_means

    torch.set_num_threads(given.threads)
    faiss.omp_set_num_threads(given.threads)
    features = F.normalize(torch.randn(COUNT, WIDTH, generator=torch.Generator().manual_seed(0)), dim=1)
    start = features[:CENTROIDS].clone()
    theirs = faiss.Kmeans(
        WIDTH, CENTROIDS, niter=given.rounds, spherical=True, max_points_per_centroid=COUNT, min_points_per_centroid=1
    )
    began = time.process_time()
    theirs.train(features.numpy(), init_centroids=start.numpy())
    faiss_took = time.process_time() - began
    began = time.process_time()
    ours = spherical_k_means(features, start, given.rounds)
    took = time.process_time() - began
    apart = float((ours.cpu() - torch.from_numpy(theirs.centroids)).abs().max())
    print(f"{COUNT:,} features of {WIDTH:,}, {CENTROIDS:,} centroids, {given.rounds} rounds, {given.threads} threads")
    print(f"ours {took:.2f} s of processor, faiss {faiss_took:.2f} s, ratio {took / faiss_took:.2f}; apart {apart:.1e}")


if __name__ == "__main__":
    main()
