"""Any model by what a person has of it: names, tags, files, folders, the hub."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tests import foreign
from tests.tiny import same
from torch import Tensor

from bezoar.core.frame import Frame
from bezoar.models.checkpoint import CARD, WEIGHTS, read_card, save
from bezoar.models.clip import Clip, create
from bezoar.models.inspecting import inspect_model
from bezoar.models.opening import Named, OnHub, Ours, Tagged, load_model, place

CAPTIONS = ["a dog", "a red star !?"]
WRITERS: dict[str, Callable[[Clip, Path], Path]] = {
    "cleanclip": lambda model, folder: foreign.cleanclip(model, folder / "epoch_64.pt"),
    "single": lambda model, folder: foreign.cleanclip(model, folder / "epoch_64.pt", ""),
    "openai": lambda model, folder: foreign.openai(model, folder / "ViT.pt"),
    "open_clip": lambda model, folder: foreign.open_clip_training(model, folder / "epoch_3.pt"),
    "supervised": lambda model, folder: foreign.supervised(model, folder / "finetune.pt"),
}


@pytest.fixture(scope="module")
def victim() -> Clip:
    return foreign.victim()


@pytest.fixture(scope="module")
def resnet() -> Clip:
    return foreign.resnet()


def pixels(model: Clip) -> Tensor:
    return torch.randint(0, 256, (2, 3, model.image_size, model.image_size), dtype=torch.uint8)


def agree(one: Clip, other: Clip) -> None:
    pictures = pixels(one)
    with torch.no_grad():
        assert torch.equal(one.encode_image(pictures), other.encode_image(pictures))
        assert torch.equal(one.encode_captions(CAPTIONS), other.encode_captions(CAPTIONS))


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("tower", ["victim", "resnet"])
def test_a_file_is_read_without_being_told_what_it_is(
    layout: str, tower: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Clip = request.getfixturevalue(tower)
    found = load_model(WRITERS[layout](model, tmp_path)).eval()
    assert same(found.tower.state_dict(), model.tower.state_dict())
    assert found.frame == model.frame
    if layout != "open_clip":  # whose towers have GELU, unless their architecture says otherwise
        agree(found, model)


def test_a_tower_of_declip_has_a_biased_projection_and_its_own_geometry(tmp_path: Path, resnet: Clip) -> None:
    found = load_model(foreign.declip(resnet, tmp_path / "ckpt_120000.pth.tar")).eval()
    assert found.frame == Frame(64, "shortest", "bilinear")
    assert found.mean == (0.485, 0.456, 0.406)
    with torch.no_grad():
        ours = found.text_features(found.tokenize(["a dog"]))
        bare = resnet.text_features(resnet.tokenize(["a dog"]))
    assert not torch.allclose(ours, bare)
    assert found.tower.state_dict()["text.text_projection.bias"][-1] == 1


def test_half_precision_is_read_into_full(tmp_path: Path, victim: Clip) -> None:
    found = load_model(foreign.openai(victim, tmp_path / "half.pt", half=True))
    for name, tensor in found.tower.state_dict().items():
        before = victim.tower.state_dict()[name]
        assert tensor.dtype == before.dtype
        assert torch.equal(tensor, before.half().float() if before.is_floating_point() else before)


def test_what_a_file_was_taken_for_is_stated_once(
    tmp_path: Path, victim: Clip, caplog: pytest.LogCaptureFixture
) -> None:
    path = foreign.cleanclip(victim, tmp_path / "epoch_64.pt")
    with caplog.at_level(logging.INFO, logger="bezoar.models.opening"):
        load_model(path)
        load_model(path)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "bezoar.models.opening"]
    assert said.startswith(f"{path}: ViT 2×64, text 2×64, 32 px, in the cleanclip layout; ")
    assert "QuickGELU" in said
    assert "not used: optimizer" in said


def test_the_architecture_can_be_named(tmp_path: Path) -> None:
    path = foreign.cleanclip(foreign.micro(), tmp_path / "micro.pt")
    assert load_model(f"micro-vit-32:{path}").architecture == "micro-vit-32"
    with pytest.raises(ValueError, match=r"micro\.pt is not a micro-vit-64: "):
        load_model(f"micro-vit-64:{path}")
    with pytest.raises(ValueError, match=r"^model: there is no file nowhere\.pt$"):
        load_model("micro-vit-64:nowhere.pt")
    save(foreign.micro(), tmp_path / "ours", poison={"plan": "ab"})
    for spec in (tmp_path / "ours", tmp_path / "ours" / "model.safetensors"):  # whose history would be lost
        with pytest.raises(ValueError, match=r"ours.* says itself what it is; name it without micro-vit-32:$"):
            load_model(f"micro-vit-32:{spec}")


def test_of_an_architecture_that_is_named_nothing_is_assumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = foreign.cleanclip(foreign.micro(), tmp_path / "micro.pt")  # which alone is taken for QuickGELU
    with caplog.at_level(logging.INFO, logger="bezoar.models.opening"):
        load_model(f"micro-vit-32:{path}")
    (said,) = [record.getMessage() for record in caplog.records if record.name == "bezoar.models.opening"]
    assert said == f"{path}: micro-vit-32, in the cleanclip layout; not used: optimizer"


def test_places() -> None:
    assert place("RN50") == Named("RN50")
    assert place("hf-hub:somebody/clip") == OnHub("somebody/clip")
    assert isinstance(place("RN50-quickgelu:openai"), Tagged)
    assert not place("RN50").trained
    assert place("RN50-quickgelu:openai").trained


def test_a_run_folder_stands_for_its_only_model(tmp_path: Path) -> None:
    one = tmp_path / "stages" / "clip-seed0-x" / "model"
    one.parent.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"^model: .* is a run folder that keeps no model \(yet\)$"):
        place(str(tmp_path))
    save(foreign.micro(), one)
    assert place(str(tmp_path)) == Ours(one)
    assert place(str(one / WEIGHTS)) == Ours(one)
    shutil.copytree(one.parent, tmp_path / "stages" / "clip-seed1-x")
    with pytest.raises(ValueError, match=r"is a run folder with 2 models; name one of .*clip-seed0-x/model, .*clip-se"):
        place(str(tmp_path))


def test_a_zoo_names_its_models(tmp_path: Path) -> None:
    (tmp_path / "zoo.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is a zoo; its models are .*/models/NAME-seedN$"):
        place(str(tmp_path))


def test_the_identity_of_a_file_is_its_content(tmp_path: Path, victim: Clip) -> None:
    path = foreign.cleanclip(victim, tmp_path / "epoch_64.pt")
    assert place(str(path)).identity() == hashlib.sha256(path.read_bytes()).hexdigest()
    shutil.copy(path, tmp_path / "other.pt")
    assert place(str(tmp_path / "other.pt")).identity() == place(str(path)).identity()
    assert place(f"RN50:{path}").identity() != place(str(path)).identity()
    foreign.cleanclip(foreign.victim(seed=4), path)
    assert place(str(path)).identity() != place(str(tmp_path / "other.pt")).identity()
    assert place("RN50").identity() == "RN50"


def test_the_history_of_a_foreign_file_begins_with_it(tmp_path: Path, victim: Clip) -> None:
    path = foreign.cleanclip(victim, tmp_path / "epoch_64.pt")
    (step,) = place(str(path)).lineage()
    assert step.origin is not None
    assert (step.origin.name, step.origin.layout, step.method) == ("epoch_64.pt", "cleanclip", None)
    assert step.weights == step.origin.sha256 == place(str(path)).identity()
    assert dict(step.origin.facts) == {"epoch": 64, "name": "rn50_banana"}
    assert place("RN50").lineage() == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("micro-cnn-23", "'micro-cnn-23' is not an architecture, a file, a folder or a hub name; did you mean micro"),
        ("ViT-B/32", "'ViT-B/32' is not an architecture, .* did you mean ViT-B-32"),
        ("victim.pt", "there is no file victim.pt$"),
        ("xyzzy", "'xyzzy' is not an architecture, a file, a folder or a hub name$"),
        ("", "names nothing$"),
        ("local-dir:somewhere", "is not an architecture"),
        ("RN50:opnai", "'opnai' is not a pretrained tag of RN50; did you mean 'openai'"),
        ("RN50:", "'' is not a pretrained tag of RN50 "),
        ("micro-cnn-32:openai", "'openai' is not a pretrained tag of micro-cnn-32: it has none$"),
        (
            "RN50:openai",
            "'openai' were trained with another activation than RN50 has; name them 'RN50-quickgelu:openai'",
        ),
        ("ViT-B-32-quickgelu:laion2b_e16", "'laion2b_e16' is not a pretrained tag of ViT-B-32-quickgelu"),
    ],
)
def test_a_name_that_is_none_gets_one_line(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^model: .*{message}") as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


def test_no_tag_is_built_with_another_activation() -> None:
    """Every weights file that has an architecture of its own activation is only had under that name."""
    for name in ("RN50", "RN101", "ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-H-14-378"):
        for tag in open_clip.list_pretrained_tags_by_model(name):
            if open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False):
                with pytest.raises(ValueError, match=f"name them '{name}-quickgelu:{tag}'"):
                    place(f"{name}:{tag}")


def test_a_tag_comes_with_its_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A micro model stands for a published one: nothing is downloaded here."""
    model = foreign.micro()
    save_file({name: t.contiguous() for name, t in foreign.weights(model).items()}, tmp_path / "open_clip.safetensors")
    told = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1), "interpolation": "bilinear", "resize_mode": "squash"}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda name: ["web"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: told)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda settings: str(tmp_path / "open_clip.safetensors"))
    found = load_model("micro-vit-32:web").eval()
    assert (found.mean, found.std) == (told["mean"], told["std"])
    assert found.frame == Frame(32, "squash", "bilinear")
    assert same(found.tower.state_dict(), model.tower.state_dict())
    told_of = inspect_model("micro-vit-32:web")
    assert (told_of.frame, told_of.mean, told_of.notes) == (found.frame, found.mean, ())
    (step,) = place("micro-vit-32:web").lineage()
    assert step.origin is not None
    assert step.origin.name == "micro-vit-32:web"


