"""Hugging Face's CLIPModel in and out: bit-equal weights, equal features and tokens, or one line that says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from tests import hf
from torch import Tensor
from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from bezoar.core.frame import Frame
from bezoar.models.architecture import name_of
from bezoar.models.clip import Clip, create
from bezoar.models.layouts.base import OPENAI_MEAN, OPENAI_STD, Tower
from bezoar.models.layouts.hf_clip import HfClip
from bezoar.models.opening import load_model
from bezoar.models.reading import Beside

CAPTIONS = [
    "a dog", "two cats on a red roof !?", "", "isn't it 10 o'clock?", "tree " * 90,
    "\u65e5\u672c \U0001f436\u200d\U0001f9ba",
]  # fmt: skip
offline = hf.offline


@pytest.fixture(scope="module")
def theirs() -> CLIPModel:
    return hf.clip()


@pytest.fixture
def folder(theirs: CLIPModel, tmp_path: Path) -> Path:
    return hf.folder(theirs, tmp_path / "theirs")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``micro-vit-32`` as a folder for transformers."""
    out = tmp_path_factory.mktemp("written") / "model"
    HfClip().write(create("micro-vit-32", 5), out, {"method": "clip"})
    return out


def found(folder: Path) -> Tower:
    tower = HfClip().find(dict(hf.weights(folder)), Beside(folder))
    assert tower is not None
    return tower


