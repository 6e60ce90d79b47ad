"""``make lab`` opens one door, on this machine only and for whoever has the token, and nothing calls outside."""

import http.client
import ipaddress
import json
import stat
import time
from pathlib import Path

import psutil
import pytest
from lab_server import ANSWER_SECONDS, START_SECONDS, LabServer

# Python names each of these before it happens, in every process that finds this file: the server and the kernels.
WATCHER = """
import os, sys

EVENTS = {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}


def write_down(event, arguments):
    if event in EVENTS:
        address = arguments[1] if hasattr(arguments[0], "fileno") else arguments
        if isinstance(address, tuple):  # a path is a socket in a folder
            with open(os.environ["WATCHED_SOCKETS"], "a") as file:
                file.write(f"{event} {address[0]}\\n")


sys.addaudithook(write_down)
"""
QUIET_SECONDS = 5


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Path:
    """File with the addresses that the server and its kernels name to the system, one a line after the event."""
    return tmp_path_factory.mktemp("watched") / "sockets"


@pytest.fixture(scope="module")
def server(tmp_path_factory, watched):
    (watched.parent / "sitecustomize.py").write_text(WATCHER, encoding="utf-8")
    notebooks, scratch = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")
    environment = {"PYTHONPATH": str(watched.parent), "WATCHED_SOCKETS": str(watched)}
    with LabServer(notebooks, scratch, environment) as running:
        yield running


@pytest.fixture(scope="module")
def kernel(server) -> dict:
    """A started kernel, as the file that the server leaves for it describes it."""
    server.request("/api/kernels", "POST", {"name": "python3"})
    (file,) = server.runtime.glob("kernel-*.json")
    written = json.loads(file.read_text(encoding="utf-8"))
    written |= {"mode": stat.S_IMODE(file.stat().st_mode)}
    deadline = time.monotonic() + START_SECONDS
    while not kernel_ports(written) <= {address.port for address in listening(server)}:
        assert time.monotonic() < deadline, "the kernel does not start"
        time.sleep(0.2)
    return written


def kernel_ports(written: dict) -> set[int]:
    return {written[f"{name}_port"] for name in ("shell", "iopub", "stdin", "control", "hb")}


def is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def sockets(server: LabServer) -> list:
    """TCP and UDP sockets of the server, of its kernels and of what they started."""
    found = []
    for process in server.processes():
        try:
            found += process.net_connections(kind="inet")
        except psutil.NoSuchProcess:
            pass
    return found


def listening(server: LabServer) -> list:
    """Addresses where anybody could knock: TCP that listens, UDP without a partner."""
    return [s.laddr for s in sockets(server) if s.laddr and not s.raddr]


def answer(server: LabServer, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    """Answer to a GET with these headers and no others; redirections are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def test_everything_listens_on_loopback(server, kernel):
    addresses = listening(server)
    assert {server.port} | kernel_ports(kernel) <= {address.port for address in addresses}
    assert not [address for address in addresses if not is_loopback(address.ip)]


def test_a_kernel_obeys_only_whoever_can_read_its_file(kernel):
    assert kernel["ip"] == "127.0.0.1"
    assert len(kernel["key"]) >= 32 and kernel["signature_scheme"] == "hmac-sha256"
    assert kernel["mode"] & 0o077 == 0


def test_nothing_is_shown_without_the_token(server):
    assert len(server.token) >= 32
    for path in ("/lab", "/lab/tree/secret.ipynb", "/files/secret.txt"):
        response = answer(server, path)
        assert response.status in (302, 403), path
        if response.status == 302:
            assert response.getheader("Location").startswith("/login?"), path


@pytest.mark.parametrize(
    "path", ["/api/contents", "/api/kernels", "/api/sessions", "/api/terminals", "/lab/api/settings"]
)
def test_the_interface_is_closed_without_the_token(server, path):
    assert answer(server, path).status == 403
    assert answer(server, path, {"Authorization": "token " + "0" * len(server.token)}).status == 403
    assert answer(server, path, {"Authorization": f"token {server.token}"}).status == 200


def test_a_kernel_takes_no_commands_without_the_token(server, kernel):
    (entry,) = server.request("/api/kernels")
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": server.address}
    assert answer(server, f"/api/kernels/{entry['id']}/channels", upgrade).status == 403


def test_the_token_opens_the_page(server):
    assert answer(server, f"/lab?token={server.token}").status in (200, 302)
    assert answer(server, "/lab", {"Authorization": f"token {server.token}"}).status == 200


@pytest.mark.parametrize("host", ["course.example", "course.example:8888", "192.0.2.7"])
def test_another_name_for_this_machine_is_refused(server, host):
    """A page elsewhere that lets its own name point at this machine reaches nothing (DNS rebinding)."""
    headers = {"Host": host, "Authorization": f"token {server.token}"}
    assert answer(server, "/api/contents", headers).status == 403


def test_the_page_asks_neither_for_news_nor_for_updates(server):
    plugin = server.request("/lab/api/settings/@jupyterlab/apputils-extension:notification")
    defaults = {name: entry["default"] for name, entry in plugin["schema"]["properties"].items()}
    assert defaults["checkForUpdates"] is False and defaults["fetchNews"] == "false"
    assert "fetchNews" not in plugin["settings"] and "checkForUpdates" not in plugin["settings"]


def test_the_list_of_extensions_is_read_from_this_machine(server):
    """By default JupyterLab asks PyPI for the newest version of each extension as soon as the list is opened."""
    installed = server.request("/lab/api/extensions?refresh=1")
    assert "anywidget" in {entry["name"] for entry in installed}


def test_nothing_is_called_outside(server, kernel, watched):
    outside = set()
    end = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < end:
        outside |= {s.raddr.ip for s in sockets(server) if s.raddr and not is_loopback(s.raddr.ip)}
        time.sleep(0.1)
    assert not outside
    events = [line.split(" ", 1) for line in watched.read_text(encoding="utf-8").splitlines()]
    assert ["socket.bind", "127.0.0.1"] in events  # it did watch
    assert not {host for _, host in events if not is_loopback(host)}
