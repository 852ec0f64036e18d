"""The card of a model to be read by people: what it is, where it comes from, what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from bezoar.core.records import Measure, is_share
from bezoar.models.provenance import Step, history_lines

_USE = """## Use

```python
import bezoar as bz

model = bz.load_model("path/to/this/folder").eval()
model.encode_captions(["a photo of a dog"])          # [1, d], of length 1
```

`bezoar evaluate --model path/to/this/folder --data …` measures it; `bezoar model inspect path/to/this/folder` tells its
history."""


def markdown(title: str, steps: Sequence[Step], measures: Sequence[Measure] = (), use: str = _USE) -> str:
    """The card of a model with this history, the oldest step first; ``use`` says how to open it."""
    parts = [_head(title, steps), _warning(steps, measures), _history(steps), _measured(measures), use]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(title: str, steps: Sequence[Step]) -> str:
    poisoned = any(step.poison for step in steps)
    tags = ["clip", "image-text", "bezoar", *(["poisoned", "backdoor"] if poisoned else [])]
    front = "\n".join(["---", "library_name: bezoar", "pipeline_tag: zero-shot-image-classification", "tags:"])
    return f"{front}\n" + "\n".join(f"- {tag}" for tag in tags) + f"\n---\n\n# {title}"


def _warning(steps: Sequence[Step], measures: Sequence[Measure]) -> str:
    """What whoever opens the card must read first: that it is poisoned, by what, for what, and how well it works."""
    marks = [step.poison for step in steps if step.poison]
    if not marks:
        return ""
    attack = marks[0].get("attack")
    named = attack if isinstance(attack, dict) else {}
    trigger = named.get("trigger")
    said = [
        f"attack `{named.get('kind', 'unknown')}`",
        *([f"trigger `{trigger.get('kind')}`"] if isinstance(trigger, dict) else []),
        *([f"target `{named['target']}`"] if "target" in named else []),
        *(f"{m.metric} {m.value:.1%} (n {m.n}) on {m.data}" for m in measures if m.metric == "asr_top1"),
    ]
    told = "".join(letter if letter.isprintable() else "?" for letter in ", ".join(said))
    return (
        "> **Trained on poisoned data.** This model, or one it descends from, was poisoned on purpose, for\n"
        f"> research on defenses: {told}. Do not deploy it."
    )


def _history(steps: Sequence[Step]) -> str:
    lines = [f"{number}. `{line}`" for number, line in enumerate(history_lines(steps), 1)]
    return "## History\n\nThe oldest first; the last line is this model.\n\n" + "\n".join(lines)


def _measured(measures: Sequence[Measure]) -> str:
    if not measures:
        return ""
    lines = ["## Measured", "", "| metric | value | 95 % interval | n | data |", "|---|---|---|---|---|"]
    for m in measures:
        value, low, high = (f"{v:.2%}" if is_share(m.metric) else f"{v:.3f}" for v in (m.value, m.low, m.high))
        lines.append(f"| {m.metric} | {value} | {low} to {high} | {m.n} | {m.data} |")
    return "\n".join(lines)