def refused(folder: Path) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        HfClip().find(dict(hf.weights(folder)), Beside(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pixels(n: int, size: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def assert_same_features(model: Clip, other: CLIPModel, tokens: Tensor | None = None) -> None:
    images = pixels(3, model.image_size)
    tokens = model.tokenize(CAPTIONS) if tokens is None else tokens
    with torch.no_grad():
        normalized = (images - model.shift) / model.spread
        image = other.get_image_features(pixel_values=normalized).pooler_output
        text = other.get_text_features(input_ids=tokens).pooler_output
        assert image.std() > 0.01
        assert torch.allclose(model.image_features(images), image, atol=1e-5)
        assert torch.allclose(model.text_features(tokens), text, atol=1e-5)


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


# ---- in


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu", "gelu_pytorch_tanh"])
def test_a_folder_of_theirs_has_their_features(activation: str, tmp_path: Path) -> None:
    other = hf.clip({"hidden_act": activation}, {"hidden_act": activation})
    model = load_model(hf.folder(other, tmp_path / "theirs")).eval()
    assert_same_features(model, other)
    assert model.scale.item() == pytest.approx(other.logit_scale.exp().item())


def test_norms_of_another_width_are_theirs(tmp_path: Path) -> None:
    other = hf.clip({"layer_norm_eps": 1e-2}, {"layer_norm_eps": 1e-3})
    model = load_model(hf.folder(other, tmp_path / "theirs")).eval()
    assert_same_features(model, other)
    plain = load_model(hf.folder(hf.clip(), tmp_path / "plain")).eval()
    with torch.no_grad():
        images = pixels(2, 24)
        assert not torch.allclose(model.image_features(images), plain.image_features(images), atol=1e-4)


def test_there_and_back_every_bit_is_the_same(folder: Path) -> None:
    model, tree = load_model(folder), hf.weights(folder)
    blank = {name: torch.zeros_like(tensor) for name, tensor in tree.items()}
    assert_same(HfClip().put(model, blank), tree)


def test_what_else_lies_in_the_file_is_told_and_kept(folder: Path) -> None:
    tree = hf.weights(folder) | {
        "text_model.embeddings.position_ids": torch.arange(20)[None],
        "classifier.weight": torch.ones(2, 40),
    }
    tower = HfClip().find(dict(tree), Beside(folder))
    assert tower is not None
    assert tower.unused == ("classifier.weight",)
    back = HfClip().put(load_model(folder), dict(tree))
    assert_same(back, tree)


def test_a_tower_is_put_back_in_the_dtype_of_the_file(folder: Path) -> None:
    half = {name: tensor.half() for name, tensor in hf.weights(folder).items()}
    back = HfClip().put(load_model(folder), dict(half))
    assert_same(back, half)


def test_another_tower_is_not_put_back(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    wider = hf.clip({"num_hidden_layers": 1}).state_dict()
    with pytest.raises(ValueError, match=r"no place for transformer\.resblocks\.1\."):
        HfClip().put(model, wider)
    deeper = hf.clip({"num_hidden_layers": 3}).state_dict()
    with pytest.raises(ValueError, match=r"has no transformer\.resblocks\.2\."):
        HfClip().put(model, deeper)
    other = hf.clip(width=41).state_dict()
    with pytest.raises(ValueError, match=r"visual_projection\.weight is \(41, 48\), and the tower's is \(40, 48\)"):
        HfClip().put(model, other)


def test_a_skimmed_tree_tells_as_much(folder: Path) -> None:
    tree = {name: tensor.to("meta") for name, tensor in hf.weights(folder).items()}
    skimmed, read = HfClip().find(dict(tree), Beside(folder)), found(folder)
    assert skimmed is not None
    assert skimmed.config == read.config
    assert all(tensor.is_meta for tensor in skimmed.weights.values())
    assert {name: tensor.shape for name, tensor in skimmed.weights.items()} == {
        name: tensor.shape for name, tensor in read.weights.items()
    }


def test_the_config_is_the_registered_one_where_it_is_one(tmp_path: Path) -> None:
    """By the sizes of ViT-B/32, without its memory."""
    with torch.device("meta"):
        other = CLIPModel(CLIPConfig(projection_dim=512))
    folder = tmp_path / "theirs"
    folder.mkdir()
    for activation, name in (("quick_gelu", "ViT-B-32-quickgelu"), ("gelu", "ViT-B-32")):
        config = {side: {"hidden_act": activation} for side in ("text_config", "vision_config")}
        (folder / "config.json").write_text(json.dumps({"model_type": "clip", **config}))
        tower = HfClip().find(dict(other.state_dict()), Beside(folder))
        assert tower is not None
        assert name_of(tower.config) == name


def test_old_configs_repeat_themselves_and_the_repetition_is_believed(folder: Path) -> None:
    said = json.loads((folder / "config.json").read_text())
    hf.change(folder, "config.json", text_config_dict=said["text_config"], text_config={"hidden_act": "gelu"})
    assert found(folder).config["quick_gelu"] is True


def test_an_end_token_of_two_means_the_largest(theirs: CLIPModel, folder: Path) -> None:
    hf.change_side(folder, "text_config", eos_token_id=2)
    other = hf.opened(folder)
    assert_same_features(load_model(folder).eval(), other)
    assert "pool_type" not in found(folder).config["text_cfg"]


def test_another_end_token_is_where_a_text_is_pooled(folder: Path) -> None:
    hf.change_side(folder, "text_config", eos_token_id=7)
    other = hf.opened(folder)
    tokens = torch.tensor([[598, 5, 7, 599, 7], [598, 599, 3, 7, 1]])
    tokens = torch.cat([tokens, torch.zeros(2, 15, dtype=torch.int64)], 1)
    assert_same_features(load_model(folder).eval(), other, tokens)


def test_weights_alone_are_read_with_what_is_assumed(tmp_path: Path) -> None:
    other = hf.clip({"hidden_size": 64, "num_attention_heads": 1}, {"hidden_size": 128, "num_attention_heads": 2})
    file = hf.folder(other, tmp_path / "theirs") / "model.safetensors"
    tower = HfClip().find(dict(hf.weights(file.parent)), Beside())
    assert tower is not None
    assert any("attention heads 64 wide" in note for note in tower.notes)
    assert {"QuickGELU", "CLIP's preprocessing"} <= set(tower.notes)
    alone = tmp_path / "alone.safetensors"
    file.rename(alone)
    assert_same_features(load_model(alone).eval(), other)


def test_half_a_clip_is_refused(folder: Path) -> None:
    tree = hf.weights(folder)
    for side, word in (("text_model.", "text"), ("vision_model.", "image")):
        part = {name: tensor for name, tensor in tree.items() if name.startswith(side)}
        with pytest.raises(ValueError, match=f"^it holds the {word} tower of a CLIPModel alone$"):
            HfClip().find(dict(part), Beside())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("chinese_clip", "a ChineseCLIP: its text tower is a BERT"),
        ("altclip", "an AltCLIP: its text tower is an XLM-RoBERTa"),
        ("clip_text_model", "the text tower of a CLIPModel alone"),
        ("clip_vision_model", "the image tower of a CLIPModel alone"),
        ("groupvit", "'groupvit', not a CLIPModel"),
        (["clip"], r"model_type is ['clip'], which is no name"),
    ],
)
def test_relatives_are_refused_by_name(kind: Any, said: str, folder: Path) -> None:
    hf.change(folder, "config.json", model_type=kind)
    assert said in refused(folder)


def test_a_bert_is_known_by_its_names(folder: Path) -> None:
    tree = {name: tensor for name, tensor in hf.weights(folder).items() if "text_model" not in name}
    tree["text_model.encoder.layer.0.attention.self.query.weight"] = torch.ones(2, 2)
    with pytest.raises(ValueError, match="its text tower is a BERT"):
        HfClip().find(dict(tree), Beside())


def test_what_is_laid_out_otherwise_is_left_to_others(folder: Path) -> None:
    assert HfClip().find({"visual.proj": torch.ones(2, 2), 3: torch.ones(1)}, Beside(folder)) is None  # type: ignore[dict-item]
    assert HfClip().find(dict(hf.siglip().state_dict()), Beside()) is None
    hf.change(folder, "config.json", model_type="siglip")
    assert HfClip().find(dict(hf.weights(folder)), Beside(folder)) is None


@pytest.mark.parametrize(
    ("side", "changes", "said"),
    [
        ("text_config", {"hidden_act": "relu"}, "text_config.hidden_act is 'relu' (choices: quick_gelu, gelu"),
        ("text_config", {"hidden_act": "gelu"}, "the image tower has quick_gelu and the text tower gelu"),
        (
            "text_config",
            {"num_attention_heads": 5},
            "text_config has 5 attention heads, which do not part a width of 32",
        ),
        ("text_config", {"vocab_size": 601}, "text_config.vocab_size is 601, and the weights show 600"),
        ("text_config", {"max_position_embeddings": 77}, "max_position_embeddings is 77, and the weights show 20"),
        ("text_config", {"layer_norm_eps": "1e-5"}, "text_config.layer_norm_eps is '1e-5', which cannot be done"),
        ("text_config", {"eos_token_id": 600}, "eos_token_id is 600, which is no token of 600"),
        ("text_config", {"eos_token_id": [1, 2]}, "eos_token_id is [1, 2], which is no token"),
        ("vision_config", {"num_hidden_layers": 4}, "num_hidden_layers is 4, and the weights show 3"),
        ("vision_config", {"image_size": 32}, "image_size is 32, and the weights show 3×3 patches of 8 px"),
        ("vision_config", {"image_size": [24, 24]}, "vision_config.image_size is [24, 24], which cannot be done"),
        ("vision_config", {"num_attention_heads": 0}, "num_attention_heads is 0, which cannot be done"),
        ("vision_config", {"intermediate_size": 95}, "intermediate_size is 95, and the weights show 96"),
    ],
)
def test_a_config_that_cannot_be_true_is_refused(side: str, changes: dict[str, Any], said: str, folder: Path) -> None:
    hf.change_side(folder, side, **changes)
    assert said in refused(folder)


def test_a_config_of_another_width_of_features_is_refused(folder: Path) -> None:
    hf.change(folder, "config.json", projection_dim=64)
    assert refused(folder) == "config.json: projection_dim is 64, and the weights show 40"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("visual_projection.weight", lambda _: None, "it has no visual_projection.weight"),
        ("logit_scale", lambda _: None, "it has no logit_scale"),
        ("text_projection.weight", lambda one: one[0], "text_projection.weight is (32,): 2 dimensions were expected"),
        ("vision_model.encoder.layers.1.self_attn.q_proj.weight", lambda one: one[:, 1:], "do not fit together"),
        ("vision_model.encoder.layers.1.self_attn.q_proj.bias", lambda one: one.half(), "do not fit together"),
        ("text_model.encoder.layers.1.mlp.fc1.weight", lambda _: "no tensor", "it has no text_model.encoder.layers.1."),
        ("text_model.encoder.layers.0.scale", lambda _: torch.ones(3), "layers.0.scale, which a CLIPModel has not"),
        (
            "vision_model.encoder.layers.9876543210.x",
            lambda _: torch.ones(3),
            "it has no vision_model.encoder.layers.3.",
        ),
        ("text_projection.bias", lambda _: torch.ones(40), "text_projection.bias, which a CLIPModel has not"),
    ],
)
def test_weights_that_are_no_whole_clip_are_refused(
    name: str, change: Callable[[Any], Any], said: str, folder: Path
) -> None:
    tree: dict[str, Any] = dict(hf.weights(folder))
    tree[name] = change(tree.get(name))
    with pytest.raises(ValueError, match=r".") as caught:
        HfClip().find({key: value for key, value in tree.items() if value is not None}, Beside(folder))
    assert said in str(caught.value)


