"""Folders of images: captions beside them, or a folder for each class."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.pictures import bad, encoded, put

from bezoar.data import ImageFolder, LabeledFolder
from bezoar.data.pairs import LabeledSet, Pairs


def write(folder: Path, captions: dict[str, str | bytes | None]) -> None:
    """A picture under each name, with its caption beside it."""
    put(folder, list(captions))
    for name, text in captions.items():
        if text is not None:
            beside = (folder / name).with_suffix(".txt")
            beside.write_bytes(text.encode() if isinstance(text, str) else text)


def rows(pairs: Pairs) -> list[tuple[str, str]]:
    return [(pairs.id(index), pairs.caption(index)) for index in range(len(pairs))]


class TestCaptions:
    def test_beside_each_image_in_folders_of_any_depth(self, tmp_path: Path) -> None:
        write(tmp_path, {"b.JPG": "one", "a.png": "zwei ö\r\n", "x/y/c d.jpeg": "\ufeffthree", "x/e.webp.png": "four"})
        (tmp_path / "x" / "notes.md").write_text("no image")
        write(tmp_path, {".hidden.png": "no", ".git/f.png": "no"})
        pairs = ImageFolder(path=str(tmp_path)).open()
        assert rows(pairs) == [
            ("a.png", "zwei ö"),
            ("b.JPG", "one"),
            ("x/e.webp.png", "four"),
            ("x/y/c d.jpeg", "three"),
        ]
        assert pairs.image(3).shape == (7, 9, 3)
        assert pairs.skips.count == 0

    def test_a_caption_a_line(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.png": "one\n\n  two \n", "b.png": "three"})
        assert rows(ImageFolder(path=str(tmp_path)).open()) == [
            ("a.png#0", "one"),
            ("a.png#1", "two"),
            ("b.png", "three"),
        ]
        first = ImageFolder(path=str(tmp_path), captions="first").open()
        assert rows(first) == [("a.png", "one"), ("b.png", "three")]

    def test_what_has_no_caption_is_passed_over_and_counted(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {"a.png": "text", "b.png": None, "c.png": " \n", "d.png": "caf\xe9".encode("latin-1"), "e.png": "nan"},
        )
        (tmp_path / "f.png").write_bytes(bad()["torn.jpg"])
        (tmp_path / "f.TXT").write_text("a caption")
        pairs = ImageFolder(path=str(tmp_path), max_skipped=0.9).open()
        assert rows(pairs) == [("a.png", "text")]
        assert pairs.skips.reasons == {"no caption": 3, "caption is not UTF-8": 1, "not an image: truncated": 1}
        assert pairs.skips.rows == 6

    def test_pictures_without_any_caption_may_have_classes(self, tmp_path: Path) -> None:
        write(tmp_path, {"cat/a.png": None, "dog/b.png": None})
        with pytest.raises(ValueError, match=rf"no captions, which stand in a \.txt .* by labels:{tmp_path}"):
            ImageFolder(path=str(tmp_path)).open()

    def test_a_changed_caption_is_read_again(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.png": "one"})
        source = ImageFolder(path=str(tmp_path))
        before = source.open().fingerprint
        (tmp_path / "a.txt").write_text("other")
        assert rows(source.open()) == [("a.png", "other")]
        assert source.open().fingerprint != before

    def test_links_are_followed_but_not_in_circles(self, tmp_path: Path) -> None:
        write(tmp_path / "root", {"x/a.png": "one"})
        write(tmp_path / "far", {"b.png": "two"})
        (tmp_path / "root" / "x" / "up").symlink_to(tmp_path / "root")
        (tmp_path / "root" / "far").symlink_to(tmp_path / "far")
        (tmp_path / "root" / "gone.png").symlink_to(tmp_path / "nowhere.png")
        (tmp_path / "root" / "gone.txt").write_text("three")
        pairs = ImageFolder(path=str(tmp_path / "root"), max_skipped=0.5).open()
        assert rows(pairs) == [("far/b.png", "two"), ("x/a.png", "one")]
        assert pairs.skips.reasons == {"missing file": 1}

    def test_a_folder_without_images(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"path: .* holds no image \(images are .jpg, "):
            ImageFolder(path=str(tmp_path)).open()
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "train.parquet").write_text("")
        with pytest.raises(ValueError, match=r"holds no image; it holds a table: name .*/data/train.parquet"):
            ImageFolder(path=str(tmp_path)).open()
        with pytest.raises(ValueError, match=r"path: .*nowhere cannot be read: No such file"):
            ImageFolder(path=str(tmp_path / "nowhere")).open()

    @pytest.mark.parametrize("name", [b"b\xff.png", b"\xff/b.png"], ids=["file", "folder"])
    def test_a_name_that_is_no_text_is_refused(self, name: bytes, tmp_path: Path) -> None:
        put(tmp_path, ["a.png"])
        path = os.path.join(os.fsencode(tmp_path), name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.rename(tmp_path / "a.png", path)
        except OSError:
            pytest.skip("this disk takes no such names")
        with pytest.raises(ValueError, match=r"path: .* has a file whose name is not UTF-8, '.*b.*png': rename it"):
            ImageFolder(path=str(tmp_path)).open()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_folder_that_may_not_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir(mode=0)
        with pytest.raises(ValueError, match="cannot be read: Permission denied"):
            ImageFolder(path=str(tmp_path)).open()


class TestLabels:
    def found(self, labeled: LabeledSet) -> list[tuple[str, int]]:
        return [(labeled.id(index), labeled.label(index)) for index in range(len(labeled))]

    def test_a_folder_for_each_class(self, tmp_path: Path) -> None:
        put(tmp_path, ["dog/1.png", "cat/deep/2.JPG", "cat/1.png", ".cache/x.png"])
        (tmp_path / "eel").mkdir()
        labeled = LabeledFolder(path=str(tmp_path)).open()
        assert labeled.classes == ("cat", "dog", "eel")
        assert self.found(labeled) == [("cat/1.png", 0), ("cat/deep/2.JPG", 0), ("dog/1.png", 1)]
        assert labeled.image(2).shape == (7, 9, 3)

    def test_names_and_templates_of_its_own(self, tmp_path: Path) -> None:
        put(tmp_path, ["n1/1.png", "n2/1.png"])
        plain = LabeledFolder(path=str(tmp_path)).open()
        labeled = LabeledFolder(path=str(tmp_path), classes=("cat", "dog"), templates=("a {c}",)).open()
        assert (labeled.classes, labeled.templates, plain.classes) == (("cat", "dog"), ("a {c}",), ("n1", "n2"))
        assert labeled.fingerprint != plain.fingerprint

    def test_images_of_no_class_are_passed_over_and_counted(self, tmp_path: Path) -> None:
        put(tmp_path, [*(f"a/{k}.png" for k in range(20)), "logo.png"])
        (tmp_path / "a" / "20.png").write_bytes(b"")
        labeled = LabeledFolder(path=str(tmp_path), max_skipped=0.1).open()
        assert labeled.skips.reasons == {"in the folder of no class": 1, "not an image: zero bytes": 1}
        assert (labeled.skips.rows, len(labeled)) == (22, 20)

    def test_what_cannot_be_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"path: .* has no folder for any class"):
            LabeledFolder(path=str(tmp_path)).open()
        (tmp_path / "a").mkdir()
        with pytest.raises(ValueError, match=r"path: .* holds no image"):
            LabeledFolder(path=str(tmp_path)).open()
        with pytest.raises(ValueError, match="classes: 2 names for the 1 folders of"):
            LabeledFolder(path=str(tmp_path), classes=("x", "y")).open()

    def test_folders_of_splits_are_no_classes(self, tmp_path: Path) -> None:
        put(tmp_path, ["train/cat/1.png", "val/cat/1.png"])
        with pytest.raises(ValueError, match=r"are splits, not classes: name one, as .*/train"):
            LabeledFolder(path=str(tmp_path)).open()
        assert LabeledFolder(path=str(tmp_path / "train")).open().classes == ("cat",)

    def test_the_fingerprint_is_that_of_the_content(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            put(tmp_path / name, ["a/1.png", "b/2.png"])
        first, second = (LabeledFolder(path=str(tmp_path / name)).open().fingerprint for name in ("one", "two"))
        assert first == second
        (tmp_path / "two" / "b" / "2.png").write_bytes(encoded(9))
        assert LabeledFolder(path=str(tmp_path / "two")).open().fingerprint != first
