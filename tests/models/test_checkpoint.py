"""Model folders: what was saved comes back bit by bit; what is not whole, or not ours, is one clear line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import bezoar
from bezoar.core.files import file_digest
from bezoar.models.checkpoint import CARD, SCHEMA, WEIGHTS, Card, load_weights, read_card, save
from bezoar.models.clip import Clip, create
from bezoar.models.inspecting import inspect_model
from bezoar.models.opening import load_model

NAME = "micro-vit-32"
CAPTIONS = ["a dog", "a red star !?"]


@pytest.fixture(scope="module")
def model() -> Clip:
    return create(NAME, seed=5).eval()


@pytest.fixture(scope="module")
def original(model: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    save(model, folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "model"))


def change(folder: Path, **fields: Any) -> None:
    """Write other fields into the card; ``None`` removes one."""
    card = json.loads((folder / CARD).read_text()) | fields
    (folder / CARD).write_text(json.dumps({name: value for name, value in card.items() if value is not None}))


def rewrite(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the weights and let the card agree, so that only their content is at fault."""
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)
    change(folder, weights=file_digest(folder / WEIGHTS))


def fault(folder: Path) -> str:
    with pytest.raises(ValueError, match=r"^\S") as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_weights_come_back_bit_by_bit(model: Clip, original: Path) -> None:
    loaded = load_model(str(original)).eval()
    state = model.state_dict()
    assert list(loaded.state_dict()) == list(state)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, state[name]), name
        assert tensor.dtype == state[name].dtype
    assert loaded.architecture == NAME
    with torch.no_grad():
        assert torch.equal(loaded.encode_captions(CAPTIONS), model.encode_captions(CAPTIONS))


def test_batch_statistics_and_their_count_come_back(tmp_path: Path) -> None:
    before = create("micro-cnn-32")
    before.train()
    before.image_features(torch.full((2, 3, 32, 32), 77, dtype=torch.uint8))
    save(before, tmp_path)
    after = load_model(str(tmp_path)).state_dict()
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, after[name]), name
    assert {int(tensor) for name, tensor in after.items() if "num_batches" in name} == {1}


