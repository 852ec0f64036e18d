"""Hugging Face's SiglipModel in and back: bit-equal weights, equal features, or one line that says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import hf
from torch import Tensor
from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel

from bezoar.core.frame import Frame
from bezoar.models import architecture
from bezoar.models.checkpoint import save
from bezoar.models.clip import Clip, create
from bezoar.models.layouts.base import Tower
from bezoar.models.layouts.hf_siglip import HfSiglip
from bezoar.models.opening import load_model
from bezoar.models.reading import Beside
from bezoar.models.tokenizer import SmallTokenizer, Tokenizer, build

offline = hf.offline

CAPTIONS = ["a dog", "Two cats, on THE roof!", "", "a_dog's <pad>", "dog " * 90]
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def theirs() -> SiglipModel:
    return hf.siglip()


@pytest.fixture
def folder(theirs: SiglipModel, tmp_path: Path) -> Path:
    return hf.folder(theirs, tmp_path / "theirs")


def found(tree: dict[str, Tensor], beside: Beside) -> Tower:
    tower = HfSiglip().find(dict(tree), beside)
    assert tower is not None
    return tower


def refused(tree: dict[str, Any], beside: Beside) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        HfSiglip().find(dict(tree), beside)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tokenizer_of(folder: Path) -> Tokenizer:
    content = found(hf.weights(folder), Beside(folder)).tokenizer
    assert content is not None
    return build("micro-siglip-32", 4096, 40, False, content)


def assert_same_features(model: Clip, other: SiglipModel) -> None:
    size = model.image_size
    images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    tokens = model.tokenize(CAPTIONS)
    with torch.no_grad():
        pixels = (images - model.shift) / model.spread
        image = other.get_image_features(pixel_values=pixels).pooler_output
        text = other.get_text_features(input_ids=tokens).pooler_output
        assert image.std() > 0.01
        assert torch.allclose(model.image_features(images), image, atol=1e-5)
        assert torch.allclose(model.text_features(tokens), text, atol=1e-5)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert (tensor.dtype, tensor.shape) == (other[name].dtype, other[name].shape), name
        assert torch.equal(tensor, other[name]), name


def test_a_folder_of_theirs_has_their_features(theirs: SiglipModel, folder: Path) -> None:
    model = load_model(folder).eval()
    assert model.architecture == "micro-siglip-32"
    assert (model.frame, model.mean, model.std) == (Frame(32, "squash"), HALF, HALF)
    assert isinstance(model.tokenize.engine, SmallTokenizer)
    assert_same_features(model, theirs)
    assert model.scale.item() == pytest.approx(theirs.logit_scale.exp().item())
    assert model.tower.logit_bias.item() == pytest.approx(theirs.logit_bias.item())  # type: ignore[operator]


def test_its_text_tower_may_be_of_another_make(tmp_path: Path) -> None:
    """Norms, activation and inner width of the text tower are free; those of the image tower are timm's."""
    other = hf.siglip({"layer_norm_eps": 1e-2, "hidden_act": "gelu", "intermediate_size": 100})
    model = load_model(hf.folder(other, tmp_path / "theirs")).eval()
    assert model.config is not None
    assert_same_features(model, other)


def test_there_and_back_every_bit_is_the_same(folder: Path) -> None:
    model, tree = load_model(folder), hf.weights(folder)
    blank = {name: torch.zeros_like(tensor) for name, tensor in tree.items()}
    assert tree["logit_scale"].shape == (1,)
    assert_same(HfSiglip().put(model, blank), tree)
    half = {name: tensor.half() for name, tensor in tree.items()}
    assert_same(HfSiglip().put(model, half), half)


def test_another_tower_is_not_put_back(folder: Path) -> None:
    model = load_model(folder)
    with pytest.raises(ValueError, match=r"no place for text\.transformer\.resblocks\.1\."):
        HfSiglip().put(model, hf.siglip({"num_hidden_layers": 1}).state_dict())
    with pytest.raises(ValueError, match=r"it has no visual\.trunk\.|it has no logit_bias"):
        HfSiglip().put(create("micro-vit-32"), hf.weights(folder))


