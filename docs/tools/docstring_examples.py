"""For mkdocstrings: the section that our docstrings call "Example" is Griffe's "Examples"."""

from __future__ import annotations

import re

import griffe


class DocstringExamples(griffe.Extension):
    """Without it, examples would be shown as quotations."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring is not None:
            value = obj.docstring.value
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", value, flags=re.M)
