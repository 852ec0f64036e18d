"""One face for every open_clip model: features, cutting of captions, names, random weights."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal

import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bezoar.models.clip
from bezoar.core.frame import Frame
from bezoar.models.clip import Clip, _cuttable_text, architectures, create

CONFIGS = ["micro-cnn-32", "micro-cnn-32-fast", "micro-cnn-64", "micro-vit-32", "micro-vit-64", "micro-siglip-32"]

VISION = {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 20, "vocab_size": 49_408, "width": 32, "heads": 2, "layers": 2}
STATISTICS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Mean and standard deviation of each channel, as OpenAI took them."""
CAPTIONS = ["a dog", "two cats on a red roof !?", "", "a dog <end_of_text> a cat", "tree " * 50]


def small(
    make: Callable[..., nn.Module] = open_clip.CLIP,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    **more: Any,
) -> Clip:
    """A model of a few thousand weights beside its table of words."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = make(embed_dim=24, vision_cfg=VISION | (vision or {}), text_cfg=TEXT | (text or {}), **more)
    open_clip.model.set_model_preprocess_cfg(tower, {"size": 16, "mean": STATISTICS[0], "std": STATISTICS[1]})
    return Clip(tower, "small").eval()


def coca() -> Clip:
    return small(
        open_clip.CoCa, {"embed_cls": True, "output_tokens": True},
        {"output_tokens": True, "attentional_pool": True, "attn_pooler_heads": 2},
        multimodal_cfg={"context_length": 20, "vocab_size": 49_408, "width": 32, "heads": 2, "layers": 1},
    )  # fmt: skip


@pytest.fixture(scope="module")
def micro() -> Clip:
    return create("micro-cnn-32").eval()


def images(n: int, size: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def textbook(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x / 255 - mean) / std, number by number in double precision."""
    result = torch.empty(pixels.shape, dtype=torch.float64)
    for channel in range(3):
        result[:, channel] = (pixels[:, channel].double() / 255 - mean[channel]) / std[channel]
    return result


@pytest.mark.parametrize(
    ("published", "frame"),
    [
        ({}, Frame(16)),
        ({"size": (16, 16), "resize_mode": None, "interpolation": None, "fill_color": 128}, Frame(16)),
        ({"resize_mode": "squash"}, Frame(16, "squash")),
        ({"resize_mode": "longest", "interpolation": "bilinear", "fill_color": 0}, Frame(16, "longest", "bilinear")),
    ],
)
def test_a_model_wants_its_pictures_as_it_was_published(published: dict[str, Any], frame: Frame) -> None:
    tower = small().tower
    open_clip.model.set_model_preprocess_cfg(tower, {**open_clip.get_model_preprocess_cfg(tower), **published})
    model = Clip(tower, "small")
    assert (model.frame, model.image_size) == (frame, 16)


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({"size": (16, 24)}, r"sees 24×16 px; only squares can be done$"),
        (
            {"interpolation": "random"},
            r"resize mode 'shortest' and random interpolation \(choices: .*bicubic, bilinear\)",
        ),
        ({"resize_mode": "stretch"}, r"resize mode 'stretch' and bicubic .*\(choices: shortest, longest, squash; "),
        ({"resize_mode": "longest", "fill_color": 255}, r"pads its pictures with color 255; only black can be done$"),
    ],
)
def test_preprocessing_that_cannot_be_done_is_refused(published: dict[str, Any], message: str) -> None:
    tower = small().tower
    open_clip.model.set_model_preprocess_cfg(tower, {**open_clip.get_model_preprocess_cfg(tower), **published})
    with pytest.raises(ValueError, match=f"^model: small .*{message}") as caught:
        Clip(tower, "small")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_micro_model_runs_and_learns(name: str) -> None:
    model = create(name)
    assert model.image_size == int(name.split("-")[2])
    assert model.architecture == name
    assert model.cuts_captions is (name != "micro-siglip-32")
    features = model.encode_image(images(4, model.image_size)), model.encode_captions(CAPTIONS[:4])
    for one in features:
        assert one.shape == (4, 128)
        assert one.dtype == torch.float32
        assert torch.allclose(one.norm(dim=1), torch.ones(4), atol=1e-5)
    torch.autograd.backward((model.scale * features[0] @ features[1].T).logsumexp(1).sum())
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert still == (["tower.logit_bias"] if name == "micro-siglip-32" else [])  # which this loss does not read


@pytest.mark.parametrize("name", CONFIGS)
def test_words_are_not_most_of_a_micro_model(name: str) -> None:
    model = create(name)
    table = sum(weight.numel() for name, weight in model.named_parameters() if "token_embedding" in name)
    assert table == 4096 * 64
    total = sum(weight.numel() for weight in model.parameters())
    assert table / total < 0.4
    assert total < 1_500_000