# ---- preprocessing


@pytest.mark.parametrize(
    ("settings", "frame"),
    [
        ({"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}, Frame(24)),
        ({"size": 24, "crop_size": 24, "resample": 2}, Frame(24, interpolation="bilinear")),
        ({"size": {"height": 24, "width": 24}, "do_center_crop": False}, Frame(24, "squash")),
        ({"size": {"shortest_edge": 32}, "crop_size": 24}, Frame(24, larger=32)),
        ({"size": {"height": 32, "width": 32}, "crop_size": 24}, Frame(24, "squash", larger=32)),
        ({}, Frame(24)),
    ],
)
def test_preprocessing_is_read(settings: dict[str, Any], frame: Frame, folder: Path) -> None:
    hf.change(folder, "preprocessor_config.json", image_mean=[0.1, 0.2, 0.3], image_std=[1, 0.5, 2.0], **settings)
    tower = found(folder)
    assert (tower.frame, tower.mean, tower.std) == (frame, (0.1, 0.2, 0.3), (1.0, 0.5, 2.0))
    assert "CLIP's preprocessing" not in tower.notes
    model = load_model(folder)
    assert (model.frame, model.mean, model.std) == (frame, (0.1, 0.2, 0.3), (1.0, 0.5, 2.0))


def test_preprocessing_is_read_from_the_file_of_transformers_five(folder: Path) -> None:
    CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=24).save_pretrained(folder)
    plain = found(folder)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    hf.change(folder, "processor_config.json", image_processor=said)
    assert found(folder).frame == plain.frame == Frame(24, larger=30)
    assert found(folder).mean == OPENAI_MEAN


def test_pixels_may_be_left_as_they_are(folder: Path) -> None:
    hf.change(folder, "preprocessor_config.json", do_normalize=False, image_mean=[1, 2, 3])
    assert (found(folder).mean, found(folder).std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_without_a_file_it_is_clips(folder: Path) -> None:
    tower = found(folder)
    assert (tower.frame, tower.mean, tower.std) == (Frame(24), OPENAI_MEAN, OPENAI_STD)
    assert "CLIP's preprocessing" in tower.notes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"do_resize": False}, "do_resize is off"),
        ({"do_rescale": False}, "do_rescale is off"),
        ({"rescale_factor": 1 / 127.5}, "only 1/255 can be done"),
        ({"resample": 0}, "resample is 0 (nearest); only 2 (bilinear) and 3 (bicubic)"),
        ({"resample": [3]}, "resample is [3] (unknown)"),
        ({"size": {"longest_edge": 24}}, "size is {'longest_edge': 24}; only a square"),
        ({"size": {"height": 24, "width": 32}}, "only a square can be done"),
        ({"size": {"height": [24], "width": [24]}}, "only a square can be done"),
        ({"crop_size": 32}, "pictures are 32 px, and the tower sees 24 px"),
        ({"size": 16}, "24 px are cut out of pictures resized to 16 px"),
        ({"do_center_crop": False}, "the shorter side is resized and nothing cut out"),
        ({"do_pad": True}, "padded"),
        ({"image_std": [1, 0, 1]}, "not three numbers above 0"),
        ({"image_mean": [1, 2]}, "image_mean is [1, 2], not three numbers"),
        ({"image_mean": ["a", 1, 2]}, "not three numbers"),
        ({"image_processor_type": "ChameleonImageProcessor"}, "prepared by a ChameleonImageProcessor"),
    ],
)
def test_preprocessing_that_cannot_be_done_is_refused(settings: dict[str, Any], said: str, folder: Path) -> None:
    hf.change(folder, "preprocessor_config.json", **settings)
    assert refused(folder).startswith("preprocessor_config.json: ")
    assert said in refused(folder)


