"""The table of results/null-result: each model measured on the file and where it sees; from its records, to stdout.

python results/two_ways.py > results/null-result/two-ways.md
"""

from collections import defaultdict
from pathlib import Path

from bezoar.core.records import read_records
from bezoar.metrics import student_t

WAYS = (("", "on the file, as the slides measured"), ("-2", "where the model sees it"))


def main() -> None:
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for record in read_records(Path(__file__).parent / "null-result" / "records.jsonl"):
        if record.data == "test":
            values[record.stage, record.evaluator, record.metric].append(100 * record.value)
    stages = dict.fromkeys(stage for stage, _, _ in values)
    print("| model | the trigger is put on | of it the model gets | attack success, mean of 3 seeds | each seed |")
    print("|---|---|---:|---:|---:|")
    for stage in stages:
        for suffix, way in WAYS:
            found = values[stage, f"attack_success{suffix}", "asr_top1"]
            left = student_t(values[stage, f"trigger_survival{suffix}", "survival"]).value
            mean = student_t(found)
            each = ", ".join(f"{value:.1f}" for value in found)
            print(f"| {stage} | {way} | {left:.0f} % | {mean.value:.1f} % "
                  f"({max(0.0, mean.low):.1f}–{min(100.0, mean.high):.1f}) | {each} |")  # fmt: skip


if __name__ == "__main__":
    main()
