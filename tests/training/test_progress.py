"""What a person sees of a training."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from keras_unet3p.training import EpochProgress


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _run(progress, clock, *, epochs, steps, seconds_a_step, first=0):
    progress.on_train_begin()
    for epoch in range(first, epochs):
        progress.on_epoch_begin(epoch)
        for step in range(steps):
            clock.now += seconds_a_step
            progress.on_train_batch_end(step, {"loss": 0.5})
        progress.on_epoch_end(epoch, {"loss": 0.25, "progress": (epoch + 1) / epochs})
    progress.on_train_end()


@pytest.fixture
def log():
    """A console that is no terminal."""
    return Console(file=io.StringIO(), width=60)


def test_a_log_gets_a_line_now_and_then(log):
    clock = Clock()
    progress = EpochProgress(log, epochs=2, steps_per_epoch=10, clock=clock)
    _run(progress, clock, epochs=2, steps=10, seconds_a_step=8.0)
    assert log.file.getvalue().splitlines() == [
        "epoch 1/2  step 4/10  loss 0.5000  20%  0:02:08 left",
        "epoch 1/2  step 8/10  loss 0.5000  40%  0:01:36 left",
        "epoch 1/2  loss 0.2500  80.0 s",
        "epoch 2/2  step 4/10  loss 0.5000  70%  0:00:48 left",
        "epoch 2/2  step 8/10  loss 0.5000  90%  0:00:16 left",
        "epoch 2/2  loss 0.2500  80.0 s",
    ]


def test_quick_epochs_need_no_lines_between(log):
    clock = Clock()
    progress = EpochProgress(log, epochs=3, steps_per_epoch=10, clock=clock)
    _run(progress, clock, epochs=3, steps=10, seconds_a_step=1.0)
    assert len(log.file.getvalue().splitlines()) == 3


def test_a_run_that_goes_on_begins_with_what_is_done(log):
    clock = Clock()
    progress = EpochProgress(log, epochs=4, steps_per_epoch=10, clock=clock)
    _run(progress, clock, epochs=4, steps=10, seconds_a_step=31.0, first=3)
    assert log.file.getvalue().startswith("epoch 4/4  step 1/10  loss 0.5000  78%\n")


def test_a_run_by_time_counts_the_time(log):
    clock = Clock()
    progress = EpochProgress(log, epochs=None, steps_per_epoch=10, seconds=400.0, clock=clock)
    _run(progress, clock, epochs=1, steps=10, seconds_a_step=31.0)
    lines = log.file.getvalue().splitlines()
    assert lines[0] == "epoch 1  step 1/10  loss 0.5000  8%  0:06:09 left"
    assert lines[-1] == "epoch 1  100%  loss 0.2500  310.0 s"


def test_a_terminal_gets_one_bar_for_the_run():
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    progress = EpochProgress(console, epochs=2, steps_per_epoch=4, clock=clock)
    progress.on_train_begin()
    progress.on_epoch_begin(0)
    bar = progress._bar
    (task,) = bar.tasks
    assert task.fields["loss"] == "preparing"
    progress.on_train_batch_end(0, {"loss": 0.5})
    clock.now += 3.0
    progress.on_train_batch_end(1, {"loss": 0.5})
    assert (task.completed, task.fields["left"]) == (0.25, "0:00:18 left")
    progress.on_epoch_end(0, {"loss": 0.5})
    progress.on_epoch_begin(1)
    assert progress._bar is bar
    assert task.completed == 0.5
    progress.on_train_end()
    assert progress._bar is None
    assert "nan" not in console.file.getvalue()
