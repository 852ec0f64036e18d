"""How the towers are computed beside precision: compiled in place, and the same way every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.models.clip import Clip


def compile_towers(model: Clip) -> None:
    """Compile the image tower and the text transformer of ``model`` where they stand, at their first forward.

    The names in the state dict stay, and a copy of the model is not compiled. Captions are cut to the longest of each
    batch, so the text transformer is compiled for any length at once.

    Raises ``ValueError`` where nothing can be compiled, as without a C++ compiler on the CPU.
    """
    _try(model.device)
    tower: Any = model.tower
    tower.visual.compile()
    text = getattr(tower, "text", tower)
    # Where captions are cut, the model calls the transformer itself and not the module around it.
    inner = text.transformer if text is tower or model.cuts_captions else text
    inner.compile(dynamic=model.cuts_captions or None)


def _try(device: torch.device) -> None:
    """Raise ``ValueError`` when not even a line can be compiled: here, and not in the first step."""

    def line(x: Tensor) -> Tensor:
        return x * 2 + 1

    try:
        torch.compile(line)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler, a driver or a missing header has to say
        said = [text.strip() for text in str(error).splitlines() if text.strip() and not text.endswith("raised:")]
        reason = said[0] if said else type(error).__name__
        raise ValueError(f"compile: torch.compile does not work on this machine's {device.type}: {reason}") from error


def be_deterministic() -> None:
    """Have this process compute the same bits every time on a GPU too, which is slower; on the CPU it always does."""
    import os

    # Read when cuBLAS starts, and required by what follows.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
