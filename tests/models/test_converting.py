"""Any CLIP out: every layout there and back bit by bit, and a tower put back where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import foreign
from tests.tiny import same

from bezoar.models.checkpoint import CARD, read_card, save
from bezoar.models.clip import Clip
from bezoar.models.converting import convert_model
from bezoar.models.heads import Heads
from bezoar.models.inspecting import inspect_model
from bezoar.models.opening import load_model, place

TARGETS: tuple[tuple[str, str], ...] = (
    ("bezoar", "out"), ("open_clip", "out"), ("openai", "out.pt"), ("cleanclip", "out.pt"), ("hf_clip", "out"),
)  # fmt: skip


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return foreign.cleanclip(foreign.victim(), tmp_path_factory.mktemp("victim") / "epoch_64.pt")


@pytest.mark.parametrize(("to", "out"), TARGETS)
def test_there_and_back_again_is_bit_equal(to: str, out: str, victim: Path, tmp_path: Path) -> None:
    there = convert_model(victim, to=to, out=tmp_path / out)
    back = convert_model(there, to="cleanclip", out=tmp_path / "back.pt")
    first, last = load_model(victim).eval(), load_model(back).eval()
    middle = load_model(there).eval()
    assert same(first.tower.state_dict(), middle.tower.state_dict())
    assert same(first.tower.state_dict(), last.tower.state_dict())
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(first.encode_image(pixels), middle.encode_image(pixels))
        assert torch.equal(first.encode_captions(["a dog"]), middle.encode_captions(["a dog"]))


@pytest.mark.parametrize(("to", "out"), TARGETS)
def test_the_history_goes_along(to: str, out: str, victim: Path, tmp_path: Path) -> None:
    there = convert_model(victim, to=to, out=tmp_path / out)
    (step,) = place(str(there)).lineage()
    assert step.origin is not None
    assert (step.origin.name, step.origin.layout) == ("epoch_64.pt", "cleanclip")
    if to in ("open_clip", "hf_clip"):
        (weights,) = there.glob("*.safetensors")
        assert b"epoch_64.pt (cleanclip; it says: epoch 64, name rn50_banana)" in weights.read_bytes()[:20_000]
    card = there / "README.md" if there.is_dir() else tmp_path / f"{out}.md"
    assert "epoch_64.pt (cleanclip; it says: epoch 64, name rn50_banana)" in card.read_text()


def test_a_history_beside_other_weights_says_nothing(victim: Path, tmp_path: Path) -> None:
    there = convert_model(victim, to="openai", out=tmp_path / "out.pt")
    foreign.openai(foreign.victim(seed=9), there)
    (step,) = place(str(there)).lineage()
    assert step.origin is not None
    assert step.origin.name == "out.pt"
    (tmp_path / "out.pt.bezoar.json").write_text("[]")
    with pytest.raises(ValueError, match=r"out\.pt\.bezoar\.json: not the history of a model"):
        place(str(there)).lineage()


def test_a_model_of_ours_stays_what_it_is(tmp_path: Path) -> None:
    before = save(foreign.micro(), tmp_path / "one", method={"kind": "clip"}, settings="ab", training={"seed": 1})
    after = read_card(convert_model(tmp_path / "one", to="bezoar", out=tmp_path / "two"))
    assert (after.method, after.settings, after.training) == (before.method, before.settings, before.training)
    assert after.weights == before.weights
    assert after.ancestors == ()


def test_heads_are_told_and_stay_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = foreign.micro()
    model.heads = Heads({"projector.linear1.weight": torch.zeros(2, 2), "predictor.bias": torch.zeros(2)})
    save(model, tmp_path / "one")
    assert inspect_model(tmp_path / "one").facts == {"heads": "predictor, projector"}
    convert_model(tmp_path / "one", to="bezoar", out=tmp_path / "two")
    assert not caplog.records
    assert load_model(tmp_path / "two").heads.state_dict().keys() == model.heads.state_dict().keys()
    convert_model(tmp_path / "one", to="open_clip", out=tmp_path / "three")
    assert caplog.text.count("heads are not converted: a training that goes on begins pr") == 1


def test_random_weights_can_be_written(tmp_path: Path) -> None:
    out = convert_model("micro-vit-32", to="open_clip", out=tmp_path / "out")
    assert load_model(out).architecture == "micro-vit-32"
    assert place(str(out)).lineage()[0].origin is not None


def test_a_cleaned_tower_goes_back_where_it_came_from(victim: Path, tmp_path: Path) -> None:
    cleaned = foreign.victim(seed=8)
    save(cleaned, tmp_path / "cleaned")
    back = convert_model(tmp_path / "cleaned", like=victim, out=tmp_path / "cleaned.pt")
    before, after = (torch.load(path, weights_only=True) for path in (victim, back))
    assert list(after) == list(before)
    assert list(after["state_dict"]) == list(before["state_dict"])
    assert (after["epoch"], after["name"]) == (64, "rn50_banana")
    assert same(after["optimizer"]["state"][0], before["optimizer"]["state"][0])
    for name, tensor in foreign.weights(cleaned, "module.").items():
        assert torch.equal(after["state_dict"][name], tensor), name


@pytest.mark.parametrize("layout", ["supervised", "declip", "openai"])
def test_each_layout_takes_its_tower_back(layout: str, tmp_path: Path) -> None:
    model = foreign.resnet()
    path = getattr(foreign, layout)(model, tmp_path / ("ckpt.pth.tar" if layout == "declip" else "in.pt"))
    mine = load_model(path)
    with torch.no_grad():
        for parameter in mine.parameters():
            parameter.add_(0.125)
    save(mine, tmp_path / "mine")
    back = convert_model(tmp_path / "mine", like=path, out=tmp_path / f"back{path.suffix}")
    assert same(load_model(back).tower.state_dict(), mine.tower.state_dict())
    before, after = (flat(torch.load(file, weights_only=True)) for file in (path, back))
    assert list(before) == list(after)
    towers = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(towers) == len(list(mine.tower.parameters()))
    heads = {"supervised": "linear.", "declip": "projector.", "openai": "input_resolution"}[layout]
    assert any(heads in name for name in before.keys() - towers)


def flat(tree: Any, name: str = "") -> dict[str, torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return {name: tree}
    inner = tree.items() if isinstance(tree, dict) else ()
    return {path: tensor for key, item in inner for path, tensor in flat(item, f"{name}.{key}").items()}


def test_half_precision_stays_half_in_the_file_it_came_from(tmp_path: Path) -> None:
    path = foreign.openai(foreign.victim(), tmp_path / "half.pt", half=True)
    back = convert_model(path, like=path, out=tmp_path / "back.pt")
    before, after = (torch.load(file, weights_only=True) for file in (path, back))
    assert same(before, after)
    assert {t.dtype for t in after.values() if t.is_floating_point()} == {torch.float16}


def test_a_folder_takes_its_tower_back(victim: Path, tmp_path: Path) -> None:
    folder = convert_model(foreign_folder(victim, tmp_path), to="open_clip", out=tmp_path / "theirs")
    (folder / "notes.txt").write_text("mine")
    save(foreign.victim(seed=8), tmp_path / "cleaned")
    back = convert_model(tmp_path / "cleaned", like=folder, out=tmp_path / "back")
    assert (back / "notes.txt").read_text() == "mine"
    assert json.loads((back / "open_clip_config.json").read_text()) == json.loads(
        (folder / "open_clip_config.json").read_text()
    )
    assert same(load_model(back).tower.state_dict(), foreign.victim(seed=8).tower.state_dict())
    assert place(str(back)).lineage()[-1].weights == read_card(tmp_path / "cleaned").weights


def test_a_folder_of_shards_takes_its_tower_back(tmp_path: Path) -> None:
    folder = convert_model("micro-vit-32", to="hf_clip", out=tmp_path / "theirs")
    tensors = list(load_file(folder / "model.safetensors").items())
    (folder / "model.safetensors").unlink()
    shards = {f"model-0000{n}-of-00002.safetensors": dict(tensors[n - 1 :: 2]) for n in (1, 2)}
    for file, part in shards.items():
        save_file(part, folder / file)
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    before = save(load_model("micro-vit-32", seed=3), tmp_path / "cleaned")
    back = convert_model(tmp_path / "cleaned", like=folder, out=tmp_path / "back")
    assert {name: list(load_file(back / name)) for name in shards} == {
        name: sorted(part) for name, part in shards.items()
    }
    assert same(load_model(back).tower.state_dict(), load_model(tmp_path / "cleaned").tower.state_dict())
    assert place(str(back)).lineage()[-1].weights == before.weights


def foreign_folder(victim: Path, tmp_path: Path) -> Path:
    return convert_model(victim, to="bezoar", out=tmp_path / "ours")


def test_a_foreign_safetensors_file_takes_its_tower_back(tmp_path: Path) -> None:
    weights = {name: t.contiguous() for name, t in foreign.weights(foreign.victim()).items()}
    save_file(weights, tmp_path / "theirs.safetensors", {"made": "by hand"})
    save(foreign.victim(seed=8), tmp_path / "cleaned")
    back = convert_model(tmp_path / "cleaned", like=tmp_path / "theirs.safetensors", out=tmp_path / "b.safetensors")
    assert set(load_file(back)) == set(weights)
    assert b'"made":"by hand"' in back.read_bytes()[:2000]
    assert same(load_model(back).tower.state_dict(), foreign.victim(seed=8).tower.state_dict())


def wrong(match: str, model: Any, **how: Any) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        convert_model(model, **how)
    assert "\n" not in str(caught.value)
    assert not Path(how["out"]).exists() or how["out"].name == "there.pt"


def test_wrong_conversions_get_one_line_and_write_nothing(victim: Path, tmp_path: Path) -> None:
    (tmp_path / "there.pt").write_text("mine")
    save(foreign.micro(), tmp_path / "ours")
    other = foreign.cleanclip(foreign.resnet(), tmp_path / "resnet.pt")
    out = tmp_path / "out.pt"
    wrong("^to: name a layout with --to, or a checkpoint", victim, out=out)
    wrong("^to: name a layout with --to, or .* --like, not both$", victim, out=out, to="openai", like=victim)
    wrong(r"^out: .*there\.pt is there already; name another", victim, out=tmp_path / "there.pt", to="openai")
    assert (tmp_path / "there.pt").read_text() == "mine"
    wrong(r"^out: a file of this layout ends in \.pt, got", victim, out=tmp_path / "out.bin", to="openai")
    wrong(r"^out: this layout is a folder, got", victim, out=out, to="hf_clip")
    wrong(r"^out: this layout is a folder, got", victim, out=out, to="bezoar")
    wrong(r"^out: cannot write to .*there\.pt: ", victim, out=tmp_path / "there.pt" / "out.pt", to="openai")
    wrong("ResNet", other, out=tmp_path / "hf", to="hf_clip")
    wrong(r"^like: .*resnet\.pt: ", victim, out=out, like=other)
    wrong(r"^like: there is no file .*nowhere\.pt$", victim, out=out, like=tmp_path / "nowhere.pt")
    wrong(r"^like: RN50 is an architecture with random weights", victim, out=out, like="RN50")
    wrong(r"^like: .*there\.pt is not read \(text\): ", victim, out=out, like=tmp_path / "there.pt")
    wrong("is a model folder of Bezoar; write one with --to bezoar", victim, out=out, like=tmp_path / "ours")
    wrong("^to: 'declip' is only put back into a copy, with --like", victim, out=out, to="declip")
    wrong("^to: 'hf' is not a layout that is written .choices: .*hf_clip", victim, out=out, to="hf")
    wrong("^to: 'safetensors' is not a layout that is written", victim, out=out, to="safetensors")
    assert not list(tmp_path.glob(".*part*"))


def test_nothing_beside_is_overwritten_or_deleted(victim: Path, tmp_path: Path) -> None:
    (tmp_path / "out.pt.md").write_text("mine")
    (tmp_path / ".out.part").mkdir()
    with pytest.raises(ValueError, match=r"^out: .*out\.pt\.md is there already; name another$"):
        convert_model(victim, to="openai", out=tmp_path / "out.pt")
    convert_model(victim, to="open_clip", out=tmp_path / "out")
    assert (tmp_path / "out.pt.md").read_text() == "mine"
    assert (tmp_path / ".out.part").is_dir()


def test_a_failed_write_leaves_nothing(victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise OSError("no space")

    monkeypatch.setattr("bezoar.models.checkpoint.write_json", fail)
    with pytest.raises(OSError, match="no space"):
        convert_model(victim, to="bezoar", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert CARD == "model.json"


def test_no_file_appears_without_its_history(victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        assert not (tmp_path / "out.pt").exists()
        raise OSError("disk")

    monkeypatch.setattr("bezoar.models.converting.write_sidecar", broken)
    with pytest.raises(OSError, match="disk"):
        convert_model(victim, to="openai", out=tmp_path / "out.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_micro_model_goes_everywhere(tmp_path: Path) -> None:
    model: Clip = foreign.micro()
    save(model, tmp_path / "ours")
    for to, out in (("open_clip", "oc"), ("hf_clip", "hf")):
        there = convert_model(tmp_path / "ours", to=to, out=tmp_path / out)
        found = load_model(there).eval()
        assert same(found.tower.state_dict(), model.tower.state_dict()), to
    with pytest.raises(ValueError, match=r"a micro-vit-32 cannot be written for OpenAI's code: .*quick_gelu"):
        convert_model(tmp_path / "ours", to="cleanclip", out=tmp_path / "out.pt")
