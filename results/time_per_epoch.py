"""What an epoch of each stage took, from the ``stage.json`` of its runs, to stdout: one line a stage, means over seeds.

python results/time_per_epoch.py results/objectives-*/ [RUN…]

In a run folder they lie in ``stages/*/stage.json``; beside committed records they are gathered in ``stages.jsonl``, a
line each. Processor time is that of the training process with its one thread, evaluation not counted; it hardly depends
on what else the machine does, as the wall does.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def stages(folder: Path) -> list[dict[str, Any]]:
    """What is written down of the finished stages of a run, of each stage and seed the newest.

    A run folder keeps stages of settings that it had before. Raises ``ValueError`` where committed lines have two.
    """
    gathered = folder / "stages.jsonl"
    if gathered.exists():
        found = [json.loads(line) for line in gathered.read_text().splitlines()]
        if len({(stage["stage"], stage["seed"]) for stage in found}) < len(found):
            raise ValueError(f"{gathered}: a stage of one seed stands twice")
        return found
    paths = sorted(folder.glob("stages/*/stage.json"), key=lambda path: path.stat().st_mtime)
    newest = {(stage["stage"], stage["seed"]): stage for stage in (json.loads(path.read_text()) for path in paths)}
    return [newest[key] for key in sorted(newest)]


def main() -> None:
    print("| run | stage | pairs | epochs | seeds | processor s an epoch | times the first | wall (other work too) |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for folder in map(Path, sys.argv[1:]):
        took: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for stage in stages(folder):
            took[stage["stage"]].append(stage)
        first = None
        for name, found in took.items():
            each = [stage["training_processor_seconds"] / stage["epochs"] for stage in found]
            mean, wall = sum(each) / len(each), [stage["training_seconds"] / stage["epochs"] for stage in found]
            first = first or mean
            told = f"{mean:.1f}" + (f" ({min(each):.1f}–{max(each):.1f})" if len(each) > 1 else "")
            print(f"| {folder.name} | {name} | {found[0]['count']:,} | {found[0]['epochs']} | {len(found)} | {told} "
                  f"| {mean / first:.2f} | {min(wall):.0f}–{max(wall):.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