@pytest.mark.parametrize(
    ("text", "vision", "trunk", "name"),
    [
        ({}, {}, "bezoar_vit_base_patch16_siglip_224_tanh", None),
        ({"hidden_act": "gelu"}, {"hidden_act": "gelu"}, "vit_base_patch16_siglip_224", "ViT-B-16-SigLIP"),
        (
            {"vocab_size": 256_000}, {"patch_size": 32, "image_size": 256}, "vit_base_patch32_siglip_256",
            "ViT-B-32-SigLIP2-256",
        ),
        (
            {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304},
            {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304,
             "patch_size": 14, "image_size": 384},
            "bezoar_vit_so400m_patch14_siglip_384_tanh", None,
        ),
        (
            {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304,
             "projection_size": 1536, "vocab_size": 256_000},
            {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 16, "intermediate_size": 6144,
             "image_size": 256},
            "vit_giantopt_patch16_siglip_256", "ViT-gopt-16-SigLIP2-256",
        ),
    ],
    ids=["base", "base-gelu", "base-32", "so400m", "giantopt"],
)  # fmt: skip
def test_released_sizes_fit_their_towers(
    text: dict[str, Any], vision: dict[str, Any], trunk: str, name: str | None, tmp_path: Path
) -> None:
    """Names and shapes, without the memory."""
    with torch.device("meta"):
        other = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "siglip", "text_config": text, "vision_config": vision})
    )
    tree = other.state_dict()
    assert "its tokenizer.json is not beside it" in refused(tree, Beside(tmp_path))
    (tmp_path / "tokenizer.json").write_text(hf.pieces())
    tower = found(tree, Beside(tmp_path))
    assert tower.config["vision_cfg"]["timm_model_name"] == trunk
    architecture.check(tower.weights, tower.config)
    built: Any = architecture.on_meta(tower.config)
    exact = vision.get("hidden_act") == "gelu"
    assert built.visual.trunk.blocks[0].mlp.act.__class__.__name__ == ("GELU" if exact else "GELUTanh")
    assert architecture.name_of(tower.config) == name
    assert ("captions without punctuation, as in open_clip" in tower.notes) is (text.get("vocab_size") == 256_000)


# ---- its files


def test_preprocessing_is_read(theirs: SiglipModel, folder: Path) -> None:
    tower = found(hf.weights(folder), Beside(folder))
    assert "SigLIP's preprocessing" in tower.notes
    SiglipImageProcessor(size={"height": 32, "width": 32}, resample=2, image_mean=[0.4] * 3).save_pretrained(folder)
    tower = found(hf.weights(folder), Beside(folder))
    assert (tower.frame, tower.mean, tower.std) == (Frame(32, "squash", "bilinear"), (0.4, 0.4, 0.4), HALF)
    assert "SigLIP's preprocessing" not in tower.notes
    SiglipImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    assert "pictures are 64 px, and the tower sees 32 px" in refused(hf.weights(folder), Beside(folder))


@pytest.mark.parametrize("template", [True, False])
def test_its_tokenizer_writes_what_theirs_writes(template: bool, folder: Path) -> None:
    """Also where the end of the text stands only in the settings of the tokenizer, as with SigLIP 2."""
    (folder / "tokenizer.json").write_text(hf.pieces())
    kind: Any = PreTrainedTokenizerFast
    other = kind(tokenizer_file=str(folder / "tokenizer.json"), pad_token="</s>")
    if not template:
        (folder / "tokenizer.json").write_text(hf.pieces(ends=False))
        hf.change(folder, "tokenizer_config.json", add_bos_token=False, add_eos_token=True, eos_token="</s>")
    hf.change(folder, "tokenizer_config.json", pad_token={"content": "</s>"})
    tokenize = tokenizer_of(folder)
    clean = ["a dog", "two cats on the roof", "", "a dogs pad", "dog " * 90]
    given = other(clean, padding="max_length", max_length=40, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(tokenize(CAPTIONS), given)
    assert given[0].tolist()[:5] == [3, 4, 1, 1, 1]
    assert given[4].tolist() == [4] * 39 + [1]


def test_another_padding_is_theirs(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(hf.pieces())
    hf.change(folder, "tokenizer_config.json", pad_token="<pad>")
    assert tokenizer_of(folder)(["a dog"])[0].tolist() == [3, 4, 1, *[0] * 37]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("tokenizer_config.json", {"pad_token": "<nothing>"}, "pad_token is '<nothing>', which tokenizer.json has not"),
        ("tokenizer_config.json", {"add_eos_token": True}, "eos_token is None, which tokenizer.json has not"),
        ("tokenizer.json", {"model": {"vocab": [1, 2]}}, "tokenizer.json is not laid out as a tokenizer"),
        ("tokenizer.json", {"model": []}, "tokenizer.json is not laid out as a tokenizer"),
    ],
)
def test_a_tokenizer_that_contradicts_itself_is_refused(
    file: str, content: dict[str, Any], said: str, folder: Path
) -> None:
    (folder / "tokenizer.json").write_text(hf.pieces())
    if file == "tokenizer.json":
        content = {"added_tokens": [3], **content}
    (folder / file).write_text(json.dumps(content))
    assert said in refused(hf.weights(folder), Beside(folder))


def test_a_tokenizer_of_another_size_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(hf.pieces(5000))
    with pytest.raises(ValueError, match=r"does not fit the vocabulary: it has 5,000 tokens, the model 4,096$"):
        tokenizer_of(folder)


# ---- what is refused


