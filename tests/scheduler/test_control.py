"""The control socket: who may speak, what is answered, and that no client can harm the service."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import scheduler.control as module
from scheduler.control import PROTOCOL, SOCKET_NAME, Asked, Control, NoAnswerError, ask
from tests.scheduler.real import application, clock_in, reschedule, service, wait_until

HOSTILE = {
    "garbage": b"garbage\n",
    "an empty line": b"\n",
    "no object": b"[1]\n",
    "an object without protocol": b"{}\n",
    "another protocol": b'{"protocol": 2, "ask": "status"}\n',
    "a bomb of lists": b"[" * 60_000 + b"\n",
    "a bomb of objects": b'{"a":' * 12_000 + b"\n",
    "a number of many digits": b'{"protocol": ' + b"9" * 9000 + b"}\n",
    "zeros": bytes(5000) + b"\n",
    "bytes that are no text": b"\xff\xfe\xed\xa0\x80\n",
    "a line of a megabyte": b'{"protocol": 1, "x": "' + b"a" * (1 << 20) + b'"}\n',
}


def echo(asked: Asked) -> None:
    """Answer with what was asked and by whom."""
    asked.answer({"last": True, "row": asked.row, "who": asked.who})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / SOCKET_NAME


@contextmanager
def listening(file: Path, asked: Callable[[Asked], None] = echo) -> Iterator[Control]:
    control = Control(file, asked)
    try:
        yield control
    finally:
        control.stop()


@pytest.fixture
def control(file: Path) -> Iterator[Control]:
    with listening(file) as control:
        yield control


@contextmanager
def connected(file: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect(str(file))
        yield client


def said(client: socket.socket) -> list[dict[str, Any]]:
    """Everything the other end says up to its last word."""
    rows: list[dict[str, Any]] = []
    with client.makefile("rb") as lines:
        while not rows or not rows[-1].get("last"):
            rows.append(json.loads(lines.readline()))
    return rows


def last(file: Path, **row: object) -> dict[str, Any]:
    *_, answer = ask(file, row, patience=20)
    return answer


def request(**row: object) -> bytes:
    return json.dumps({"protocol": PROTOCOL, **row}).encode() + b"\n"


def asked_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "asked"]


# --- questions and answers ------------------------------------------------------------------------


@pytest.mark.usefixtures("control")
def test_a_request_is_answered_and_the_kernel_says_who_asked(file: Path) -> None:
    answer = last(file, ask="status", who="somebody else")

    assert answer["row"] == {"protocol": PROTOCOL, "ask": "status", "who": "somebody else"}
    assert answer["who"].startswith("user ")
    assert "somebody" not in answer["who"]


def test_a_path_of_any_length_can_be_listened_at(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a folder with a long name"] * 9)
    file = folder / SOCKET_NAME
    assert len(str(file)) > 200

    with listening(file):
        assert last(file, ask="status")["last"]


def test_a_name_that_is_no_text_goes_there_and_back(file: Path) -> None:
    name = os.fsdecode(b"/srv/\xff\xfe")

    with listening(file):
        assert last(file, package=name)["row"]["package"] == name


def test_who_waits_hears_every_second_that_he_is_not_forgotten(file: Path) -> None:
    waiting: list[Asked] = []

    with listening(file, waiting.append), connected(file) as client:
        client.sendall(request())
        with client.makefile("rb") as lines:
            assert json.loads(lines.readline()) == {"alive": True}
            waiting[0].answer({"last": True, "number": 7})
            assert json.loads(lines.readlines()[-1])["number"] == 7


# --- a service that does not answer ---------------------------------------------------------------


def test_no_socket_is_no_answer(file: Path) -> None:
    with pytest.raises(NoAnswerError) as failure:
        last(file)

    assert not failure.value.hangs


def test_a_service_that_does_not_come_to_it_is_given_up(file: Path) -> None:
    with listening(file, lambda _: None), pytest.raises(NoAnswerError) as failure:
        list(ask(file, {}, patience=1.5))

    assert failure.value.hangs
    assert "has not come to it" in str(failure.value)


@pytest.mark.parametrize("backlog", [8, 0])
def test_a_service_that_is_frozen_is_given_up(file: Path, backlog: int) -> None:
    file.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as frozen, connected_later() as others:
        frozen.bind(str(file))
        frozen.listen(backlog)
        others(file, backlog + 1)

        with pytest.raises(NoAnswerError) as failure:
            list(ask(file, {}, patience=0.3))

    assert failure.value.hangs


def test_a_full_queue_is_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met, answers = threading.Event(), list[dict[str, Any]]()
    monkeypatch.setattr(module, "let_pass", lambda _: met.set())
    file.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as slow, connected_later() as fill:
        slow.bind(str(file))
        slow.listen(0)
        fill(file, 1)
        asking = threading.Thread(target=lambda: answers.extend(ask(file, {}, patience=20)))
        asking.start()
        assert met.wait(10)
        for _ in range(2):
            connection, _ = slow.accept()
            with connection:
                connection.sendall(b'{"last": true}\n')
        asking.join(10)

    assert answers == [{"last": True}]


@contextmanager
def connected_later() -> Iterator[Callable[[Path, int], None]]:
    """Clients that fill the queue of a socket."""
    clients: list[socket.socket] = []

    def fill(file: Path, count: int) -> None:
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(str(file))
            clients.append(client)

    try:
        yield fill
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("words", [b"", b'{"alive": true}\n', b'{"last": tr'])
def test_an_answer_that_was_cut_short_is_no_answer(file: Path, words: bytes) -> None:
    file.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dying:
        dying.bind(str(file))
        dying.listen(1)

        def answer() -> None:
            connection, _ = dying.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoAnswerError):
            list(ask(file, {}))
        thread.join(10)


# --- clients that mean harm -----------------------------------------------------------------------


@pytest.mark.usefixtures("control")
@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_request_is_refused_and_the_next_one_answered(file: Path, words: bytes) -> None:
    with connected(file) as client:
        try:
            client.sendall(words)
        except (BrokenPipeError, ConnectionResetError):
            pass  # hung up on, in the middle of a megabyte
        else:
            client.shutdown(socket.SHUT_WR)
        (answer,) = said(client)

    assert answer["error"] == "the request was not understood"
    assert answer["last"]
    assert last(file, ask="status")["last"]


@pytest.mark.parametrize("bite", [b"", b"x"])
def test_who_says_nothing_or_little_by_little_is_hung_up_on(
    file: Path, monkeypatch: pytest.MonkeyPatch, bite: bytes
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.4)

    with listening(file), connected(file) as client:
        wait_until(lambda: hung_up(client, bite), "the line is still open", 5)

    wait_until(lambda: not asked_threads(), "a thread is left")


def hung_up(client: socket.socket, bite: bytes) -> bool:
    client.settimeout(0.1)
    try:
        client.sendall(bite)
        return client.recv(10) == b""
    except TimeoutError:
        return False
    except (BrokenPipeError, ConnectionResetError):
        return True


def test_a_hundred_silent_clients_keep_nobody_out_for_long(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 1.0)
    descriptors = cost_of(os.getpid())[1]

    with listening(file), connected_later() as fill:
        fill(file, 100)
        refused = last(file, ask="status")
        wait_until(lambda: "row" in last(file, ask="status"), "nobody gets in", 10)

    assert "too many ask this service at once" in refused["error"]
    wait_until(lambda: not asked_threads(), "threads are left")
    assert cost_of(os.getpid())[1] <= descriptors


@pytest.mark.usefixtures("control")
def test_clients_that_hang_up_at_any_moment_leave_nothing_behind(file: Path) -> None:
    descriptors = cost_of(os.getpid())[1]
    whole = request(ask="status")

    for end in range(0, len(whole) + 1, 3):
        with connected(file) as client:
            client.sendall(whole[:end])

    wait_until(lambda: not asked_threads(), "threads are left")
    assert cost_of(os.getpid())[1] == descriptors
    assert last(file, ask="status")["last"]


def test_nothing_is_done_for_who_has_hung_up(file: Path) -> None:
    waiting: list[Asked] = []

    with listening(file, waiting.append):
        with connected(file) as client:
            client.sendall(request())
            wait_until(lambda: waiting, "the request never came")
        wait_until(lambda: waiting[0].is_gone, "nobody noticed that he left")


def test_a_process_without_descriptors_hears_again_when_it_has_some(
    file: Path, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    del control
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            client.connect(str(file))
            wait_until(lambda: caplog.records, "the lack was not told")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    # the kernel had kept a descriptor for that client; the next one is heard only if somebody still listens
    assert last(file, ask="status")["last"]
    assert "nobody can ask this service anything now: Too many open files" in caplog.text


# --- the place of the socket ----------------------------------------------------------------------


def test_user_and_group_may_speak_and_nobody_else(file: Path, control: Control) -> None:
    del control
    assert file.stat().st_mode & 0o777 == 0o660
    assert file.parent.stat().st_mode & 0o777 == 0o750


def test_the_socket_of_a_dead_service_is_replaced(file: Path) -> None:
    file.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(file))

    with listening(file):
        assert last(file, ask="status")["last"]


def test_the_socket_of_a_living_service_stays_its_own(file: Path, control: Control) -> None:
    with pytest.raises(OSError, match="another service listens there"):
        Control(file, echo)

    assert control.is_there()
    assert last(file, ask="status")["last"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_of_ours_is_left_alone(file: Path, kind: str) -> None:
    file.parent.mkdir()
    match kind:
        case "file":
            file.write_text("somebody's words")
        case "folder":
            file.mkdir()
        case _:
            file.symlink_to("/nowhere")
    before = file.lstat()

    with pytest.raises(OSError):  # noqa: PT011 - which one does not matter
        Control(file, echo)

    assert file.lstat() == before


@pytest.mark.parametrize("place", ["a file", "a link to nowhere", "read-only"])
def test_a_folder_that_cannot_be_used_is_an_error_and_stays(file: Path, place: str) -> None:
    match place:
        case "a file":
            file.parent.write_text("somebody's words")
        case "a link to nowhere":
            file.parent.symlink_to("/nonexistent")
        case _:
            file = Path("/proc/backup4d") / SOCKET_NAME

    with pytest.raises(OSError):  # noqa: PT011 - which one does not matter
        Control(file, echo)

    assert not file.parent.is_dir()


def test_a_folder_may_be_a_link_to_another_one(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file.parent.symlink_to(tmp_path / "elsewhere")

    with listening(file):
        assert last(file, ask="status")["last"]


def test_a_stopped_socket_is_gone_with_its_thread(file: Path) -> None:
    before = set(threading.enumerate())
    control = Control(file, echo)
    ours = set(threading.enumerate()) - before

    control.stop()

    assert not file.exists()
    assert ours
    wait_until(lambda: not ours & set(threading.enumerate()), "the thread that listens is left")


def test_a_stopped_socket_leaves_another_ones_place_alone(file: Path) -> None:
    control = Control(file, echo)
    file.unlink()
    with listening(file) as other:
        control.stop()

        assert other.is_there()
        assert not control.is_there()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not on this machine")
def test_another_user_cannot_connect() -> None:
    program = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with tempfile.TemporaryDirectory(prefix="b4") as folder:
        Path(folder).chmod(0o755)  # what keeps him out is the socket itself
        file = Path(folder) / SOCKET_NAME
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        with listening(file):
            done = subprocess.run(
                [*nobody, sys.executable, "-I", "-S", "-c", program, str(file)],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

    assert "PermissionError" in done.stderr


# --- the real service -----------------------------------------------------------------------------


def test_no_request_harms_the_real_service(tmp_path: Path) -> None:
    app, stranger = application(tmp_path / "served"), application(tmp_path / "stranger")
    state = tmp_path / "state"
    file = state / SOCKET_NAME
    about = {"package": str(app.package), "data_file": str(app.data_file)}
    unknown = {"package": str(stranger.package), "data_file": str(stranger.data_file)}

    with service(state, app) as real:
        real.wait_for("next backup")
        wait_until(file.is_socket, "there is no socket")
        last(file, ask="status")
        before = cost_of(real.process.pid)
        for row in (
            {},
            {"ask": None},
            {"ask": ["status"]},
            {"ask": "format"},
            {"ask": "x" * 60_000},
            {"ask": "stop"},
            {"ask": "stop", "package": 7, "data_file": []},
            {"ask": "stop", **about, "package": "a\0b"},
            {"ask": "stop", **about, "package": "/srv/a\0b"},
            {"ask": "stop", **about, "package": "\ud800"},
            {"ask": "stop", **about, "package": "/\ud800"},
            {"ask": "stop", **about, "package": os.path.relpath(app.package)},
            {"ask": "stop", **about, "data_file": os.path.relpath(app.data_file)},
            {"ask": "stop", **about, "package": "/" + "x" * 5000},
            {"ask": "stop", **unknown},
            {"ask": "backup", **unknown},
            {"ask": "pause", **about},
            {"ask": "pause", **about, "until": 7},
            {"ask": "pause", **about, "until": "tomorrow"},
            {"ask": "pause", **about, "until": "2999-01-01"},
            {"ask": "pause", **about, "until": "9999-12-31T23:59:59-23:00"},
            {"ask": "pause", **about, "until": "0001-01-01T00:00:00+23:00"},
        ):
            answer = last(file, **row)
            assert answer["error"], row
            assert answer["last"]
            assert "mistake in backup4d" not in answer["error"], answer
        wait_until(lambda: cost_of(real.process.pid) <= before, "threads or descriptors are left")

        assert last(file, ask="status")["databases"][0]["problem"] is None
        assert real.stop() == 0

    assert not file.exists()
    assert "Traceback" not in real.said()
    assert "paused" not in app.journal()


def cost_of(pid: int) -> tuple[int, int]:
    """Threads and open descriptors of a process."""
    process = Path(f"/proc/{pid}")
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


@pytest.mark.parametrize("obstacle", ["a file", "a folder", "a link"])
def test_a_service_without_its_socket_serves_and_says_so_once(
    tmp_path: Path, obstacle: str
) -> None:
    app = application(tmp_path)
    state = tmp_path / "state"
    state.mkdir()
    file = state / SOCKET_NAME
    match obstacle:
        case "a file":
            file.write_text("not yours")
        case "a folder":
            file.mkdir()
        case _:
            file.symlink_to(tmp_path / "elsewhere")

    with service(state, app) as real:
        real.wait_for("next backup")
        real.wait_for("nobody can ask this service anything")
        reschedule(app, clock_in(900))
        real.wait_for("settings changed and taken up", seconds=6)
        shutil.rmtree(file) if file.is_dir() else file.unlink()
        real.process.send_signal(signal.SIGHUP)
        wait_until(file.is_socket, "the socket is not there, though its place is free")

        assert last(file, ask="status")["databases"]
        assert real.said().count("nobody can ask") == 1
