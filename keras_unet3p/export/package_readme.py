"""The README.md of a package for the BioImage Model Zoo."""

from __future__ import annotations

from keras_unet3p.export.package_text import PackageText
from keras_unet3p.export.packaged_network import PackagedNetwork
from keras_unet3p.postprocessing import InstanceRule, MaskRule


def package_readme(
    text: PackageText, network: PackagedNetwork, rule: MaskRule | InstanceRule
) -> str:
    """Markdown with the headings "Validation" and "Training data"."""
    sections = {
        "Input": f"Images of {network.channels} channel(s), any size. {network.values}",
        "Output": "The probability of each class at each pixel, from 0 to 1.",
        "What follows": _what_follows(rule),
    }
    if text.card is None:
        sections |= {"Training data": text.training_data, "Validation": text.validation}
    parts = [f"# {text.name}", text.description]
    parts += [f"## {title}\n\n{content}" for title, content in sections.items()]
    if text.card is not None:
        parts.append(_one_level_down(text.card))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _what_follows(rule: MaskRule | InstanceRule) -> str:
    chosen = ", ".join(f"{name} {value}" for name, value in rule.to_dict().items())
    if isinstance(rule, InstanceRule):
        return (
            "No part of the package: a seeded watershed makes objects of the two maps, foreground "
            f"and core (keras_unet3p.postprocessing.InstanceRule: {chosen})."
        )
    return (
        "No part of the package: the mask is where the probability reaches the threshold, or of "
        f"several classes the likeliest one (keras_unet3p.postprocessing.MaskRule: {chosen})."
    )


def _one_level_down(markdown: str) -> str:
    lines = markdown.splitlines()
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in lines)
