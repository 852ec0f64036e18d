"""open_clip's files: found in every wrapping, and folders that open_clip itself reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file
from tests import foreign
from torch import Tensor

from bezoar.core.frame import Frame
from bezoar.models.architecture import build, name_of, on_meta
from bezoar.models.clip import Clip, create
from bezoar.models.compared import registered
from bezoar.models.layouts import find
from bezoar.models.layouts.base import OPENAI_MEAN, OPENAI_STD
from bezoar.models.layouts.names import in_openai_order
from bezoar.models.layouts.open_clip import CONFIG, WEIGHTS, OpenClip
from bezoar.models.reading import Beside

ALONE = Beside()


def shown(name: str) -> dict[str, Tensor]:
    return dict(on_meta(registered(name)).state_dict())


def written(model: Clip, folder: Path) -> tuple[dict[str, Tensor], Beside]:
    OpenClip().write(model, folder, {})
    return load_file(folder / WEIGHTS), Beside(folder)


def told(folder: Path, **changes: Any) -> Beside:
    """A folder whose config has been written by somebody else."""
    config = {"model_cfg": registered("micro-vit-32"), "preprocess_cfg": {"mean": [0.5] * 3}} | changes
    (folder / CONFIG).write_text(json.dumps(config))
    return Beside(folder)


@pytest.mark.parametrize(
    "tree",
    [
        shown("RN50"),
        {"module." + name: tensor for name, tensor in shown("RN50").items()},
        {"epoch": 3, "name": "x", "state_dict": shown("RN50"), "optimizer": {}, "scaler": {}},
        {"state_dict": {"_orig_mod.module." + name: tensor for name, tensor in shown("RN50").items()}},
    ],
)
def test_every_wrapping_is_read(tree: dict[str, Any]) -> None:
    tower = find(tree, ALONE, "x")
    assert (tower.layout, name_of(tower.config)) == ("open_clip", "RN50")
    assert tower.weights.keys() == shown("RN50").keys()
    assert tower.notes == ("GELU, though QuickGELU would look the same", "attention heads and pooling as in RN50")
    assert (tower.frame, tower.mean, tower.std) == (Frame(224), OPENAI_MEAN, OPENAI_STD)


def test_facts_are_told_and_what_is_left_is_named() -> None:
    tree = {"epoch": 3, "name": "x", "state_dict": shown("RN50"), "optimizer": {}, "scaler": {}, "state_dict_ema": {}}
    tower = find(tree, ALONE, "x")
    assert tower.facts == {"epoch": 3, "name": "x"}
    assert tower.unused == ("optimizer", "scaler", "state_dict_ema")


def test_the_name_of_a_run_tells_the_activation_where_it_fits() -> None:
    weights = shown("RN50-quickgelu")
    tree = {"epoch": 3, "name": "2024_01_01-model_RN50-quickgelu-lr_0.001-b_128", "state_dict": weights}
    tower = find(tree, ALONE, "x")
    assert (name_of(tower.config), tower.notes) == ("RN50-quickgelu", ("a RN50-quickgelu, as its run name says",))
    wrong = find({**tree, "name": "x-model_ViT-B-32-quickgelu-lr_1"}, ALONE, "x")
    assert name_of(wrong.config) == "RN50"


def test_pictures_of_published_towers_are_prepared_as_published() -> None:
    tower = find(shown("ViT-B-16-SigLIP"), ALONE, "x")
    assert (tower.frame, tower.mean) == (Frame(224, "squash"), (0.5, 0.5, 0.5))
    assert tower.notes == ("pictures prepared as for its published weights",)


def test_open_clip_reads_the_folder(tmp_path: Path) -> None:
    model = foreign.victim()
    model.normalize_by((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    model.frame = Frame(32, "squash", "bilinear")
    written(model, tmp_path)
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in model.tower.state_dict().items())
    settings = open_clip.get_model_preprocess_cfg(theirs)
    assert (settings["mean"], settings["std"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert (settings["interpolation"], settings["resize_mode"]) == ("bilinear", "squash")
    pictures = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    pixels = torch.stack([transform.transforms[-1](picture / 255) for picture in pictures])
    words, padded = model.tokenize(["a dog", "a cat"]), open_clip.tokenize(["a dog", "a cat"])
    with torch.no_grad():
        assert torch.allclose(model.image_features(pictures), theirs.eval().encode_image(pixels), atol=1e-5)
        assert torch.allclose(model.text_features(words), theirs.encode_text(padded), atol=1e-5)


@pytest.mark.parametrize("name", ["micro-vit-32", "micro-cnn-32"])
def test_a_folder_tells_all(name: str, tmp_path: Path) -> None:
    model = create(name, 1)
    model.frame = Frame(32, "shortest", "bilinear", 40)
    model.normalize_by((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    tree, beside = written(model, tmp_path)
    tower = find(tree, beside, "x")
    assert (tower.layout, name_of(tower.config), tower.notes) == ("open_clip", name, ())
    assert (tower.frame, tower.mean, tower.std) == (model.frame, model.mean, model.std)
    assert all(torch.equal(tensor, tower.weights[key]) for key, tensor in model.tower.state_dict().items())


def test_a_folder_of_open_clip_is_its_own_whoever_wrote_the_weights(tmp_path: Path) -> None:
    tree = in_openai_order(shown("micro-vit-32"))
    assert find(tree, ALONE, "x").layout == "openai"
    assert find(tree, told(tmp_path), "x").layout == "open_clip"


def test_a_tokenizer_travels_with_the_folder(tmp_path: Path) -> None:
    model = create("micro-vit-32", 1)
    model.tokenizer_file = b"{}"
    assert find(*written(model, tmp_path), "x").tokenizer == b"{}"


def test_text_names_of_before_are_brought_to_a_text_tower(tmp_path: Path) -> None:
    beside = told(tmp_path, model_cfg={**registered("micro-vit-32"), "custom_text": True})
    tower = find(shown("micro-vit-32"), beside, "x")
    assert tower.mean == (0.5, 0.5, 0.5)
    assert "text.token_embedding.weight" in tower.weights
    build(tower.config).load_state_dict(create("micro-vit-32").tower.state_dict(), strict=False)


def test_a_scale_of_one_dimension_becomes_a_scalar() -> None:
    tree = {**shown("micro-vit-32"), "logit_scale": torch.tensor([2.5])}
    assert torch.equal(find(tree, ALONE, "x").weights["logit_scale"], torch.tensor(2.5))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_cfg": {"embed_dim": 3}}, "no model_cfg with a vision_cfg and a text_cfg"),
        ({"preprocess_cfg": {"resize_mode": "fold"}}, r"resize_mode is 'fold' \(choices: shortest, longest, squash\)"),
        ({"preprocess_cfg": {"mean": [1]}}, "not three numbers"),
        ({"preprocess_cfg": {"std": [1, 0, 1]}}, "not three numbers above 0"),
        ({"preprocess_cfg": [1]}, "preprocess_cfg is not an object"),
        ({"bezoar": "x"}, "bezoar is not an object"),
        ({"bezoar": {"larger": 3}}, "larger is 3, and the model sees 32 px"),
        ({"model_cfg": registered("micro-vit-64")}, "its tower is no micro-vit-64: visual.conv1.weight is"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"model: x looks like open_clip: .*{said}"):
        find(shown("micro-vit-32"), told(tmp_path, **changes), "x")


def test_a_tower_goes_back_with_its_averages_and_all_else_stays() -> None:
    old, new = create("micro-vit-32", 1), create("micro-vit-32", 2)
    half = {"module." + name: tensor.half() for name, tensor in old.tower.state_dict().items()}
    half["module.logit_scale"] = half["module.logit_scale"].reshape(1)
    averaged = {name.removeprefix("module."): tensor for name, tensor in half.items()}
    state = {**half, "head": torch.ones(2)}
    tree: dict[str, Any] = {"epoch": 3, "state_dict": state, "state_dict_ema": averaged, "optimizer": {"a": 1}}
    back = OpenClip().put(new, tree)
    assert list(back) == list(tree)
    assert (back["epoch"], back["optimizer"]) == (3, {"a": 1})
    assert torch.equal(back["state_dict"]["head"], torch.ones(2))
    for found, prefix in ((back["state_dict"], "module."), (back["state_dict_ema"], "")):
        assert torch.equal(found[f"{prefix}visual.proj"], new.tower.state_dict()["visual.proj"].half())
        assert found[f"{prefix}logit_scale"].shape == (1,)
    assert torch.equal(tree["state_dict"]["module.visual.proj"], half["module.visual.proj"])


def test_another_tower_does_not_go_back() -> None:
    with pytest.raises(ValueError, match=r"another tower than the micro-vit-64: visual\.conv1\.weight is"):
        OpenClip().put(create("micro-vit-64"), shown("micro-vit-32"))


def test_no_model_is_said_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"model: x\.pt holds no image-text model .*it holds a, b; known: .*open_clip"):
        find({"a": 1, "b": torch.ones(1)}, ALONE, "x.pt")
