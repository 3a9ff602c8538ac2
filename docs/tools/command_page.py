"""The page of the command line's options, made of the command itself."""

from __future__ import annotations

import typer

from keras_unet3p import cli


def text() -> str:
    """As Markdown."""
    command = typer.main.get_command(cli.app)
    lines = ["# The command `unet3p`", "", (command.help or "").strip(), ""]
    for name, part in command.commands.items():
        arguments = [p for p in part.params if p.param_type_name == "argument"]
        usage = " ".join(["unet3p", name, *(p.name.upper() for p in arguments), "[OPTIONS]"])
        lines += [f"## {name}", "", f"`{usage}`", "", (part.help or "").strip(), ""]
        lines += ["| | default | |", "| --- | --- | --- |"]
        for parameter in part.params:
            lines.append(_row(parameter))
        lines += ["", part.epilog or "", ""]
    lines.append(command.epilog or "")
    return "\n".join(lines)


def _row(parameter) -> str:
    if parameter.param_type_name == "argument":
        return f"| `{parameter.name.upper()}` | | {_cell(parameter.help or '')} |"
    names = "/".join((*parameter.opts, *parameter.secondary_opts))
    metavar = parameter.metavar or ""
    name = f"`{names} {metavar}`" if metavar else f"`{names}`"
    return f"| {_cell(name)} | {_cell(_default(parameter))} | {_cell(parameter.help or '')} |"


def _default(parameter) -> str:
    if parameter.required:
        return "to be given"
    shown = parameter.show_default
    if isinstance(shown, str):
        return f"`{shown}`"
    if shown is False or parameter.default is None or callable(parameter.default):
        return ""
    if isinstance(parameter.default, bool):
        return "yes" if parameter.default else "no"
    return f"`{parameter.default}`"


def _cell(cell: str) -> str:
    return cell.replace("|", r"\|").replace("\n", " ")
