"""What is seen of a job that takes a while."""

import io

import pytest
from rich.console import Console

from keras_unet3p.progress import reporting, time_left


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 8.0
        return self.now


def shown(progress, *, terminal=False, steps=10):
    console = Console(file=io.StringIO(), width=60, force_terminal=terminal)
    with reporting(progress, steps, "segmenting", console=console, clock=Clock()) as report:
        for step in range(steps):
            report(step + 1, steps)
        report(steps, steps)  # told twice, shown once
    return console.file.getvalue()


def test_a_log_gets_a_line_every_half_minute_with_the_time_left():
    assert shown(True).splitlines() == [
        "segmenting  4/10  40%  0:00:48 left",
        "segmenting  8/10  80%  0:00:16 left",
        "segmenting  10/10  100%",
    ]


def test_a_short_job_leaves_its_end_in_a_log():
    assert shown(True, steps=3).splitlines() == ["segmenting  3/3  100%"]


def test_a_console_that_is_given_is_written_to():
    console = Console(file=io.StringIO(), width=60)
    assert shown(console) == ""
    assert console.file.getvalue().splitlines()[-1] == "segmenting  10/10  100%"
    quiet = Console(file=io.StringIO(), quiet=True, force_terminal=True)
    shown(quiet)
    assert quiet.file.getvalue() == ""


def test_a_terminal_gets_a_bar():
    assert "segmenting" in shown(True, terminal=True)


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_shown_where_nothing_was_asked(terminal):
    assert shown(False, terminal=terminal) == ""


def test_a_function_is_told_of_each_step():
    told = []
    assert shown(lambda *step: told.append(step), steps=2) == ""
    assert told == [(1, 2), (2, 2), (2, 2)]


def test_unknown_time_is_no_word():
    assert time_left(float("nan")) == ""
