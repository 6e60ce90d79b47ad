"""What pre-training and fine-tuning share: checkpoints, batches prepared ahead, and several processes as one.

All of it serves one aim: the outcome of a training run follows from its settings alone, however often it was
interrupted and over however many processes it was spread.
"""

import io
import json
import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch

from rcnn_helpers.errors import SettingsError, WeightsError
from rcnn_helpers.storage import atomic_write

# Longer than any process has to wait while the first one fills a cache or validates alone.
_PATIENCE = timedelta(days=7)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done: a step is taken wholly or not at all, a file written whole."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hands signals to the main thread only
        return
    arrived = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if arrived:
            signal.raise_signal(signal.SIGINT)


class Checkpoint:
    """The state of an unfinished run in a file beside its output.

    Parameters
    ----------
    path : path-like
    identity : dict
        JSON values that decide the run; a checkpoint of another run is refused.
    """

    def __init__(self, path, identity: dict):
        self.path = Path(path)
        self.identity = json.dumps(identity, sort_keys=True)

    def save(self, module, optimizer, **state) -> None:
        """Write weights, the optimizer and any further numbers, lists or tensors, atomically."""
        content = {
            "settings": self.identity,
            "module": module.state_dict(),
            "optimizer": optimizer.state_dict(),
            **state,
        }
        buffer = io.BytesIO()
        with interrupts_held():
            torch.save(content, buffer)
            atomic_write(self.path, lambda file: file.write(buffer.getbuffer()))

    def restore(self, module, optimizer) -> dict | None:
        """Bring `module` and `optimizer` to the saved state and return it whole; None without a checkpoint.

        Raises
        ------
        WeightsError
            If the file is damaged or was made with other settings.
        """
        if not self.path.is_file():
            return None
        try:
            _verify_archive(self.path)
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["settings"] != self.identity:
                raise WeightsError(
                    f"the checkpoint {self.path} was made with other settings ({state['settings']}); "
                    "use those, remove it, or write to another file"
                )
            module.load_state_dict(state["module"])
            optimizer.load_state_dict(state["optimizer"])
        except WeightsError:
            raise
        except Exception as error:  # whatever a damaged file makes torch raise
            raise WeightsError(
                f"the checkpoint {self.path} is damaged or of another network ({type(error).__name__}); "
                "remove it to start again"
            ) from error
        return state

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)


def _verify_archive(path) -> None:
    """Hold the content of a file of PyTorch against the checksums in it, which `torch.load` does not do."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")


class Prefetcher:
    """Prepares the next batch in a thread of its own while the network trains on the current one.

    Parameters
    ----------
    make : callable
        ``make(step)`` returns the batch of a step.
    first_step, last_step : int
        Steps from `first_step` up to, not including, `last_step`.
    """

    def __init__(self, make: Callable, first_step: int, last_step: int):
        self.make = make
        self.steps = range(first_step, last_step)

    def __iter__(self) -> Iterator:
        with ThreadPoolExecutor(max_workers=1) as pool:
            pending = pool.submit(self.make, self.steps.start) if self.steps else None
            for step in self.steps:
                batch = pending.result()
                if step + 1 < self.steps.stop:
                    pending = pool.submit(self.make, step + 1)
                yield batch


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes
    ----------
    rank, count : int
        Number of this process from 0, and how many there are.
    local_rank : int
        Number of this process on its machine, which is that of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """The part of `n` rows that is this process's own; all parts are equally long."""
        if n % self.count:
            raise SettingsError(
                f"a batch of {n} cannot be shared equally by {self.count} processes; "
                f"choose a batch size that {self.count} divides, or another number of processes"
            )
        length = n // self.count
        return slice(self.rank * length, (self.rank + 1) * length)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a number over all processes, each of which gives its own."""
        if self.count > 1:
            torch.distributed.all_reduce(value)
            value = value / self.count
        return value

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.count > 1:
            torch.distributed.barrier()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process do something before the others do it, such as filling a cache."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


@contextmanager
def processes(device_type: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started; without it this process is the only one.

    Parameters
    ----------
    device_type : str
        ``"cuda"`` talks over NCCL and gives each process a GPU of its own; anything else over Gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    already = torch.distributed.is_initialized()
    if not already:
        backend = "nccl" if device_type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    here = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    try:
        if device_type == "cuda":
            _take_own_gpu(here)
        yield here
    finally:
        if not already:
            torch.distributed.destroy_process_group()


def _take_own_gpu(here: Processes) -> None:
    n_gpus = torch.cuda.device_count()
    if here.local_rank >= n_gpus:
        raise SettingsError(
            f"process {here.local_rank} on this machine finds no GPU of its own, for there are {n_gpus}; "
            "start at most as many processes as GPUs, or choose the device cpu"
        )
    torch.cuda.set_device(here.local_rank)