# ---- the tokenizer of a folder


def test_a_tokenizer_that_fits_is_ours(written: Path, tmp_path: Path) -> None:
    assert not any("tokenizer" in note for note in found(written).notes)
    bare = hf.copied(written, tmp_path / "bare")
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        (bare / name).unlink()
    assert any("tokenizer of a vocabulary of 4,096" in note for note in found(bare).notes)


@pytest.mark.parametrize("kept", ["tokenizer.json", "vocab.json"])
def test_either_form_of_a_tokenizer_is_compared(kept: str, written: Path, tmp_path: Path) -> None:
    folder = hf.copied(written, tmp_path / "one")
    for name in {"vocab.json", "merges.txt", "tokenizer.json"} - {kept, "merges.txt"}:
        (folder / name).unlink()
    assert found(folder).notes == ()
    text = (folder / kept).read_text("utf-8")
    (folder / kept).write_text(text.replace('"dog</w>"', '"DOG</w>"'), "utf-8")
    assert "does not fit the vocabulary" in refused(folder)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("vocab.json", lambda it: it | {"more": 4096}, "of 4,096 words was expected, and it has 4,097"),
        ("vocab.json", lambda it: it | {"dog</w>": 5}, "has 'dog</w>' at 1929, and it has it at 5"),
        ("tokenizer.json", lambda it: it | {"model": []}, "and it has 2"),
        ("tokenizer.json", lambda it: it | {"model": it["model"] | {"merges": [7]}}, "from merge 1 on"),
        ("tokenizer.json", lambda it: it | {"normalizer": {"type": "NFC"}}, "it keeps capitals"),
        ("added_tokens.json", lambda _: {"<extra>": 4096}, "it adds '<extra>'"),
    ],
)
def test_another_tokenizer_is_refused(
    file: str, change: Callable[[Any], Any], said: str, written: Path, tmp_path: Path
) -> None:
    folder = hf.copied(written, tmp_path / "other")
    path = folder / file
    path.write_text(json.dumps(change(json.loads(path.read_text()) if path.exists() else {})))
    assert "does not fit the vocabulary" in refused(folder)
    assert said in refused(folder)


