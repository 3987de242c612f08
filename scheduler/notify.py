"""Telling systemd how the service does (sd_notify), in the few lines that takes."""

import contextlib
import socket


class Notifier:
    """Sends to NOTIFY_SOCKET; does nothing outside systemd. A failed message never harms the service."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    def ready(self, status: str) -> None:
        """The service is up."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def alive(self, status: str) -> None:
        """The heartbeat, which also feeds systemd's watchdog."""
        self._send(f"WATCHDOG=1\nSTATUS={_one_line(status)}")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.settimeout(1)
            sender.sendto(message.encode("utf-8", "backslashreplace"), address)


def _one_line(text: str) -> str:
    """A line of its own would be a variable of the protocol, and the text may quote a settings file."""
    return " ".join(text.split())
