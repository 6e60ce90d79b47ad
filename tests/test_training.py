"""Checkpoints, prefetching, Ctrl-C held back, and shares of a batch."""

import signal
import threading
import time
import zipfile

import pytest
import torch

from rcnn_helpers.errors import SettingsError, WeightsError
from rcnn_helpers.training import Checkpoint, Prefetcher, Processes, interrupts_held, processes


@pytest.fixture
def trained():
    """A module and its optimizer after two steps, so that momentum is not empty."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 2))
    module.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        step(module, optimizer)
    return module, optimizer


pytestmark = pytest.mark.usefixtures("ctrl_c")


def step(module, optimizer):
    optimizer.zero_grad()
    module(torch.linspace(0, 1, 27).reshape(1, 3, 3, 3)).square().sum().backward()
    optimizer.step()


def fresh():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 2))
    module.to(memory_format=torch.channels_last)
    return module, torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)


def test_a_checkpoint_brings_back_weights_momentum_and_numbers(trained, tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {"seed": 1})
    checkpoint.save(*trained, step=2, losses=[0.1, 1 / 3])
    module, optimizer = fresh()
    state = checkpoint.restore(module, optimizer)
    assert state["step"] == 2 and state["losses"] == [0.1, 1 / 3]
    step(*trained)
    step(module, optimizer)
    for ours, theirs in zip(module.parameters(), trained[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    checkpoint.remove()
    assert checkpoint.restore(module, optimizer) is None
    checkpoint.remove()  # a second time does no harm


def test_a_checkpoint_of_another_run_is_refused(trained, tmp_path):
    Checkpoint(tmp_path / "run.checkpoint", {"seed": 1}).save(*trained)
    with pytest.raises(WeightsError, match="other settings.*seed.*remove it"):
        Checkpoint(tmp_path / "run.checkpoint", {"seed": 2}).restore(*fresh())


@pytest.mark.parametrize("keep", [0, 10, 1000, -20])
def test_a_damaged_checkpoint_is_refused(trained, tmp_path, keep):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {})
    checkpoint.save(*trained)
    content = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(content[:keep])
    with pytest.raises(WeightsError, match="damaged.*remove it"):
        checkpoint.restore(*fresh())


@pytest.mark.parametrize("record", ["data.pkl", "data/0", "data/2"])
def test_a_changed_byte_in_a_checkpoint_is_noticed(trained, tmp_path, record):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {})
    checkpoint.save(*trained, losses=[1.25, 2.5])
    content = bytearray(checkpoint.path.read_bytes())
    with zipfile.ZipFile(checkpoint.path) as archive:
        (inside,) = [name for name in archive.namelist() if name.endswith(f"/{record}")]
        stored = archive.read(inside)
    content[content.index(stored) + len(stored) // 2] ^= 1
    checkpoint.path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged.*remove it"):
        checkpoint.restore(*fresh())


def test_a_checkpoint_of_another_network_is_refused(trained, tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {})
    checkpoint.save(*trained)
    module = torch.nn.Linear(2, 2)
    with pytest.raises(WeightsError, match="another network"):
        checkpoint.restore(module, torch.optim.SGD(module.parameters(), lr=0.1))


def test_prefetching_gives_every_batch_once_in_order():
    assert list(Prefetcher(lambda step: step**2, 3, 8)) == [9, 16, 25, 36, 49]
    assert list(Prefetcher(lambda step: step, 5, 5)) == []


def test_the_next_batch_is_made_while_the_current_one_is_used():
    made, done = [], threading.Event()

    def make(step):
        made.append(step)
        if step == 1:
            done.set()
        return step

    for batch in Prefetcher(make, 0, 4):
        if batch == 0:
            assert done.wait(10)
        assert max(made) <= batch + 1  # one ahead and no more: two buffers suffice


def test_an_error_in_preparing_a_batch_reaches_the_trainer():
    def make(step):
        if step == 2:
            raise ValueError("no such picture")
        return step

    seen = []
    with pytest.raises(ValueError, match="no such picture"):
        for batch in Prefetcher(make, 0, 4):
            seen.append(batch)
    assert seen == [0, 1]


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append("whole")
        done.append("not reached")
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_ctrl_c_nothing_happens_and_errors_pass():
    with interrupts_held():
        pass
    with pytest.raises(ZeroDivisionError), interrupts_held():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupts_can_be_held_in_any_thread():
    seen = []

    def work():
        with interrupts_held():
            seen.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [1]


def test_a_checkpoint_being_written_is_finished_before_ctrl_c(trained, tmp_path, monkeypatch):
    original = torch.save

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        original(*arguments)

    monkeypatch.setattr(torch, "save", interrupted)
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {})
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(*trained, step=2)
    assert checkpoint.restore(*fresh())["step"] == 2


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_shares_are_equal_and_cover_the_batch(count):
    rows = [row for rank in range(count) for row in range(8)[Processes(rank, count).share(8)]]
    assert rows == list(range(8))


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    with pytest.raises(SettingsError, match="batch of 128 .* equally by 3 processes"):
        Processes(0, 3).share(128)


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with processes("cpu") as here:
        assert here == Processes(0, 1, 0) and here.is_first
        with here.first_alone():
            started = time.monotonic()
        here.wait()
        assert time.monotonic() - started < 5
        value = torch.tensor(3.0)
        assert here.mean(value) is value
    assert not torch.distributed.is_initialized()
