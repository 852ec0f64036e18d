"""A CleanCLIP checkpoint with its optimizer, one core: skimmed, read, loaded by Bezoar, against torch and open_clip.

The same file in the same run, each in a process of its own; seconds of processor time and peak memory of the process
beyond what its imports take. open_clip's path is its own ``load_state_dict`` and ``create_model``, which read the whole
file and leave the optimizer lying. The file is in the page cache for all.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WAYS = {
    "torch.load(weights_only, mmap)": "torch.load(path, weights_only=True, map_location='cpu', mmap=True)",
    "torch.load(weights_only)": "torch.load(path, weights_only=True, map_location='cpu')",
    "skim": "skim(Path(path))",
    "read (skim, weights-only, compared)": "read(Path(path))",
    "inspect_model (skim, sha256)": "inspect_model(path)",
    "open_clip: load_state_dict, create_model, load": (
        "m = open_clip.create_model(name); m.load_state_dict(open_clip.factory.load_state_dict(path), strict=True)"
    ),
    "load_model": "load_model(path)",
}
SETUP = """
import sys, time, json, resource, logging
from pathlib import Path
import torch, open_clip
from bezoar.models.inspecting import inspect_model
from bezoar.models.opening import load_model
from bezoar.models.reading import read, skim
logging.disable(logging.WARNING)
torch.set_num_threads(1)
path, name = sys.argv[1:]
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
{way}
took, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([took, peak / 1024]))
"""


def make(name: str, path: Path) -> None:
    """A checkpoint of CleanCLIP's kind with random weights and an AdamW that has taken a step."""
    import torch

    from bezoar.models.clip import create
    from bezoar.models.layouts.names import in_openai_order

    tower = create(name).tower
    parameters = list(tower.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=5e-4)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    weights = {f"module.{key}": value for key, value in in_openai_order(tower.state_dict()).items()}
    weights.pop("module.attn_mask", None)
    torch.save({"epoch": 64, "name": "x", "state_dict": weights, "optimizer": optimizer.state_dict()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["RN50-quickgelu", "ViT-B-32-quickgelu"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in given.models:
            path = Path(folder) / f"{name}.pt"
            made = [sys.executable, __file__, "--make", name, str(path)]
            subprocess.run(made, check=True)
            print(f"{name}, {path.stat().st_size / 1e6:,.0f} MB, {given.rounds} rounds, medians", flush=True)
            for called, way in WAYS.items():
                found = []
                for _ in range(given.rounds):
                    script = [sys.executable, "-c", SETUP.replace("{way}", way), str(path), name]
                    found.append(json.loads(subprocess.run(script, check=True, capture_output=True).stdout))
                seconds, peak = (statistics.median(values) for values in zip(*found, strict=True))
                print(f"  {called:<48} {seconds:7.2f} s {peak:9,.0f} MiB", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
