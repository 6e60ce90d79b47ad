"""A JupyterLab for tests: what ``make lab`` starts, with a port, settings and a home of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
# On a machine that has much else to do.
START_SECONDS = 180
ANSWER_SECONDS = 60
STOP_SECONDS = 15


class LabServer:
    """A running JupyterLab that only this test knows; use it in a ``with`` statement.

    Parameters
    ----------
    notebooks : Path
        Folder it serves.
    scratch : Path
        Folder for its home, its settings and its log.
    environment : dict
        Added to the environment of the server and of its kernels.
    """

    def __init__(self, notebooks: Path, scratch: Path, environment: dict[str, str]):
        self.notebooks, self.scratch = notebooks, scratch
        self.token = ""  # until it has started
        self.port = _free_port()
        self.log = scratch / "server.log"
        self._environment = os.environ | environment | self._isolation()
        self._environment.pop("JUPYTER_TOKEN", None)
        self._process: subprocess.Popen | None = None

    def _isolation(self) -> dict[str, str]:
        """Every place where Jupyter would look for, or leave, something of the user's."""
        names = {
            "HOME": "home",
            "IPYTHONDIR": "ipython",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        folders = {name: self.scratch / folder for name, folder in names.items()}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        return {name: str(folder) for name, folder in folders.items()} | {
            "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the machine's
        }

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runtime(self) -> Path:
        """Folder where Jupyter writes down its token and the ports of its kernels."""
        return self.scratch / "runtime"

    def _command(self) -> list[str]:
        environment = os.path.relpath(sys.prefix, ROOT)
        return [
            *("make", "--silent", "lab"),
            f"--old-file={environment}/.ready",  # the environment is there: these tests run in it
            f"VENV={environment}",
            f"NOTEBOOKS={self.notebooks}",
            f"LAB_OPTIONS=--no-browser --ServerApp.port={self.port} --ServerApp.port_retries=0",
        ]

    def start(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._read_token()
                self.request("/api/status")
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}") from error
                time.sleep(0.2)

    def _read_token(self) -> None:
        """The token that the server has chosen."""
        written = list(self.runtime.glob("jpserver-*.json"))
        if not written:
            raise FileNotFoundError("the server has not written down its token")
        try:
            self.token = json.loads(written[0].read_text(encoding="utf-8"))["token"]
        except json.JSONDecodeError as error:
            raise OSError("the server is writing down its token") from error

    def processes(self) -> list[psutil.Process]:
        """The server, its kernels, and whatever else they have started."""
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """End the server and its kernels, which live in process groups of their own."""
        if self._process is None:
            return
        processes = self.processes()
        try:
            os.killpg(self._process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        _, left = psutil.wait_procs(processes, timeout=STOP_SECONDS)
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait(timeout=STOP_SECONDS)

    def request(self, path: str, method: str = "GET", body: dict | None = None):
        """Answer of the server's REST interface."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.address + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def shut_down_kernels(self) -> None:
        """Free the memory of every notebook that was open."""
        for session in self.request("/api/sessions"):
            self.request(f"/api/sessions/{session['id']}", method="DELETE")

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error):
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
