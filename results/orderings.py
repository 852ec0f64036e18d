"""The table of orderings.toml: what was published of cleaning, and whether the sweeps here show it; to stdout.

python results/orderings.py > results/orderings.md
"""

import tomllib
from pathlib import Path

from bezoar.report.markdown import as_markdown, escaped
from bezoar.report.orderings import Held, held, orderings, table
from bezoar.report.sweeps import read_sweep

HERE = Path(__file__).parent
NOTES = (
    "Points are chosen on the validation set by the mean over seeds and reported on the test set. The difference is "
    "that of the more to the less, in points: over seeds Student's interval of the differences within each, of one "
    "seed Newcombe's over pictures. It appears where the whole interval lies above 0. Many are looked at here: of "
    "twenty intervals at 95 % one is expected to miss.",
)


def main() -> None:
    found: list[Held] = []
    for ordering in orderings(tomllib.loads((HERE / "orderings.toml").read_text("utf-8"))["ordering"]):
        found += [held(ordering, read_sweep(HERE / name)) for name in ordering.sweeps]
    print("# Published orderings of cleaning\n")
    print(as_markdown(table(found), NOTES))
    for claim, diagnosis in {one.ordering.claim: one.ordering.diagnosis for one in found}.items():
        if diagnosis:
            print(f"**{escaped(claim)}.** {escaped(diagnosis)}\n")


if __name__ == "__main__":
    main()
