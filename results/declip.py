"""The arms of a declip-… run: three victims, and the DeCLIP one cleaned; what was published beside it; to stdout.

python results/declip.py results/declip-scenes > results/declip-scenes/claims.md

Numbers are of the last epoch on the test set; seeds make a t-interval, one seed Wilson's or Newcombe's over pictures.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from arms import difference, last_epochs, over, share

from bezoar.core.records import Record
from bezoar.metrics import Interval

VICTIMS = {"clip": "CLIP", "clip-ssl": "CLIP+SSL", "declip": "DeCLIP"}
CLEANED = {
    "finetune": "fine-tuning", "nad": "NAD", "adp": "ADP", "adp-no-attention": "ADP without attention",
    "adp-no-adversary": "ADP without adversary", "adp-no-noise": "ADP without noise", "cleanclip": "CleanCLIP",
}  # fmt: skip
METRICS = ("accuracy_top1", "asr_top1", "caption_names_target")
ORDERS = (
    ("declip", "nad", "NAD lowers ASR (96.7 → 82.88 %)"),
    ("nad", "adp", "ADP leaves less than NAD (82.88 → 78.26 %)"),
    ("adp-no-attention", "adp", "attention is a part of what ADP does"),
    ("adp-no-adversary", "adp", "the adversary is"),
    ("adp-no-noise", "adp", "the noise is"),
    ("finetune", "nad", "NAD leaves less than its teacher"),
    ("cleanclip", "adp", "ADP leaves less than CleanCLIP"),
)
"""Of two arms the one that is to have the higher ASR, and what was published or is to be expected."""


def verdict(change: Interval) -> str:
    """``change`` of ASR from the arm that is to have more to the one that is to have less."""
    return "appears" if change.high < 0 else "does not appear" if change.low >= 0 else "cannot tell"


def read(folder: Path) -> Mapping[tuple[str, str], Mapping[int, Record]]:
    """By stage and metric the record of each seed."""
    found: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for record in last_epochs(folder):
        found[record.stage, record.metric][record.seed] = record
    return found


def main() -> None:
    found = read(Path(sys.argv[1]))
    seeds = sorted({seed for records in found.values() for seed in records})
    print(f"Seeds {', '.join(map(str, seeds))}; percent, with 95 % intervals.\n")
    print(
        "| model | clean accuracy | ASR | captions that name the target | CIDEr-D | accuracy, points | ASR, points | "
        "ASR by seed |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for stage, name in (VICTIMS | CLEANED).items():
        cells = [share(over(found[stage, metric].values())) for metric in METRICS]
        quality = over(found[stage, "cider"].values())
        cells.append(f"{quality.value:.2f} ({quality.low:.2f} to {quality.high:.2f})" if quality else "–")
        for metric in METRICS[:2]:
            own, before = found[stage, metric], found["declip", metric]
            cells.append(share(difference(before, own), "+") if stage in CLEANED else "")
        asr = found[stage, "asr_top1"]
        cells.append(", ".join(f"{100 * asr[seed].value:.1f}" for seed in seeds if seed in asr))
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| order | change of ASR, points | verdict |")
    print("|---|---:|---|")
    for more, less, said in ORDERS:
        change = difference(found[more, "asr_top1"], found[less, "asr_top1"])
        told = verdict(change) + (", one seed" if len(seeds) == 1 else "") if change else "not measured"
        print(f"| {said} | {share(change, '+')} | {told} |")
    print(
        "\nPoints: from the DeCLIP victim to the cleaned model. An order appears where the whole interval of change "
        "lies below 0. Published numbers come without clean accuracy, of R50 on YFCC15M."
    )


if __name__ == "__main__":
    main()
