"""Skims and reads every file of a folder under the eyes of an audit hook and with little memory; prints what happened.

``python watched.py FOLDER``: one JSON object, by file name. Everything is warmed up first, so that a later import,
compilation, or call outside is the doing of a file.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from bezoar.models.reading import read, skim
from bezoar.models.reading.plain import tensors

_WATCHED = (
    *("import", "exec", "compile", "code.", "function.", "marshal.", "pickle.", "ctypes.", "open"),
    *("os.", "subprocess.", "pty.", "shutil.", "tempfile.", "socket.", "webbrowser.", "urllib."),
)
_HARMLESS = {"os.listdir", "os.scandir"}
_MEMORY = 1 << 30

happened: list[str] = []
awake = False


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not awake or not event.startswith(_WATCHED) or event in _HARMLESS:
        return
    if event == "open" and isinstance(arguments[1], str) and not set(arguments[1]) & set("wax+"):
        return
    if event == "open" and arguments[1] is None and not arguments[2] & 0o3:
        return
    happened.append(f"{event} {arguments!r:.200}")


def told(path: Path) -> dict[str, Any]:
    global awake
    happened.clear()
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    awake = True
    try:
        seen = skim(path)
        result: dict[str, Any] = {"form": seen.form, "faults": seen.faults, "globals": seen.globals[:20]}
    except Exception as error:
        result = {"form": "", "faults": [], "skim_error": f"{type(error).__name__}: {error}"}
    try:
        found = read(path)
        result["read"] = sorted(found)
        result["sums"] = [float(tensor.double().sum()) for tensor in tensors(found)]
    except Exception as error:
        result["error"], result["said"] = type(error).__name__, str(error)
    awake = False
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return result | {
        "events": list(happened),
        "grown_mb": grown >> (10 if sys.platform == "linux" else 20),
        "seconds": time.perf_counter() - start,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    for path in sorted((folder / "warm").iterdir()):
        skim(path)
        read(path)
    b"\\".decode("raw_unicode_escape")  # of texts in protocol 0; Python imports a codec when it is first used
    sys.addaudithook(hook)
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, resource.RLIM_INFINITY))
    json.dump({path.name: told(path) for path in sorted((folder / "files").iterdir())}, sys.stdout)


main()