def test_saving_twice_gives_the_same_file(model: Clip, original: Path, tmp_path: Path) -> None:
    save(model, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == (original / WEIGHTS).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", CARD, WEIGHTS]


def test_the_card_says_where_a_model_comes_from(model: Clip, tmp_path: Path) -> None:
    poison = {"attack": {"kind": "backdoor"}, "plan": "ab", "count": 3, "total": 10}
    written = save(
        model, tmp_path, method={"kind": "clip", "lr": 1e-3}, parent="feed", data="beef", poison=poison,
        training={"seed": 1, "threads": 2},
    )  # fmt: skip
    card = read_card(tmp_path)
    assert card == written
    assert (card.architecture, card.image_size, card.schema) == (NAME, 32, SCHEMA)
    assert (card.parent, card.data, card.poison) == ("feed", "beef", poison)
    assert card.method == {"kind": "clip", "lr": 1e-3}
    assert card.training == {"seed": 1, "threads": 2}
    assert card.weights == file_digest(tmp_path / WEIGHTS)
    assert card.version == bezoar.__version__
    assert (card.mean, card.std) == (model.mean, model.std)


def test_a_card_of_a_fresh_model_claims_nothing(original: Path) -> None:
    card = read_card(original)
    assert (card.method, card.parent, card.data, card.poison, card.training) == (None, None, None, None, {})


def test_another_provenance_is_a_bug(model: Clip, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(model, tmp_path, methods={})


def test_the_statistics_of_the_pixels_come_back(tmp_path: Path) -> None:
    """Of foreign weights they are not those of the architecture, and other ones would be other features."""
    before = create(NAME).eval()
    before.normalize_by((0.5, 0.4, 0.3), (0.2, 0.1, 0.3))
    save(before, tmp_path)
    after = load_model(str(tmp_path)).eval()
    assert (after.mean, after.std) == ((0.5, 0.4, 0.3), (0.2, 0.1, 0.3))
    pixels = torch.arange(3 * 32 * 32).view(1, 3, 32, 32).to(torch.uint8)
    with torch.no_grad():
        assert torch.equal(after.encode_image(pixels), before.encode_image(pixels))


def test_a_name_is_built_and_a_folder_is_read(original: Path) -> None:
    fresh, read = load_model(NAME, 7), load_model(str(original), 7)
    assert torch.equal(fresh.state_dict()["tower.ln_final.weight"], read.state_dict()["tower.ln_final.weight"])
    assert not torch.equal(
        fresh.state_dict()["tower.token_embedding.weight"], read.state_dict()["tower.token_embedding.weight"]
    )


def test_weights_without_their_card_are_taken_for_what_they_look_like(folder: Path, model: Clip) -> None:
    (folder / CARD).unlink()
    for path in (folder, folder / WEIGHTS):
        found = load_model(path)
        assert found.architecture == NAME
        assert torch.equal(found.state_dict()["tower.logit_scale"], model.state_dict()["tower.logit_scale"])
    assert "is not an architecture, a file, a folder or a hub name" in fault(folder / "nowhere")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": SCHEMA + 1}, f"one of schema {SCHEMA + 1}: this version reads {SCHEMA}"),
        ({"schema": None}, f"not a model card, or one of schema None: this version reads {SCHEMA}"),
        ({"mean": None, "weights": None}, "missing or unknown field mean, weights"),
        ({"pickle": "model.pt"}, "missing or unknown field pickle"),
        ({"mean": 0.5}, "mean: .*valid array"),
        ({"std": [1.0, 1.0]}, "std: .*at least 3 items"),
        ({"image_size": "big"}, "image_size: .*valid integer"),
        ({"architecture": 3}, "architecture: .*valid string"),
        ({"std": [1.0, 0.0, 1.0]}, "std is .*, not three numbers above 0"),
        ({"mean": [float("inf"), 0.0, 0.0]}, "mean is .*, not three numbers"),
        ({"architecture": "custom", "config": {"a": 1}}, "the model config lacks embed_dim, vision_cfg, text_cfg"),
        ({"image_size": 64}, "says image_size 64, but its tower is made for 32 px"),
    ],
)
def test_a_card_that_is_none_is_named(folder: Path, fields: dict[str, Any], message: str) -> None:
    change(folder, **fields)
    with pytest.raises(ValueError, match=message):
        load_model(str(folder))
    fault(folder)


@pytest.mark.parametrize("content", ["", "[]", "3", '{"schema": 1', "\x00", '{"a":' * 100_000])
def test_a_card_that_is_no_object_is_named(folder: Path, content: str) -> None:
    (folder / CARD).write_text(content)
    assert CARD in fault(folder)


def test_an_unknown_architecture_of_a_card_is_named(folder: Path) -> None:
    change(folder, architecture="micro-vit-33")
    with pytest.raises(ValueError, match=r"'micro-vit-33' is not an architecture.* did you mean micro-vit-32"):
        load_model(str(folder))


def test_another_architecture_is_told_by_its_weights(folder: Path) -> None:
    change(folder, architecture="micro-cnn-32")
    assert fault(folder).startswith(f"model: {folder} is not a micro-cnn-32: missing visual.")
    change(folder, architecture="micro-vit-64", image_size=64)
    assert fault(folder).endswith("visual.conv1.weight is (128, 3, 4, 4), not (128, 3, 8, 8)")