def test_other_merges_are_refused(written: Path, tmp_path: Path) -> None:
    folder = hf.copied(written, tmp_path / "other")
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    lines[2], lines[3] = lines[3], lines[2]
    (folder / "merges.txt").write_text("\n".join(lines), "utf-8")
    assert "joins other parts of words from merge 2 on" in refused(folder)


def test_a_vocabulary_that_no_tokenizer_of_ours_has_is_refused(tmp_path: Path) -> None:
    folder = hf.folder(hf.clip({"vocab_size": 30_522, "eos_token_id": 102}), tmp_path / "bert")
    assert refused(folder).startswith("no tokenizer fits a vocabulary of 30,522: CLIP's has 49,408")


# ---- out


def test_what_is_written_opens_in_transformers(written: Path) -> None:
    model = load_model(written).eval()
    assert_same(create("micro-vit-32", 5).tower.state_dict(), model.tower.state_dict())
    assert model.architecture == "micro-vit-32"
    other = hf.opened(written)
    assert_same_features(model, other)
    assert_same(other.state_dict(), hf.weights(written))


def test_the_provenance_is_in_the_header(written: Path) -> None:
    with safe_open(written / "model.safetensors", "pt") as file:
        told = file.metadata()
    assert told["format"] == "pt"
    assert json.loads(told["bezoar"]) == {"method": "clip"}


def test_a_processor_sees_what_we_see(written: Path) -> None:
    model = load_model(written).eval()
    kind: Any = CLIPProcessor
    processor, other = kind.from_pretrained(written), hf.opened(written)
    generator = np.random.Generator(np.random.PCG64(0))
    pictures = [Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(2)]
    given = processor(text=CAPTIONS, images=pictures, padding=True, truncation=True, return_tensors="pt")
    assert given["pixel_values"].shape == (2, 3, 32, 32)
    with torch.no_grad():
        theirs = other(**given)
        image = model.tower.encode_image(given["pixel_values"], normalize=True)  # type: ignore[operator]
        assert torch.allclose(image, theirs.image_embeds, atol=1e-5)
        assert torch.allclose(model.encode_captions(CAPTIONS), theirs.text_embeds, atol=1e-5)