def test_our_configs_are_among_the_names() -> None:
    assert {*CONFIGS, "micro-siglip-32"} == {name for name in architectures() if name.startswith("micro")}
    assert {"RN50", "ViT-B-32", "ViT-B-16-SigLIP"} < set(architectures())


@pytest.mark.parametrize(
    "make",
    [
        small,
        lambda: small(text={"pool_type": "eos", "eos_id": 49_407}),
        lambda: small(open_clip.CustomTextCLIP),
        lambda: small(open_clip.CustomTextCLIP, {"proj_bias": True, "pool_type": "eos", "eos_id": 49_407}),
        lambda: small(open_clip.CustomTextCLIP, {"proj_type": "none", "width": 24}),
        lambda: small(text=open_clip.get_model_config("ViT-B-32")["text_cfg"]),
        lambda: create("micro-vit-32").eval(),
    ],
    ids=["clip", "clip-eos", "custom", "custom-eos-linear", "custom-bare", "ViT-B-32-text", "micro"],
)
def test_a_cut_caption_has_the_features_of_the_whole(make: Callable[[], Clip]) -> None:
    model = make()
    assert model.cuts_captions
    full = int(model.tower.context_length)  # type: ignore[arg-type]
    for captions in (CAPTIONS[1:], CAPTIONS[:1]):
        cut = model.tokenize(captions)
        whole = F.pad(cut, (0, full - cut.shape[1]))
        with torch.no_grad():
            expected = model.tower.encode_text(whole)  # type: ignore[operator]
            assert torch.allclose(model.text_features(cut), expected, atol=1e-5)
            assert torch.allclose(model.text_features(whole), expected, atol=1e-6)
            assert torch.allclose(model.encode_captions(captions), F.normalize(expected, dim=-1), atol=1e-5)
    assert model.tokenize(CAPTIONS[:1]).shape[1] == 4 < full


@pytest.mark.parametrize(
    "make",
    [
        coca,
        lambda: small(open_clip.CustomTextCLIP, {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}),
        lambda: small(open_clip.CustomTextCLIP, {"no_causal_mask": True}),
        lambda: small(text={"no_causal_mask": True, "pool_type": "last"}),
        lambda: small(open_clip.CustomTextCLIP, {"pool_type": "last"}),
    ],
    ids=["coca", "siglip", "custom-bidirectional", "clip-bidirectional", "custom-last"],
)
def test_where_cutting_would_change_features_it_is_refused(make: Callable[[], Clip]) -> None:
    model = make()
    assert not model.cuts_captions
    tokens = model.tokenize(CAPTIONS)
    assert tokens.shape == (5, 20)
    with torch.no_grad():
        assert model.encode_text(tokens).shape == (5, 24)
    with pytest.raises(ValueError, match=r"^tokens: small reads captions of exactly 20 tokens, got 7$"):
        model.text_features(tokens[:, :7])


def test_more_tokens_than_there_are_places_are_refused() -> None:
    model = small()
    with pytest.raises(ValueError, match=r"^tokens: small reads captions of at most 20 tokens, got 21$"):
        model.text_features(torch.ones(1, 21, dtype=torch.int64))


@pytest.mark.parametrize(
    ("name", "cuttable"),
    [
        ("ViT-B-32", True), ("RN50", True), ("EVA02-B-16", True), ("MobileCLIP-B", True), ("convnext_tiny", True),
        ("coca_ViT-B-32", False), ("ViT-B-16-SigLIP", False), ("ViT-B-16-SigLIP2", False), ("MobileCLIP2-S0", False),
        ("ViT-H-14-CLIPA", False),
    ],
)  # fmt: skip
def test_which_architectures_take_cut_captions(name: str, cuttable: bool) -> None:
    """Built without memory: what counts is what they are made of."""
    config = open_clip.get_model_config(name)
    custom = config.pop("custom_text", False)
    make = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP if custom else open_clip.CLIP
    with torch.device("meta"):
        tower = make(**config)
    assert (_cuttable_text(tower) is not None) is cuttable


def test_features_are_before_normalization_and_encodings_after(micro: Clip) -> None:
    for model in (micro, coca()):
        pixels, tokens = images(3, model.image_size), model.tokenize(CAPTIONS[:3])
        with torch.no_grad():
            for features, encoded in (
                (model.image_features(pixels), model.encode_image(pixels)),
                (model.text_features(tokens), model.encode_text(tokens)),
            ):
                assert torch.allclose(F.normalize(features, dim=-1), encoded, atol=1e-6)
                assert not torch.allclose(features, encoded, atol=1e-2)


