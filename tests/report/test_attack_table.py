"""The table of attacks: its cells, and its numbers for programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tests.report.handmade import Measured, add_records, add_untouched, many_attacks

from bezoar.report.attack_table import COLUMNS, attack_grid, attack_values
from bezoar.report.attacks import attacks
from bezoar.report.reading import read_run

FOUND: Measured = {("patch", 0, 2): (0.6, 0.9, 0.6, 0.9), ("phrase", 0, 2): (0.6, None, 0.6, None)}


def cells(folder: Path, short: bool = False) -> list[dict[str, str]]:
    found = attack_grid(attacks(read_run(folder)), short)
    return [
        {name: cell.replace("\u00a0", " ") for name, cell in zip(found.head, line, strict=True)} for line in found.lines
    ]


def test_cells(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, FOUND)
    add_untouched(folder, "patch", 0.02)
    patch, phrase = cells(folder)
    assert patch == {
        "Attack": "patch", "What it does": "backdoor: patch, binary, random → mushroom",
        "Poisoned": "40 of 4,000 (1 %)", "Survives": "87.5 %", "PSNR": "20.0 dB", "SSIM": "0.900", "L∞": "200",
        "Clean accuracy": "60.0 % (56.9–63.0, n 1,000)", "Attack success": "90.0 % (88.0–91.7, n 1,000)",
        "Without it": "2.0 % (1.3–3.1, n 1,000)", "Verdict": "takes",
    }  # fmt: skip
    assert (phrase["Attack success"], phrase["Verdict"]) == ("–", "not measured")


def test_a_terminal_gets_what_it_has_room_for(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, FOUND)
    assert list(cells(folder, short=True)[0]) == ["Attack", "Verdict", "Clean accuracy", "Attack success", "Poisoned"]
    assert cells(folder, short=True)[0]["Poisoned"] == "40 (1 %)"


def test_what_success_is_of_is_told_where_it_differs(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, FOUND)
    assert "Success is of" not in cells(folder)[0]
    add_records(folder, "caption_asr_top1", 0.5)
    add_records(folder, "asr_top1/words", 0.1)
    assert [row["Success is of"] for row in cells(folder)] == ["triggered pictures", "prompts"]
    assert "Trigger alone" not in cells(folder)[0]
    assert cells(folder)[0]["Words alone"].startswith("10.0 %")


def test_values_are_plain(tmp_path: Path) -> None:
    folder = many_attacks(tmp_path, FOUND)
    path = folder / "experiment.yaml"
    path.write_text(path.read_text().replace("name: by hand", "name: =attacks"))
    patch, phrase = csv.DictReader(io.StringIO(attack_values(attacks(read_run(folder)))))
    assert tuple(patch) == COLUMNS
    assert (patch["poisoned"], patch["pairs"], patch["success"], patch["success_n"]) == ("40.0", "4000", "0.9", "1000")
    assert (patch["verdict"], patch["without"], phrase["success"], phrase["seeds"]) == ("no verdict", "", "", "1")
    assert patch["run"] == "'=attacks"
