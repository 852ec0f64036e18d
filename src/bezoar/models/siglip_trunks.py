"""SigLIP's image towers with the activation that they were trained with, registered with timm.

SigLIP (Zhai et al. 2023) was trained with the tanh form of GELU, the default of flax, and ``SiglipModel`` of Hugging
Face computes it so; most of timm's towers of these sizes have the exact form, and slightly other features.
"""

from __future__ import annotations

import timm
from timm.models import VisionTransformer, register_model

_SIZES = {768: "base", 1024: "large", 1152: "so400m", 1536: "giantopt"}
TANH = "bezoar_{}_tanh"


def trunk(width: int, patch: int, image: int, activation: str) -> str | None:
    """timm's name of the tower of this width that sees ``image`` px in patches of ``patch``; ``None`` if it has none.

    ``activation`` is Hugging Face's name: ``gelu`` or ``gelu_pytorch_tanh``.
    """
    if (width, patch, image, activation) == (128, 4, 32, "gelu_pytorch_tanh"):
        return "bezoar_micro_siglip_32"
    plain = f"vit_{_SIZES.get(width)}_patch{patch}_siglip_{image}"
    if plain not in _PLAIN:
        return None
    if activation == "gelu_pytorch_tanh":
        return plain if plain in _TANH_ALREADY else TANH.format(plain)
    return plain if activation == "gelu" and plain not in _TANH_ALREADY else None


def _with_tanh(plain: str) -> None:
    make = timm.models.model_entrypoint(plain)

    def build(pretrained: bool = False, **settings: object) -> VisionTransformer:
        assert not pretrained
        tower: VisionTransformer = make(pretrained=False, **{**settings, "act_layer": "gelu_tanh"})
        return tower

    build.__name__ = TANH.format(plain)
    register_model(build)


_PLAIN = frozenset(
    name for size in _SIZES.values() for name in timm.list_models(f"vit_{size}_patch*_siglip_*") if "_gap_" not in name
)
_TANH_ALREADY = frozenset(name for name in _PLAIN if name.startswith(("vit_giantopt", "vit_base_patch32")))
for _name in sorted(_PLAIN - _TANH_ALREADY):
    _with_tanh(_name)