def test_no_tower_is_built_that_the_weights_do_not_fill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of a hundred bytes may name a tower of gigabytes."""
    monkeypatch.setattr("bezoar.models.checkpoint.create", pytest.fail)
    monkeypatch.setattr("bezoar.models.checkpoint.build", pytest.fail)
    change(folder, architecture="EVA02-E-14", image_size=224)
    assert fault(folder).startswith(f"model: {folder} is not a EVA02-E-14: missing ")
    big = {"embed_dim": 128, "vision_cfg": {"width": 1 << 20, "image_size": 32, "patch_size": 4}, "text_cfg": {}}
    change(folder, architecture="custom", image_size=32, config=big)
    assert fault(folder).startswith(f"model: {folder} is not a tower of its config: missing ")
    assert inspect_model(folder).faults[0].startswith(f"{folder} is not a tower of its config")


def test_weights_that_lead_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).rename(tmp_path / "elsewhere")
    (folder / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    assert "is a link that leads out of its folder" in fault(folder)


def test_weights_that_are_missing_are_named(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert f"model: {folder / WEIGHTS} cannot be read: " in fault(folder)


@pytest.mark.parametrize("kept", [0, 4, 100, 50_000, -1])
def test_truncated_weights_are_named(folder: Path, kept: int) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:kept])
    assert f"model: {folder / WEIGHTS} cannot be read: " in fault(folder)


def test_one_changed_bit_is_noticed(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1000] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    assert f"{folder / WEIGHTS} is not what {CARD} describes (digest {file_digest(folder / WEIGHTS)}, not" in fault(
        folder
    )


def test_weights_of_an_older_card_are_noticed(folder: Path) -> None:
    """As a kill between the two writes of a folder leaves them."""
    rewrite(folder, lambda tensors: tensors["logit_scale"].add_(1))
    load_model(str(folder))
    change(folder, weights="0123456789abcdef")
    assert "is not what" in fault(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("logit_scale"), "is not a micro-vit-32: missing logit_scale"),
        (lambda t: t.update(extra=torch.zeros(1)), "is not a micro-vit-32: unknown extra"),
        (lambda t: t.update(logit_scale=torch.zeros(1)), r"logit_scale is (1,), not ()"),
        (lambda t: [t.pop(name) for name in list(t)[:5]], "and 2 more"),
        (lambda t: t["ln_final.weight"].fill_(torch.nan), "holds a NaN or an infinity in ln_final.weight"),
        (lambda t: t["ln_final.bias"][3:4].fill_(-torch.inf), "holds a NaN or an infinity in ln_final.bias"),
    ],
    ids=["missing", "extra", "shape", "many", "nan", "infinity"],
)
def test_weights_that_do_not_fit_are_named(
    folder: Path, edit: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    rewrite(folder, edit)
    assert message in fault(folder)


def test_half_precision_is_read_into_full(folder: Path, model: Clip) -> None:
    rewrite(folder, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items()}))
    loaded = load_model(str(folder))
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, model.state_dict()[name].half().float())


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("dumps", [pickle.dumps, None], ids=["pickle", "torch"])
def test_a_file_that_holds_code_is_refused_and_not_run(
    folder: Path, tmp_path: Path, dumps: Callable[[object], bytes] | None
) -> None:
    if dumps is None:
        torch.save({"state_dict": Hostile(tmp_path / "mark")}, folder / WEIGHTS)
    else:
        (folder / WEIGHTS).write_bytes(dumps(Hostile(tmp_path / "mark")))
    change(folder, weights=file_digest(folder / WEIGHTS))
    assert f"model: {folder / WEIGHTS} cannot be read: " in fault(folder)
    assert not (tmp_path / "mark").exists()


def test_a_refused_file_leaves_the_model_as_it_was(model: Clip) -> None:
    before = {name: tensor.clone() for name, tensor in model.tower.state_dict().items()}
    wild = dict(before) | {"logit_scale": torch.tensor(torch.nan), "ln_final.weight": torch.zeros(64)}
    with pytest.raises(ValueError, match="holds a NaN or an infinity in logit_scale"):
        load_weights(model, wild, "somewhere")
    for name, tensor in model.tower.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_card_needs_its_fields_by_name() -> None:
    with pytest.raises(TypeError):
        Card(architecture=NAME)  # type: ignore[call-arg]
