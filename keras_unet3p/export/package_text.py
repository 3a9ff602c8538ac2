"""What people read of a packaged model."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class PackageText:
    """What a package for the BioImage Model Zoo says in words.

    Args:
        name: at least 5 letters, digits, spaces or any of `_+-()`.
        authors: names; at least one.
        license: SPDX identifier of the weights' licence, such as "CC-BY-4.0".
        description: one or two sentences.
        validation: Markdown, what was measured on images that the training did not see. It comes
            under a heading of its own.
        training_data: Markdown, what the network was trained on.
        architecture: name of the builder, which decides what is cited.
        card: Markdown, the whole model card with a heading "Validation"; in place of `validation`.

    Example:
        >>> text = PackageText("My cells", ["A. Person"], "CC-BY-4.0")
        >>> "Not measured" in text.validation
        True
    """

    name: str
    authors: list[str]
    license: str
    description: str = "A segmentation network."
    validation: str = "Not measured."
    training_data: str = "Not told."
    architecture: str = "unet"
    card: str | None = None
