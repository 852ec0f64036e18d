"""Prompt templates: the sentences that make a class name a caption; ``{c}`` stands for the name."""

from __future__ import annotations

from functools import cache

from bezoar.core.settings import nearest

PLACEHOLDER = "{c}"
PLAIN = ("a photo of a {c}",)
NAMES = ("openai", "plain", "simple")


@cache
def _of_open_clip(name: str) -> tuple[str, ...]:
    import open_clip

    lists = {"openai": open_clip.OPENAI_IMAGENET_TEMPLATES, "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES}
    return tuple(template(PLACEHOLDER) for template in lists[name])


def templates(spec: str | tuple[str, ...]) -> tuple[str, ...]:
    """The templates that ``spec`` names, or ``spec`` itself if it is a tuple of templates.

    ``openai`` are CLIP's 80 for ImageNet, ``simple`` the seven of them that do almost as well, ``plain`` is one.
    """
    if isinstance(spec, str):
        if spec not in NAMES:
            hint = f"; a template of your own goes into a list: ['{spec}']" if PLACEHOLDER in spec else ""
            raise ValueError(f"templates: no templates are called '{spec}'{hint or nearest(spec, NAMES)}")
        return PLAIN if spec == "plain" else _of_open_clip(spec)
    if not spec:
        raise ValueError(f"templates: need at least one template, or a name{nearest('', NAMES)}")
    for position, template in enumerate(spec):
        if template.count(PLACEHOLDER) != 1:
            raise ValueError(f"templates.{position}: must hold {PLACEHOLDER} exactly once, got {template!r}")
    return spec


def fill(template: str, name: str) -> str:
    """``template`` with ``name`` in its place."""
    # Not str.format: templates and class names may hold other braces.
    return template.replace(PLACEHOLDER, name)