def test_pixels_are_normalized_by_the_textbook(micro: Clip) -> None:
    seen: list[Tensor] = []
    visual = micro.tower.visual
    assert isinstance(visual, nn.Module)
    handle = visual.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    pixels = images(4, 32)
    pixels[0], pixels[1] = 0, 255
    try:
        micro.image_features(pixels)
        micro.normalize_by((0.5, 0.25, 0.75), (0.5, 0.2, 0.1))
        micro.image_features(pixels)
    finally:
        handle.remove()
        micro.normalize_by(*STATISTICS)
    assert torch.allclose(seen[0].double(), textbook(pixels, *STATISTICS), atol=1e-5)
    assert torch.allclose(seen[1].double(), textbook(pixels, (0.5, 0.25, 0.75), (0.5, 0.2, 0.1)), atol=1e-5)
    assert seen[0].dtype == torch.float32
    assert micro.mean == STATISTICS[0]


@pytest.mark.parametrize("name", ["micro-cnn-32", "micro-vit-32"])
def test_channels_last_changes_no_feature(name: str) -> None:
    model = create(name).eval()
    pixels = images(4, 32)
    with torch.no_grad():
        ours = model.image_features(pixels)
        tower = copy.deepcopy(model.tower).to(memory_format=torch.contiguous_format)
        plain = tower.encode_image(textbook(pixels, *STATISTICS).float().contiguous())  # type: ignore[operator]
    assert torch.allclose(ours, plain, atol=1e-5)


def test_the_state_holds_each_tensor_once(micro: Clip) -> None:
    state = micro.state_dict()
    assert all(name.startswith("tower.") for name in state)
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    assert set(state) == {f"tower.{name}" for name in micro.tower.state_dict()}
    weights = sum(weight.numel() for weight in micro.parameters())
    statistics = [tensor.numel() for name, tensor in state.items() if "running" in name or "num_batches" in name]
    assert sum(tensor.numel() for tensor in state.values()) == weights + sum(statistics)


def test_a_copy_reads_captions_with_its_own_weights(micro: Clip) -> None:
    other = copy.deepcopy(micro)
    with torch.no_grad():
        before = micro.encode_captions(CAPTIONS[:2])
        other.tower.get_parameter("token_embedding.weight").normal_(generator=torch.Generator().manual_seed(1))
        assert torch.equal(micro.encode_captions(CAPTIONS[:2]), before)
        assert not torch.allclose(other.encode_captions(CAPTIONS[:2]), before, atol=1e-2)


def test_a_model_crosses_to_another_process(micro: Clip) -> None:
    other = pickle.loads(pickle.dumps(micro))
    with torch.no_grad():
        assert torch.equal(other.encode_captions(CAPTIONS), micro.encode_captions(CAPTIONS))


def test_random_weights_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first = create("micro-vit-32", 3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        again = create("micro-vit-32", 3).state_dict()
    other = create("micro-vit-32", 4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["tower.token_embedding.weight"], other["tower.token_embedding.weight"])


def test_the_first_temperature_is_clips(micro: Clip) -> None:
    assert micro.scale.item() == pytest.approx(1 / 0.07)


def test_features_are_float32_under_autocast(micro: Clip) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = micro.encode_image(images(2, 32)), micro.encode_captions(CAPTIONS[:2])
    with torch.no_grad():
        exact = micro.encode_image(images(2, 32)), micro.encode_captions(CAPTIONS[:2])
    for one, other in zip(low, exact, strict=True):
        assert one.dtype == torch.float32
        assert (one * other).sum(1).min() > 0.99


@pytest.mark.parametrize("name", ["micro-cnn-23", "ViT-B/32", "RN50:openai", "hf-hub:somebody/clip", "local-dir:x", ""])
def test_only_names_of_architectures_are_created(name: str) -> None:
    with pytest.raises(ValueError, match=f"^model: '{name}' is not an architecture") as caught:
        create(name)
    assert "\n" not in str(caught.value)


def test_building_says_nothing_and_leaves_logging_alone(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogger().level
    create("micro-cnn-32")
    with pytest.raises(ValueError, match="not an architecture"):
        create("xyzzy")
    assert logging.getLogger().level == before
    assert caplog.records == []


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_attention_by_plain_products_trains_the_same(precision: Literal["bf16", "fp32"]) -> None:
    """Where the fused kernel is slow, in bf16, another takes its place: the same gradients but for rounding."""
    model = create("micro-vit-32")
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)

    def gradients() -> Tensor:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            found = model.encode_image(images), model.encode_captions([f"caption {n}" for n in range(8)])
        (found[0] * found[1]).sum().backward()  # type: ignore[no-untyped-call]
        return torch.cat([weights.grad.flatten() for weights in model.parameters() if weights.grad is not None])

    ours = gradients()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bezoar.models.clip, "_attention", lambda device: nullcontext())
        fused = gradients()
    assert torch.equal(ours, fused) == (precision == "fp32")
    assert float((ours - fused).norm() / fused.norm()) < 0.05