def test_a_tag_that_cannot_be_fetched_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: object) -> str:
        raise OSError("no route to host\nand more lines of advice")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(ValueError, match=r"^model: RN50-quickgelu:openai cannot be fetched: no route to host$"):
        load_model("RN50-quickgelu:openai")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for a repository on the hub."""
    import huggingface_hub

    wanted: list[Any] = []

    def download(repo: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert repo == "somebody/clip"
        wanted.append((revision, tuple(allow_patterns)))
        return str(tmp_path / "hub")

    (tmp_path / "hub").mkdir()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return tmp_path / "hub"


def open_clip_folder(model: Clip, folder: Path) -> None:
    statistics = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
    config = {"model_cfg": foreign.victim().config, "preprocess_cfg": statistics}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file({n: t.contiguous() for n, t in foreign.weights(model).items()}, folder / "open_clip_model.safetensors")


def test_a_hub_model_comes_with_its_weights_and_statistics(hub: Path, victim: Clip) -> None:
    open_clip_folder(victim, hub)
    model = load_model("hf-hub:somebody/clip").eval()
    assert (model.mean, model.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert same(model.tower.state_dict(), victim.tower.state_dict())
    (step,) = place("hf-hub:somebody/clip@abc").lineage()
    assert step.origin is not None
    assert step.origin.name == "hf-hub:somebody/clip@abc"


def test_a_hub_model_without_weights_is_not_a_random_one(hub: Path) -> None:
    (hub / "open_clip_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"^model: hf-hub:somebody/clip holds no weights of open_clip or Hugging Face"):
        load_model("hf-hub:somebody/clip")


def test_weights_on_the_hub_that_hold_code_are_refused_and_not_run(hub: Path, victim: Clip) -> None:
    open_clip_folder(victim, hub)
    (hub / "open_clip_model.safetensors").unlink()
    mark = hub / "mark"
    torch.save({"state_dict": Hostile(mark)}, hub / "open_clip_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"posix\.mkdir|os\.mkdir") as caught:
        load_model("hf-hub:somebody/clip")
    assert "\n" not in str(caught.value)
    assert not mark.exists()


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        import os

        return os.mkdir, (str(self.mark),)


def test_other_weights_on_the_hub_are_refused(hub: Path, victim: Clip) -> None:
    open_clip_folder(victim, hub)
    save_file({"logit_scale": torch.zeros(())}, hub / "open_clip_model.safetensors")
    with pytest.raises(ValueError, match=r"^model: ") as caught:
        load_model("hf-hub:somebody/clip")
    assert "\n" not in str(caught.value)


def test_nothing_of_open_clip_or_torch_gets_the_path_of_a_users_file(
    tmp_path: Path, victim: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """open_clip's reader may fall back to the full unpickler; torch's is only called with weights_only."""
    path = foreign.cleanclip(victim, tmp_path / "epoch_64.pt")
    real, calls = torch.load, []

    def watched(file: Any, *words: Any, **named: Any) -> Any:
        calls.append(named)
        return real(file, *words, **named)

    def never(*_: object, **__: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(torch, "load", watched)
    monkeypatch.setattr(torch.jit, "load", never)
    monkeypatch.setattr(open_clip.factory, "load_checkpoint", never)
    monkeypatch.setattr(open_clip.factory, "load_state_dict", never)
    load_model(path)
    assert calls
    assert all(named["weights_only"] is True for named in calls)


def test_a_damaged_or_hostile_file_says_so_in_one_line(tmp_path: Path, victim: Clip) -> None:
    path = foreign.cleanclip(victim, tmp_path / "epoch_64.pt")
    content = path.read_bytes()
    for name, changed in {
        "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(100), "cut.pt": content[:5000], "empty.pt": b"",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(ValueError, match=f"^model: .*{name}") as caught:
            load_model(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    model = foreign.victim()
    with torch.no_grad():
        model.tower.get_parameter("logit_scale").fill_(torch.nan)
    with pytest.raises(ValueError, match=r"nan\.pt holds a NaN or an infinity in logit_scale"):
        load_model(foreign.cleanclip(model, tmp_path / "nan.pt"))


def test_a_folder_with_two_candidates_names_them(tmp_path: Path, victim: Clip) -> None:
    foreign.cleanclip(victim, tmp_path / "epoch_63.pt")
    foreign.cleanclip(victim, tmp_path / "epoch_64.pt")
    with pytest.raises(ValueError, match=r"^model: .*epoch_63\.pt.*epoch_64\.pt") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_foreign_file_becomes_ours_and_keeps_its_history(tmp_path: Path, victim: Clip) -> None:
    path = foreign.cleanclip(victim, tmp_path / "epoch_64.pt")
    model = load_model(path)
    save(model, tmp_path / "ours", ancestors=place(str(path)).lineage(), method={"kind": "cleanclip"})
    again = load_model(tmp_path / "ours").eval()
    assert same(again.tower.state_dict(), victim.tower.state_dict())
    assert again.config == model.config
    agree(again, victim)
    steps = read_card(tmp_path / "ours").steps
    assert [step.origin is not None for step in steps] == [True, False]
    assert json.loads((tmp_path / "ours" / CARD).read_text())["ancestors"][0]["origin"]["layout"] == "cleanclip"


def test_random_weights_are_of_the_seed() -> None:
    assert same(load_model("micro-vit-32", 7).state_dict(), create("micro-vit-32", 7).state_dict())


def test_what_a_file_says_of_itself_stands_on_one_line(tmp_path: Path, victim: Clip) -> None:
    """It may say anything: control characters, megabytes."""
    more: dict[str, Any] = {"note": "\x1b[2J" + "x" * 100_000, **{f"key {n}": n for n in range(50)}}
    path = foreign.cleanclip(victim, tmp_path / "epoch_64.pt", **more)
    (step,) = place(str(path)).lineage()
    assert step.origin is not None
    assert len(step.origin.facts) <= 8
    assert len(step.told()) < 1000
    assert step.told().isprintable()
