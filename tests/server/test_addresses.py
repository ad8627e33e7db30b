"""Where the panel listens."""

from __future__ import annotations

import signal
import socket
import stat
import urllib.request

import pytest

from server import addresses
from tests.support import wait_until


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "2001:db8::1"])
def test_no_address_that_others_reach_is_listened_at(host):
    sentence = addresses.trouble([("127.0.0.1", 0), (host, 0)])
    assert "where other machines reach it; use 127.0.0.1" in sentence
    assert (host or "0.0.0.0") in sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.9", "127.1"])
def test_every_loopback_address_is_listened_at(host):
    assert addresses.trouble([(host, 0)]) is None


@pytest.mark.parametrize("host", ["no such host", "a" * 64, "\udcff", "no-such-host.invalid"])
def test_what_is_no_address_is_named(host):
    assert "no address of this machine" in addresses.trouble([(host, 0)])


@pytest.mark.parametrize("path", ["", "\0queuectl", b"\0queuectl"])
def test_a_unix_socket_without_permissions_is_refused(path):
    assert "name a path" in addresses.trouble([path])


def test_a_port_that_is_taken_is_named_with_another(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"make run PORT={port + 1}" in addresses.trouble([("127.0.0.1", port)])
    assert "port 99999" in addresses.trouble([("127.0.0.1", 99999)])


def test_a_socket_that_was_opened_by_another_program_is_judged_as_well(tmp_path):
    assert addresses.trouble([3]) is None
    with socket.create_server(("0.0.0.0", 0)) as handed:
        assert "other machines" in addresses.exposed([handed])
    with socket.create_server(("127.0.0.1", 0)) as handed:
        assert addresses.exposed([handed]) is None


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o660, False), (0o666, True), (0o602, True)])
def test_a_unix_socket_that_every_user_may_open_is_refused(tmp_path, mode, is_open):
    path = tmp_path / "panel.sock"
    with socket.socket(socket.AF_UNIX) as handed:
        handed.bind(str(path))
        path.chmod(mode)
        assert bool(addresses.exposed([handed])) is is_open


def test_the_server_does_not_start_beyond_loopback_however_it_is_told(serve):
    for server in (serve("--bind", "0.0.0.0:0"), serve("--workers", "1", GUNICORN_CMD_ARGS="--bind=[::]:0")):
        assert server.process.wait(60) == 1
        assert "where other machines reach it" in server.said()
        assert "Listening at" not in server.said()
        assert "Traceback" not in server.said()


def test_a_unix_socket_is_its_owners_alone_and_named(serve, tmp_path):
    path = tmp_path / "panel.sock"
    server = serve("--bind", f"unix:{path}", "--workers", "1")
    assert server.listens_at() == [f"unix:{path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def answer() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.makefile("rb").read()

    assert b'{"ok":true}' in wait_until(answer)


def test_the_server_says_where_it_listens(serve):
    server = serve("--bind", "127.0.0.1:0", "--bind", "localhost:0", "--workers", "1", QUEUECTL_PREFIX="/queue")
    first, second = server.listens_at()
    assert first.endswith("/queue")
    assert ":0/" not in first + second
    for url in (first, second):
        with urllib.request.urlopen(f"{url}/healthz", timeout=60) as answer:
            assert answer.status == 200


def test_a_reload_does_not_lead_beyond_loopback(serve, tmp_path):
    settings = tmp_path / "settings.py"
    settings.write_text("import runpy\nglobals().update(runpy.run_path('gunicorn.conf.py'))\nbind = '127.0.0.1:0'\n")
    server = serve("--config", str(settings), "--workers", "1")
    server.port()
    settings.write_text(settings.read_text().replace("127.0.0.1", "0.0.0.0"))
    server.process.send_signal(signal.SIGHUP)
    assert server.process.wait(60) != 0
    assert "where other machines reach it" in server.said()