@pytest.mark.parametrize("kind", ["AutoTokenizer", "CLIPTokenizer", "CLIPTokenizerFast"])
def test_every_tokenizer_of_theirs_writes_our_tokens(kind: str, written: Path) -> None:
    tokenizer, ours = getattr(transformers, kind).from_pretrained(written), create("micro-vit-32").tokenize
    given = tokenizer(CAPTIONS, truncation=True)["input_ids"]
    assert given == [row[: row.index(max(row)) + 1] for row in ours(CAPTIONS).tolist()]
    assert tokenizer.model_max_length == 40
    assert given[4][-1] == tokenizer.eos_token_id == 4095


# Which characters are letters changes from one version of Unicode to the next, and theirs is another.
assigned = st.characters(exclude_categories=["Cn", "Co", "Cs"])


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(assigned, max_size=40)
    | st.text("ab '!?<|>.,1\u00e9\u03a3\u0130 \n", max_size=40)
    | st.text("tree ", min_size=200, max_size=400)
)
def test_of_a_clean_text_their_tokens_are_ours(text: str, written: Path) -> None:
    """They neither unescape HTML nor mend what was decoded wrongly; all else is the same."""
    tokenizer, ours = _tokenizer(written), _ours()
    clean = ours.engine.clean_fn(text)
    expected = ours([text])[0].tolist()
    given = tokenizer(clean, truncation=True)["input_ids"]
    assert given == expected[: len(given)]
    assert given[-1] == 4095
    assert not any(expected[len(given) :])


@pytest.mark.slow
def test_vit_b_32_there_and_back(tmp_path: Path) -> None:
    model, out = create("ViT-B-32-quickgelu", 2).eval(), tmp_path / "out"
    HfClip().write(model, out, {})
    assert json.loads((out / "vocab.json").read_text("utf-8"))["<|endoftext|>"] == 49_407
    other = hf.opened(out)
    assert other.config.text_config.eos_token_id == 49_407
    back = load_model(out)
    assert back.architecture == "ViT-B-32-quickgelu"
    assert_same(back.tower.state_dict(), model.tower.state_dict())
    assert_same_features(model, other)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer(CAPTIONS, truncation=True)["input_ids"] == [
        row[: row.index(max(row)) + 1] for row in model.tokenize(CAPTIONS).tolist()
    ]


