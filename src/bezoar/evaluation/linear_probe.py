"""Linear probe by logistic regression (Radford et al. 2021, §3.2, A.3): what the image features tell of classes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.probing import Fitted, Probe
from bezoar.training.method import Count, Positive

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from torch import Tensor

STRENGTHS = (1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6)
"""From which ``c`` is chosen, as the paper's sweep begins."""
COMPARED = 100
"""Iterations of each fit that is compared, at most: of large ``c`` thousands would be needed and tell little."""


@settings
class LinearProbe(Probe):
    """``linear_probe_accuracy_topK`` and ``linear_probe_asr_topK``: multinomial logistic regression by L-BFGS.

    As in the paper ``c`` is chosen on held-out pictures: norms of features differ between models, and a given number
    would mean another penalty for each. The paper takes features before the projection; here they are those after it,
    which all towers have.
    """

    kind: ClassVar[str] = "linear_probe"
    c: Positive | None = None
    """Inverse strength of the L2 penalty on the weights, scikit-learn's ``C``; biases have none. CLIP's example: 0.316.

    By default that of ``STRENGTHS`` with the best accuracy on a random tenth of the pictures, which the fits that are
    compared have not seen; of equal ones the smallest. The classifier is then fitted to all.
    """
    iterations: Count = 1000
    """Of L-BFGS at most; where they do not suffice for the classifier it is said."""
    seed: int = 0
    """Decides the tenth."""

    def fit(self, features: Tensor, labels: Tensor, classes: int) -> Fitted:
        import warnings

        import torch
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        # Threads of torch's number: bits depend on it, and a stage has no more.
        with warnings.catch_warnings(), threadpool_limits(torch.get_num_threads()):
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few pictures of each
            found = self._regression(self._strength(features, labels) if self.c is None else self.c, self.iterations)
            found.fit(features.double().numpy(), labels.numpy())
        if found.n_iter_.max() >= self.iterations:
            logging.getLogger(__name__).warning(
                "%s.iterations: L-BFGS has not converged after %d", self.kind, self.iterations
            )
        weight = torch.zeros(classes, features.shape[1])
        bias = torch.full((classes,), -torch.inf)
        there = torch.from_numpy(found.classes_)
        slopes, offsets = (torch.from_numpy(of).float() for of in (found.coef_, found.intercept_))
        if len(there) == 2:  # of two classes it tells the second alone
            slopes, offsets = torch.cat([-slopes, slopes]), torch.cat([-offsets, offsets])
        weight[there], bias[there] = slopes, offsets
        return Fitted(weight, bias)

    def _strength(self, features: Tensor, labels: Tensor) -> float:
        """The ``c`` by which most pictures of the held-out tenth are told rightly."""
        import torch

        from bezoar.core.seeds import torch_generator

        order = torch.randperm(len(labels), generator=torch_generator(self.seed, self.kind, "held out"))
        cut = max(1, len(labels) // 10)
        rows, classes = features.double().numpy(), labels.numpy()
        held, rest = order[:cut].numpy(), order[cut:].numpy()
        if len(set(classes[rest])) < 2:
            return 1.0  # a handful of pictures: nothing can be compared
        found = self._regression(STRENGTHS[0], min(COMPARED, self.iterations))
        right = []
        for strength in STRENGTHS:
            # From the classifier before: the next one is not far.
            found.set_params(C=strength, warm_start=True)
            found.fit(rows[rest], classes[rest])
            right.append(int((found.predict(rows[held]) == classes[held]).sum()))
        return STRENGTHS[right.index(max(right))]

    def _regression(self, c: float, iterations: int) -> LogisticRegression:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=c, max_iter=iterations)
