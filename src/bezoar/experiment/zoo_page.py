"""The table of a zoo, and the page beside it that says what it is and how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bezoar.core.files import write_text
from bezoar.experiment.zoo_models import INDEX, RULE, ZooModel

if TYPE_CHECKING:
    from bezoar.core.records import Measure
    from bezoar.experiment.experiment import Experiment

HEAD = (
    "Model", "Role", "Attack", "Target", "Poisoned pairs", "Clean accuracy", "Attack success", "Without it", "Takes",
)  # fmt: skip


def table(models: Sequence[ZooModel]) -> str:
    """One line a model: a Markdown table that is aligned, so that a terminal shows it as well."""
    cells = [HEAD, *(_line(model) for model in models)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "".join(f"| {line} |\n" for line in lines)


def write_page(models: Sequence[ZooModel], experiment: Experiment, root: Path) -> None:
    """Write ``README.md``."""
    count = {role: sum(model.role == role for model in models) for role in ("clean", "poisoned", "cleaned")}
    took = sum(model.takes is True for model in models if model.role == "poisoned")
    write_text(
        root / "README.md",
        f"# {experiment.name}\n\n{experiment.about}\n\n"
        f"{len(models)} models on `{experiment.model}`: {count['clean']} clean, {count['poisoned']} poisoned, of whose "
        f"attacks {took} take, {count['cleaned']} cleaned. Some are poisoned on purpose, for research on defenses: do "
        "not deploy them.\n\n"
        f"{table(models)}\n"
        f"Accuracy and success with 95 % intervals, on “{experiment.report_on}”. {RULE} Of a cleaned model the same is "
        "told: whether its victim's attack still works. The success of a clean model is of an attack that it never "
        f"met.\n\nWho is poisoned, by what and how well stands in `{INDEX}`:\n\n"
        "```python\nfrom bezoar import zoo_models\n\n"
        'for entry in zoo_models("this/folder"):\n'
        "    print(entry.name, entry.poisoned, entry.attack, entry.takes, entry.model())\n```\n\n"
        "Each model is an ordinary model folder, for `--model`; `run/` is the run that made them, with every record, "
        "plan and setting. It may be deleted, and then the same command makes all anew.\n",
    )


def _line(model: ZooModel) -> tuple[str, ...]:
    cells = (
        model.name,
        model.role,
        model.attack or "–",
        _targets(model.targets),
        f"{model.poison.count:,} of {model.poison.total:,}" if model.poison else "–",
        _share(model.accuracy),
        _share(model.success),
        _share(model.without),
        {True: "yes", False: "no", None: "–"}[model.takes],
    )
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _targets(names: Sequence[str]) -> str:
    return f"{len(names)} classes" if len(names) > 3 else ", ".join(names) or "–"


def _share(measure: Measure | None) -> str:
    """``93.8 % (92.7–94.8)``."""
    if measure is None:
        return "–"
    return f"{100 * measure.value:.1f} % ({100 * measure.low:.1f}–{100 * measure.high:.1f})"
