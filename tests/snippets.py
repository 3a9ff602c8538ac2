"""The snippets of Markdown pages, and how the tests run them: seconds instead of hours."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from typer.testing import CliRunner

from keras_unet3p import cli, planning

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)

# Added to a command that a page shows; what is given twice counts as it is given last.
SHORTENED = {
    "train": "--patch-size 32 --batch-size 2 --hours 0.0001",
    "export": "--tile-size 64",
    "capacity": "--largest 64",
}
SMALL_NETWORK = "--architecture unet --filters 2 --depth 1"
# What `plan` finds out about this machine in half a minute; tests/planning measures it.
MACHINE = planning.Machine(cores=2, gpus=0, filters=16, step_seconds={"float32": 0.5})
# Begun by a page and not ended, or tested on their own.
NOT_RUN = ("quickstart", "serve")


class Snippet(NamedTuple):
    """What stands in a fence: its language and its lines."""

    language: str
    code: str

    def commands(self) -> list[str]:
        """Of a shell snippet, a line for each command."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [line for line in lines if line and not line.startswith("#")]


def snippets_of(text: str) -> list[Snippet]:
    return [Snippet(*found) for found in FENCE.findall(text)]


def shortened(line: str) -> list[str]:
    """The arguments of a command `unet3p ...` as the tests run it."""
    arguments = shlex.split(line)[1:]
    added = SHORTENED.get(arguments[0], "")
    if arguments[0] == "train" and "--init" not in arguments:  # which brings its own network
        added += f" {SMALL_NETWORK}"
    return arguments + shlex.split(added)


def run_command(line: str) -> None:
    """Run a line of a shell snippet in this process and folder; other programs beside it."""
    if line.startswith("unet3p "):
        arguments = shortened(line)
        if arguments[0] in NOT_RUN or ("bioimageio" in arguments and not find_spec("bioimageio")):
            return
        with mock.patch.object(planning.Machine, "measured", return_value=MACHINE):
            result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
    elif line.startswith("curl ") and shutil.which("curl"):
        subprocess.run(["curl", "-sSf", *shlex.split(line)[1:]], check=True)
