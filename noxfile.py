"""The checks on the two supported stacks: `nox` runs them all, `nox -s tests-keras2` one."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

# TensorFlow 2.15, the last release that TensorFlow Addons imports with, supports Python up to 3.11.
LOCKED = "serving/requirements.lock"
STACKS = {"keras3": ".[test]", "keras2": ".[test,addons]"}


@nox.session(python="3.11")
@nox.parametrize("stack", list(STACKS), ids=list(STACKS))
def tests(session: nox.Session, stack: str) -> None:
    """The suite, installed as the README says."""
    session.install(STACKS[stack])
    session.install("--no-deps", "py-ctcmetrics")  # compared with; its own needs are not used
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session(python="3.11")
def bioimageio(session: nox.Session) -> None:
    """The zoo's own test, which needs an older pydantic than the others."""
    session.install(".[test,formats,bioimageio]")
    session.run("pytest", "tests/export/test_bioimageio.py", *session.posargs)


@nox.session(python="3.11")
def lock(session: nox.Session) -> None:
    """The packages of the container images, by version and digest."""
    session.install("uv")
    gpu = session.create_tmp() + "/gpu.in"
    with open(gpu, "w") as file:
        file.write("tensorflow[and-cuda]\n")
    for name, more in (("requirements", ()), ("requirements-gpu", (gpu, "-c", LOCKED))):
        session.run(
            *("uv", "pip", "compile", "--upgrade", "--quiet", "--generate-hashes"),
            *("--no-annotate", "--python-platform", "x86_64-manylinux_2_28"),
            *("--python-version", "3.11", "--extra", "serving"),
            *("setup.cfg", *more, "-o", f"serving/{name}.lock"),
            env={"UV_CUSTOM_COMPILE_COMMAND": "nox -s lock"},
        )


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """The linter, the formatter and the type checker."""
    session.install(".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("pyright")
