"""A file system in a process of its own that shows a folder as it is: stop the process, and every look at it hangs.

Speaks the kernel's FUSE protocol itself, so that nothing need be installed; needs root. Errors and delays are asked for
by a file of rules, one `OPERATION ERRNO` or `OPERATION delay SECONDS` a line, read again before every operation.

Run: python -m tests.storage.passthrough FOLDER MOUNT_POINT RULES
"""

# paths are those of the kernel, and each operation is told more than it needs
# ruff: noqa: PTH101, PTH102, PTH105, PTH115, PTH208, ARG005

import ctypes
import errno
import os
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_HEADER = struct.Struct("<IIQQIIIHH")
_NO_REPLY = {2, 36, 42}
_NAMES = {
    1: "lookup",
    3: "getattr",
    4: "setattr",
    8: "mknod",
    9: "mkdir",
    10: "unlink",
    11: "rmdir",
    12: "rename",
    14: "open",
    15: "read",
    16: "write",
    17: "statfs",
    20: "fsync",
    25: "flush",
    27: "opendir",
    28: "readdir",
    30: "fsyncdir",
    35: "create",
    45: "rename",
}
_ROOT = 1
_LONGEST_WRITE = 128 << 10


class Passthrough:
    """Serves one mounted folder."""

    def __init__(self, folder: str, rules: str) -> None:
        self._paths = {_ROOT: folder}
        self._nodes = {folder: _ROOT}
        self._open_files: dict[
            int, int
        ] = {}  # by node: one that is removed while it is open lives on
        self._rules = rules
        self._answers: dict[int, Callable[[int, bytes], bytes]] = {
            1: lambda node, data: self._entry(self._child(node, data)),
            3: lambda node, _: self._attributes(node),
            4: self._setattr,
            5: lambda node, _: os.fsencode(os.readlink(self._paths[node])),
            9: self._mkdir,
            10: lambda node, data: self._do(os.unlink, self._child(node, data)),
            11: lambda node, data: self._do(os.rmdir, self._child(node, data)),
            12: lambda node, data: self._rename(node, data, 8),
            14: self._open,
            15: self._read,
            16: self._write,
            17: lambda node, _: self._statfs(node),
            18: lambda _, data: self._do(os.close, _handle(data)),
            20: lambda _, data: self._do(os.fsync, _handle(data)),
            25: lambda _, data: b"",
            26: lambda _, data: self._init(data),
            27: lambda node, _: struct.pack("<QII", node, 0, 0),
            28: self._readdir,
            29: lambda node, data: b"",
            30: lambda node, data: b"",
            35: self._create,
            45: lambda node, data: self._rename(node, data, 16),
        }

    def serve(self, device: int) -> None:
        """Until it is unmounted."""
        while True:
            try:
                request = os.read(device, _LONGEST_WRITE + 8192)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                continue
            _, code, unique, node, *_ = _HEADER.unpack_from(request)
            if code in _NO_REPLY:
                continue
            failure, answer = self._serve(code, node, request[_HEADER.size :])
            with suppress(OSError):  # nobody waits for it any more
                os.write(device, struct.pack("<IiQ", 16 + len(answer), -failure, unique) + answer)

    def _serve(self, code: int, node: int, data: bytes) -> tuple[int, bytes]:
        answer = self._answers.get(code)
        if answer is None:
            return errno.ENOSYS, b""
        try:
            self._obey_rules(_NAMES.get(code, ""))
            return 0, answer(node, data)
        except OSError as error:
            return error.errno or errno.EIO, b""
        except KeyError:
            return errno.ESTALE, b""

    def _obey_rules(self, name: str) -> None:
        for line in Path(self._rules).read_text().splitlines():
            operation, what, *more = line.split()
            if operation not in (name, "all"):
                continue
            if what == "delay":
                time.sleep(float(more[0]))
            else:
                raise OSError(getattr(errno, what), what)

    def _do(self, call: Callable[[Any], None], what: object) -> bytes:
        call(what)
        return b""

    # --- names and nodes

    def _child(self, node: int, data: bytes) -> str:
        return f"{self._paths[node]}/{os.fsdecode(data.split(bytes(1))[0])}"

    def _node(self, path: str) -> int:
        if path not in self._nodes:
            number = len(self._paths) + 1
            self._paths[number], self._nodes[path] = path, number
        return self._nodes[path]

    def _entry(self, path: str) -> bytes:
        facts = _facts(path)
        return struct.pack("<QQQQII", self._node(path), 0, 0, 0, 0, 0) + facts

    def _attributes(self, node: int) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + _facts(self._of(node))

    def _of(self, node: int) -> str | int:
        """What stands for a node: its path, or the open file it was."""
        path = self._paths[node]
        return path if os.path.lexists(path) else self._open_files.get(node, path)

    def _rename(self, node: int, data: bytes, begin: int) -> bytes:
        (folder,) = struct.unpack_from("<Q", data)
        old_name, new_name, *_ = data[begin:].split(bytes(1))
        old = f"{self._paths[node]}/{os.fsdecode(old_name)}"
        new = f"{self._paths[folder]}/{os.fsdecode(new_name)}"
        os.replace(old, new)
        for path, number in list(self._nodes.items()):
            if path == old or path.startswith(f"{old}/"):
                del self._nodes[path]
                moved = new + path[len(old) :]
                self._nodes[moved], self._paths[number] = number, moved
        return b""

    # --- what is done

    def _init(self, data: bytes) -> bytes:
        major, minor, ahead, _ = struct.unpack_from("<IIII", data)
        facts = (min(minor, 31), ahead, 0, 12, 10, _LONGEST_WRITE, 1, 0, 0, 0)
        return struct.pack("<IIIIHHIIHHI28x", major, *facts)

    def _setattr(self, node: int, data: bytes) -> bytes:
        path = self._of(node)
        valid, _, _, size, _, accessed, modified, _ = struct.unpack_from("<IIQQQQQQ", data)
        accessed_ns, modified_ns, _, mode, _, uid, gid = struct.unpack_from("<IIIIIII", data, 56)
        if valid & 8:
            os.truncate(path, size)
        if valid & 1:
            os.chmod(path, stat.S_IMODE(mode))
        if valid & 6:
            os.chown(path, uid if valid & 2 else -1, gid if valid & 4 else -1)
        if valid & 48:
            times = (accessed * 10**9 + accessed_ns, modified * 10**9 + modified_ns)
            os.utime(path, ns=times)
        return self._attributes(node)

    def _mkdir(self, node: int, data: bytes) -> bytes:
        (mode,) = struct.unpack_from("<I", data)
        path = self._child(node, data[8:])
        os.mkdir(path, mode)
        return self._entry(path)

    def _open(self, node: int, data: bytes) -> bytes:
        (flags,) = struct.unpack_from("<I", data)
        handle = os.open(self._paths[node], flags & ~os.O_NOFOLLOW)
        self._open_files[node] = handle
        return struct.pack("<QII", handle, 0, 0)

    def _create(self, node: int, data: bytes) -> bytes:
        flags, mode = struct.unpack_from("<II", data)
        path = self._child(node, data[16:])
        handle = os.open(path, flags | os.O_CREAT, mode)
        self._open_files[self._node(path)] = handle
        return self._entry(path) + struct.pack("<QII", handle, 0, 0)

    def _read(self, _: int, data: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", data)
        return os.pread(handle, size, offset)

    def _write(self, _: int, data: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", data)
        return struct.pack("<II", os.pwrite(handle, data[40 : 40 + size], offset), 0)

    def _readdir(self, node: int, data: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", data)
        names = [".", "..", *sorted(os.listdir(self._paths[node]))]
        rows = b""
        for number, name in list(enumerate(names, 1))[offset:]:
            text = os.fsencode(name)
            row = struct.pack("<QQII", number, number, len(text), 0) + text
            row += bytes(-len(row) % 8)
            if len(rows) + len(row) > size:
                break
            rows += row
        return rows

    def _statfs(self, node: int) -> bytes:
        found = os.statvfs(self._paths[node])
        counts = (found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
        return struct.pack("<QQQQQIII28x", *counts, found.f_bsize, 255, found.f_frsize)


def _handle(data: bytes) -> int:
    (handle,) = struct.unpack_from("<Q", data)
    return int(handle)


def _facts(path: str | int) -> bytes:
    found = os.fstat(path) if isinstance(path, int) else os.lstat(path)
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    seconds, rest = [t // 10**9 for t in times], [t % 10**9 for t in times]
    sizes = (found.st_ino, found.st_size, found.st_blocks)
    owner = (found.st_mode, found.st_nlink, found.st_uid, found.st_gid)
    return struct.pack("<6Q10I", *sizes, *seconds, *rest, *owner, 0, found.st_blksize, 0)


def main() -> None:
    """Mount and serve."""
    folder, mount_point, rules = sys.argv[1:]
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(1, signal.SIGKILL, 0, 0, 0)  # no longer than the test that started it
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
    if library.mount(
        b"passthrough", mount_point.encode(), b"fuse.passthrough", 0, options.encode()
    ):
        raise OSError(ctypes.get_errno(), "mount")
    Passthrough(folder, rules).serve(device)


if __name__ == "__main__":
    main()