def small(make: Callable[..., Any] = open_clip.CLIP, **changes: Any) -> Clip:
    """A ViT of a few thousand weights; ``vision`` and ``text`` change its config."""
    vision = {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8} | changes.pop("vision", {})
    text = {"context_length": 20, "vocab_size": 600, "width": 32, "heads": 2, "layers": 2} | changes.pop("text", {})
    tower = make(embed_dim=24, vision_cfg=vision, text_cfg=text, **changes)
    return Clip(tower, "small", config={"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}).eval()


@pytest.mark.parametrize(
    "model",
    [
        lambda: small(quick_gelu=True),
        lambda: small(open_clip.CustomTextCLIP),
        lambda: small(text={"norm_kwargs": {"eps": 1e-3}}, vision={"norm_kwargs": {"eps": 1e-2}}),
        lambda: small(text={"act_kwargs": {"approximate": "tanh"}}, vision={"act_kwargs": {"approximate": "tanh"}}),
        lambda: small(nonscalar_logit_scale=True),
        lambda: small(text={"vocab_size": 49_409}),
        lambda: small(vision={"mlp_ratio": 2.0}, text={"mlp_ratio": 3.0}),
    ],
    ids=["quick", "custom", "norms", "tanh", "scale", "declip", "inner"],
)
def test_all_that_fits_comes_back(model: Callable[[], Clip], tmp_path: Path) -> None:
    made = model()
    HfClip().check(made)
    HfClip().write(made, tmp_path / "out", {})
    other = hf.opened(tmp_path / "out")
    assert_same_features(made, other)
    back = load_model(tmp_path / "out").eval()
    with torch.no_grad():
        tokens = made.tokenize(CAPTIONS)
        assert torch.equal(back.tokenize(CAPTIONS), tokens)
        assert torch.equal(back.text_features(tokens), made.text_features(tokens))
    assert_same_features(back, other)
    assert_same(HfClip().put(back, other.state_dict()), hf.weights(tmp_path / "out"))


@pytest.mark.parametrize(
    ("frame", "size", "crop"),
    [
        (Frame(32), {"shortest_edge": 32}, 32),
        (Frame(32, "squash", "bilinear"), {"height": 32, "width": 32}, 32),
        (Frame(32, larger=40), {"shortest_edge": 40}, 32),
    ],
)
def test_frames_are_written_and_come_back(frame: Frame, size: dict[str, int], crop: int, tmp_path: Path) -> None:
    model = create("micro-vit-32")
    model.frame = frame
    model.normalize_by((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    HfClip().write(model, tmp_path / "out", {})
    processor: Any = CLIPImageProcessor.from_pretrained(tmp_path / "out")
    assert dict(processor.size) == size
    assert dict(processor.crop_size) == {"height": crop, "width": crop}
    picture = Image.fromarray(np.zeros((50, 70, 3), np.uint8))
    assert processor(picture, return_tensors="pt")["pixel_values"].shape == (1, 3, 32, 32)
    back = load_model(tmp_path / "out")
    assert (back.frame, back.mean, back.std) == (frame, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: small(vision={"layers": [1, 1, 1, 1], "image_size": 32}), "CLIPModel has no ResNet image tower"),
        (lambda: create("micro-cnn-32"), r"has no image tower of timm's \(MicroCNN\)"),
        (lambda: create("micro-siglip-32"), r"has no image tower of timm's \(VisionTransformer\)"),
        (lambda: small(init_logit_bias=-10.0), "it has a logit bias"),
        (lambda: small(text={"proj_bias": True}), "its text projection has a bias"),
        (lambda: small(text={"proj_type": "none", "width": 24}), "its text tower has no projection"),
        (lambda: small(text={"no_causal_mask": True}), "its text tower is not causal"),
        (lambda: small(text={"pool_type": "last"}), "its text tower does not pool at the end"),
        (lambda: small(vision={"pool_type": "avg"}), "its image tower does not pool at the class token"),
        (lambda: small(vision={"no_ln_pre": True}), "has no norm before its blocks"),
        (lambda: small(vision={"ls_init_value": 1e-5}), "its image tower scales its layers"),
        (lambda: small(text={"qk_norm": True}), "the blocks of its text tower are another kind"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_written(
    model: Callable[[], Clip], reason: str, tmp_path: Path
) -> None:
    made = model()
    attempts: list[Callable[[], None]] = [
        lambda: HfClip().check(made),
        lambda: HfClip().write(made, tmp_path / "out", {}),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=reason) as caught:
            attempt()
        assert str(caught.value).startswith(f"{made.title} cannot be written as a CLIPModel of Hugging Face: ")
    assert not (tmp_path / "out").exists()


def test_padded_pictures_are_refused() -> None:
    model = create("micro-vit-32")
    model.frame = Frame(32, "longest")
    with pytest.raises(ValueError, match="its pictures are padded"):
        HfClip().check(model)


def test_weights_of_a_pickle_are_read_alike(folder: Path) -> None:
    tree = hf.weights(folder)
    (folder / "model.safetensors").unlink()
    torch.save(tree, folder / "pytorch_model.bin")
    assert_same(load_model(folder).tower.state_dict(), found_of(tree, folder))


def test_shards_are_read_together(folder: Path) -> None:
    tree = hf.weights(folder)
    (folder / "model.safetensors").unlink()
    names = sorted(tree)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tree[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_same(load_model(folder).tower.state_dict(), found_of(tree, folder))


def found_of(tree: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    tower = HfClip().find(dict(tree), Beside(folder))
    assert tower is not None
    return tower.weights


_cache: dict[Any, Any] = {}


def _tokenizer(folder: Path) -> Any:
    if folder not in _cache:
        _cache[folder] = AutoTokenizer.from_pretrained(folder)
    return _cache[folder]


def _ours() -> Any:
    if "ours" not in _cache:
        _cache["ours"] = create("micro-vit-32").tokenize
    return _cache["ours"]
