# backup4d restore.py, version 4: restores any set of backup4d with Python 3 and the zstd tool alone
"""usage: python3 restore.py SET TARGET [--anyway]
SET is the folder of a set. TARGET must not exist or be empty; it is called TARGET.part until all is
there and compared. --anyway goes on when something is not right."""

import base64, contextlib, decimal, hashlib, json, os, re, shutil, struct, sys, tarfile, time
from subprocess import DEVNULL, PIPE, Popen

NAME = re.compile(r".+\[\d+(?:-(\d+))?\]\.(tar|journal|4BK|4BL)(?:\.zst)?", re.DOTALL)
JOIN = "import shutil, sys\nfor name in sys.argv[1:]: "  # for another Python, in front of zstd
JOIN += "shutil.copyfileobj(open(name, 'rb'), sys.stdout.buffer)"


def bad(text):  # the end, unless the administrator wants what there is
    wrong.append(text)
    print(f"NOT RIGHT: {text}", file=sys.stderr)
    if not ANYWAY:
        sys.exit("stopped; use another set, or add --anyway to get what can be read of this one")


def take_tar(stream):
    name = "its beginning"
    try:
        with tarfile.open(None, "r|", stream) as tar:
            for member in iter(tar.next, None):
                name = repr(member.name)
                make(tar, member)
                tar.members.clear()  # there may be millions
    except (tarfile.TarError, ValueError, ArithmeticError) as error:
        bad(f"the archive breaks off at {name}: {error}")
    if any(piece.strip(b"\0") for piece in iter(lambda: stream.read(1 << 20), b"")):
        bad(f"the archive cannot be read behind {name}")


def make(tar, member):
    when = int(decimal.Decimal(member.pax_headers.get("mtime", member.mtime)) * 10**9)
    try:
        path = inside(member.name)
        os.makedirs(path if member.isdir() else os.path.dirname(path), exist_ok=True)
        if member.islnk():
            os.link(inside(member.linkname), path)
        elif member.isreg() and not os.path.lexists(path):
            tar.makefile(member, path)
            settle(path, "", member.mode & 0o7777, member.uid, member.gid, when)
        elif member.isdir() or member.issym():  # links come last: nothing is written through one
            later.append((path, member.linkname, member.mode, member.uid, member.gid, when))
        else:
            bad(f"{member.name!r} is a device or comes twice: no set has that; it was not made")
    except OSError as error:
        bad(f"{member.name!r} could not be made: {error.strerror}")


def inside(path):
    if {"", ".", ".."} & set(path.split("/")):
        raise OSError(0, "it leads outside the target")
    return f"{PART}/{path}"


def settle(path, link, mode, uid, gid, when):
    if link:
        os.symlink(link, path)
    if os.geteuid() == 0:
        os.chown(path, uid, gid, follow_symlinks=False)
    if not link:  # what ran as its owner must not run as us, when it could not be given to him
        os.chmod(path, mode if os.stat(path)[4:6] == (uid, gid) else mode & 0o1777)
    os.utime(path, ns=(when, when), follow_symlinks=False)