@pytest.mark.parametrize(
    ("side", "changes", "said"),
    [
        ("vision_config", {"hidden_size": 256}, "no SigLIP was released with an image tower of width 256, 4 layers"),
        ("vision_config", {"hidden_act": "gelu"}, "patches of 4 px in 32 px, gelu and layer_norm_eps 1e-06"),
        ("vision_config", {"layer_norm_eps": 1e-5}, "gelu_pytorch_tanh and layer_norm_eps 1e-05"),
        ("vision_config", {"num_hidden_layers": 5}, "128, 5 layers"),
        ("text_config", {"hidden_act": "quick_gelu"}, "hidden_act is 'quick_gelu' (choices: gelu, gelu_pytorch_tanh)"),
        ("text_config", {"vocab_size": 4097}, "text_config.vocab_size is 4097, and the weights show 4096"),
        ("text_config", {"intermediate_size": 1 << 40}, "intermediate_size is 1099511627776, and the weights show 256"),
        ("text_config", {"num_attention_heads": 3}, "3 attention heads, which do not part a width of 64"),
    ],
)
def test_a_config_that_cannot_be_done_is_refused(side: str, changes: dict[str, Any], said: str, folder: Path) -> None:
    hf.change_side(folder, side, **changes)
    assert said in refused(hf.weights(folder), Beside(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tree: {n: t for n, t in tree.items() if not n.startswith("vision")}, "the text tower of a SiglipModel"),
        (lambda tree: {n: t for n, t in tree.items() if not n.startswith("text")}, "the image tower of a SiglipModel"),
        (lambda tree: {n: t for n, t in tree.items() if ".head." not in n}, "neither the pooling head nor"),
        (lambda tree: {n: t for n, t in tree.items() if n != "logit_bias"}, "it has no logit_bias"),
        (lambda tree: tree | {"text_model.encoder.layers.9876543210.x": torch.ones(1)}, "it has no text_model.encoder"),
        (lambda tree: {n: t for n, t in tree.items() if "text_model.encoder" not in n}, "mlp.c_fc.weight under any"),
        (lambda tree: tree | {"text_model.more": torch.ones(1)}, "text_model.more, which a SiglipModel has not"),
        (lambda tree: tree | {"text_model.embeddings.token_embedding.weight": torch.ones(3)}, "is (3,): 2 dimensions"),
        (lambda tree: tree | {"vision_model.head.attention.in_proj_bias": torch.ones(385)}, "that does not part"),
        (lambda tree: tree | {"vision_model.head.attention.in_proj_bias": torch.ones(())}, "that does not part"),
    ],
)
def test_weights_that_are_no_whole_siglip_are_refused(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], said: str, folder: Path
) -> None:
    assert said in refused(change(hf.weights(folder)), Beside(folder))


def test_pictures_of_any_proportions_are_refused(folder: Path) -> None:
    tree = hf.weights(folder)
    tree["vision_model.embeddings.patch_embedding.weight"] = torch.ones(128, 48)
    assert "NaFlex" in refused(tree, Beside())
    hf.change(folder, "config.json", model_type="siglip2")
    assert "NaFlex" in refused(hf.weights(folder), Beside(folder))


def test_relatives_and_lone_weights_are_refused(folder: Path) -> None:
    assert "its config.json is not beside it" in refused(hf.weights(folder), Beside())
    hf.change(folder, "config.json", model_type="siglip_vision_model")
    assert "one tower alone (siglip_vision_model)" in refused(hf.weights(folder), Beside(folder))
    hf.change(folder, "config.json", model_type="other")
    assert "'other', not a SiglipModel" in refused(hf.weights(folder), Beside(folder))


def test_what_is_laid_out_otherwise_is_left_to_others() -> None:
    assert HfSiglip().find({"visual.trunk.norm.weight": torch.ones(2)}, Beside()) is None
    assert HfSiglip().find(dict(hf.clip().state_dict()), Beside()) is None


def test_one_is_not_written_but_put_back(tmp_path: Path) -> None:
    model = create("micro-siglip-32")
    attempts: list[Callable[[], None]] = [
        lambda: HfSiglip().check(model),
        lambda: HfSiglip().write(model, tmp_path / "out", {}),
    ]
    for attempt in attempts:
        with pytest.raises(
            ValueError, match=r"^micro-siglip-32 cannot be written as a SiglipModel .* put back into one$"
        ):
            attempt()
    assert not (tmp_path / "out").exists()


def test_a_folder_read_and_kept_as_ours_writes_the_same_tokens(folder: Path, tmp_path: Path) -> None:
    """Their words are not open_clip's: without their ``tokenizer.json`` the model would read others."""
    (folder / "tokenizer.json").write_text(hf.pieces())
    read = load_model(folder).eval()
    save(read, tmp_path / "ours")
    ours = load_model(tmp_path / "ours").eval()
    expected = tokenizer_of(folder)(CAPTIONS)
    assert torch.equal(read.tokenize(CAPTIONS), expected)
    assert torch.equal(ours.tokenize(CAPTIONS), expected)
    assert ours.frame == read.frame == Frame(32, "squash")
    (tmp_path / "ours" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json is not what model\.json describes"):
        load_model(tmp_path / "ours")
