"""Linear probe by logistic regression (Radford et al. 2021, §3.2, A.3): what the image features tell of classes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.probing import Fitted, Probe
from bezoar.training.method import Count, Positive

if TYPE_CHECKING:
    from torch import Tensor


@settings
class LinearProbe(Probe):
    """``linear_probe_accuracy_topK`` and ``linear_probe_asr_topK``: multinomial logistic regression by L-BFGS.

    The defaults are those of CLIP's published example. The paper takes features before the projection and chooses
    ``c`` for each data set; here they are those after it, which all towers have.
    """

    kind: ClassVar[str] = "linear_probe"
    c: Positive = 0.316
    """Inverse strength of the L2 penalty on the weights, scikit-learn's ``C``; biases have none."""
    iterations: Count = 1000
    """Of L-BFGS at most; where they do not suffice it is said."""

    def fit(self, features: Tensor, labels: Tensor, classes: int) -> Fitted:
        import warnings

        import torch
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        # Threads of torch's number: bits depend on it, and a stage has no more.
        with warnings.catch_warnings(), threadpool_limits(torch.get_num_threads()):
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # few pictures of each
            found = LogisticRegression(C=self.c, max_iter=self.iterations)
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