def take_log(stream):
    row = next((row for row in rows if row["role"] == "log"), {})
    path = inside(row.get("path", f"Data/{os.path.basename(SET).rpartition('[')[0]}.journal"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as target:
        shutil.copyfileobj(stream, target)
    if row:
        settle(path, "", int(row["mode"], 8), row["uid"], row["gid"], row["mtime_ns"])


def take_4bk(stream, role):  # an archive as 4D writes it; what it does not hold is in manifest.json
    content = Content(stream)
    mine = [row for row in rows if (row["role"] == "log") == (role == "log")]
    try:
        for row in mine or rows_of(content, role):
            try:
                take_row(row, content)
            except (OSError, UnicodeError) as error:
                bad(f"{row['path']!r} could not be made: {error}")
    except (EOFError, ValueError, struct.error) as error:
        bad(f"the {role} archive breaks off at byte {content.at} of its content: {error}")
    for _ in content.pieces:  # compared, too
        pass


class Content:
    def __init__(self, stream):
        self.pieces, self.rest, self.at = blocks_of(stream), b"", 0

    def copy(self, count, put=len):
        while count > 0:
            self.rest = self.rest or next(self.pieces, b"")
            if not self.rest:
                raise EOFError("nothing follows")
            piece, self.rest = self.rest[:count], self.rest[count:]
            self.at, count = self.at + len(piece), count - len(piece)
            put(piece)

    def read(self, count):
        whole = bytearray()
        self.copy(count, whole.extend)
        return whole


def blocks_of(stream):  # the content of each block of 4D's
    if stream.read(20)[:4] != b"70KB":
        bad("an archive does not begin as one of 4D does")
    while len(head := stream.read(48)) == 48:
        tag, _, stored, size, digest, _ = struct.unpack("<4s3I16s16s", head)
        if tag != b"pmoC" or not 0 < stored <= size <= 32768:
            return bad("the head of a block is damaged: what follows it cannot be found")
        body, piece = stream.read(stored), b""
        with contextlib.suppress(IndexError):
            piece = body if stored == size else unpacked(body)
        if hashlib.md5(piece, usedforsecurity=False).digest() != digest:
            bad("the content of a block is not what was written: some of these bytes are wrong")
        yield piece[:size].ljust(size, b"\0")


def unpacked(body):  # LZRW3-A, as 4D uses it
    out, table = bytearray(b"123456789012345678"), [0] * 4096
    at, control, cycle, pending = 4, 1, 0, 0

    def enter(place, slot=None):
        nonlocal cycle
        mixed = out[place] << 8 ^ out[place + 1] << 4 ^ out[place + 2]
        table[((40543 * mixed >> 1) & 0xFF8 if slot is None else slot) | cycle] = place
        cycle = (cycle + 1) & 7

    while at < len(body):
        if control == 1:
            control, at = 0x10000 | body[at] | body[at + 1] << 8, at + 2
            continue
        if control & 1:
            slot, start = (body[at] & 0xF0) << 4 | body[at + 1], len(out)
            piece = out[table[slot] : table[slot] + (body[at] & 15) + 3]
            out += (piece * 18)[: (body[at] & 15) + 3]  # it may go on into what it makes
            for place in range(start - pending, start):
                enter(place)
            enter(start, slot & 0xFF8)
            at, pending = at + 2, 0
        else:
            out.append(body[at])
            at, pending = at + 1, pending + 1
            if pending == 3:
                enter(len(out) - 3)
                pending = 2
        control >>= 1
    return bytes(out[18:])


def rows_of(content, role):  # what its own list says, when there is no manifest
    count, files = struct.unpack("<5xQ4x", content.read(17))[0], []
    for _ in range(count):
        units = struct.unpack("<4xi", content.read(8))[0]
        entry = content.read(-2 * units + 24)
        files.append((entry[:-24].decode("utf-16-le"), *struct.unpack("<Q16x", entry[-24:])))
    at, owner = content.at, {"uid": os.geteuid(), "gid": os.getegid(), "mtime_ns": time.time_ns()}
    for name, size in files:
        path = ("Data/" if role == "log" else "") + name.partition("::")[0].removeprefix("./")
        row = {"path": path, "type": "file", "size": size, "data": at + 12, "mode": "0640"}
        yield row | owner
        at += size + 24


def take_row(row, content):
    path, link = inside(row["path"]), row.get("link", "")
    if "link_base64" in row:
        link = os.fsdecode(base64.b64decode(row["link_base64"]))
    facts = int(row["mode"], 8), row["uid"], row["gid"], row["mtime_ns"]
    os.makedirs(path if row["type"] == "folder" else os.path.dirname(path), exist_ok=True)
    if row["type"] == "hardlink":
        os.link(inside(link), path)
    elif row["type"] != "file":
        later.append((path, link, *facts))
    else:
        content.copy(row["data"] - content.at)
        with open(path, "xb") as target:

            def put(piece):  # what is nothing but zeros can be a hole
                is_hole = "holes" in row and not piece.strip(b"\0")
                target.seek(len(piece), 1) if is_hole else target.write(piece)

            content.copy(row["size"], put)
            target.truncate(row["size"])
        settle(path, "", *facts)


sys.excepthook = lambda kind, error, _: print("stopped:", kind.__name__, error, file=sys.stderr)
ANYWAY, wrong, later, mask = "--anyway" in sys.argv, [], [], os.umask(0o077)
rows, about = [], {"files": [], "complete": True}  # unless the manifest says more
paths = [os.path.abspath(word) for word in sys.argv[1:] if word != "--anyway"]
SET, TARGET, PART = (*paths, f"{paths[1]}.part") if len(paths) == 2 else sys.exit(__doc__)
files = [name for name in os.listdir(SET) if NAME.fullmatch(name) or name == "manifest.json"]
if os.path.lexists(PART) or (os.path.lexists(TARGET) and os.listdir(TARGET)):  # of a file: stops
    sys.exit(f"{TARGET!r} is not empty, or {PART!r} is left of another try; nothing was written")
if not shutil.which("zstd") and any(name.endswith(".zst") for name in files):
    sys.exit("the program zstd was not found: install it (apt install zstd); nothing was written")
if os.path.exists(f"{SET}/SHA256SUMS"):  # a \\ at the beginning marks a name with a line end
    lines = os.fsdecode(open(f"{SET}/SHA256SUMS", "rb").read()).split("\n")[:-1]
    said, there = {line.lstrip("\\") for line in lines}, set()
    for name in files:
        digest = hashlib.sha256()
        with contextlib.suppress(OSError), open(f"{SET}/{name}", "rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
            line = name.replace("\\", r"\\").replace("\n", r"\n") if "\n" in name else name
            there.add(f"{digest.hexdigest()}  {line}")
    for name in sorted({line[66:] for line in said ^ there} - {"manifest.json"}.difference(files)):
        bad(f"{name!r} is {'not what was written' if name in files else 'missing'}")
    print(f"compared: {len(said)} files of the set with SHA256SUMS, {len(wrong)} not right")
else:
    print("not known: whether the archives are damaged, for SHA256SUMS is missing")
try:
    manifest = json.load(open(f"{SET}/manifest.json", "rb"))
    if manifest["version"] > 2:
        sys.exit("this set has a newer format: use the restore.py of the release that made it")
    for row in manifest["members"]:
        row["path"] = row.get("path") or os.fsdecode(base64.b64decode(row["path_base64"]))
    rows, about = manifest["members"], manifest["set"]
except FileNotFoundError:
    print("not known: which files should be there, for manifest.json is missing")
except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
    bad(f"manifest.json is damaged: {error!r}")
os.mkdir(PART)
try:
    kinds = ("main", "tar", take_tar), ("log", "journal", take_log)
    if any(name.endswith(".4BK") for name in files):
        print("4D's format is unpacked here in plain Python, some MB a second; backup4d is faster")
        kinds = ("main", "4BK", take_4bk), ("log", "4BL", take_4bk)
    for role, kind, take in kinds:
        found = {int(m[1] or 1): m[0] for m in map(NAME.fullmatch, files) if m and m[2] == kind}
        names = [found[number] for at, number in enumerate(sorted(found), 1) if number == at]
        if len(names) < max(len(found), role == "main", sum(r[0] == role for r in about["files"])):
            bad(f"only {len(names)} files of the {role} archive are there in order")
        if not names:
            continue
        steps = [Popen([sys.executable, "-Ic", JOIN, *names], cwd=SET, stdout=PIPE, stderr=DEVNULL)]
        if names[0].endswith(".zst"):
            steps.append(Popen(["zstd", "-dcq"], stdin=steps[0].stdout, stdout=PIPE))
            steps[0].stdout.close()  # so that it ends when zstd does
        take(steps[-1].stdout, *[role] * (take is take_4bk))
        if {step.wait() for step in steps} != {0}:
            bad(f"the {role} archive breaks off: its last 4 MiB may be wrong, the rest is missing")
    for one in reversed(later):
        try:
            settle(*one)
        except OSError as error:
            bad(f"{one[0]!r} could not be made: {error.strerror}")
    for row in rows:
        path, size = f"{PART}/{row['path']}", row["size"]
        if not os.path.lexists(path) or size not in (0, os.lstat(path).st_size):
            bad(f"{row['path']!r} did not come back as manifest.json says")
    print(f"compared: {len(rows)} members and their sizes, not the BLAKE3 digest of each file")
    os.chmod(PART, 0o777 & ~mask)
    os.sync()
    os.rename(PART, TARGET)
finally:
    if os.path.lexists(PART):
        print(f"incomplete, to look at or to remove: {PART!r}", file=sys.stderr)
if not about["complete"]:
    print("this set is partial, without:", *about["missing"], *about["skipped"])
print(f"restored to {TARGET!r}{', with what is NOT RIGHT above' if wrong else ''}")
sys.exit(bool(wrong))
