# backup4d restore.py, version 1: restores any set of backup4d with Python 3 and the zstd tool alone
"""usage: python3 restore.py SET TARGET [--anyway]

SET is the folder of a set, TARGET a folder that does not exist or is empty. It is called TARGET.part
until all that can be compared was compared. --anyway goes on when something is not right.
"""

import base64, hashlib, json, os, re, shutil, stat, subprocess, sys, tarfile, threading
from contextlib import suppress
from decimal import Decimal

NAME = re.compile(r"(.+)\[\d+(?:-(\d+))?\]\.(tar|journal)(\.zst)?", re.DOTALL)
TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}  # names are bytes, these carry any
KINDS = {"folder": stat.S_IFDIR, "symlink": stat.S_IFLNK}  # the others are files


def bad(text):
    """The end, unless the administrator wants what there is."""
    wrong.append(text)
    print(f"NOT RIGHT: {text}", file=sys.stderr)
    if not ANYWAY:
        sys.exit("stopped; use another set, or add --anyway to get what can be read of this one")


def check_sums():
    if not os.path.exists(f"{SET}/SHA256SUMS"):
        print("not known: whether the archives are damaged, for SHA256SUMS is missing")
        return
    sums, faults = {}, []
    for line in open(f"{SET}/SHA256SUMS", newline="\n", **TEXT).read().split("\n")[:-1]:
        digest, _, name = line.lstrip("\\").partition("  ")
        if line.startswith("\\"):  # as sha256sum writes a name with a line end
            name = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], name)
        sums[os.path.basename(name)] = digest
    for name in sorted({*sums, *filter(NAME.fullmatch, os.listdir(SET))}):
        digest, there = hashlib.sha256(), False
        with suppress(OSError), open(f"{SET}/{name}", "rb") as stream:
            for piece in iter(lambda: stream.read(1 << 20), b""):
                digest.update(piece)
            there = True
        if not (there and digest.hexdigest() == sums.get(name)) and (there or name != MANIFEST):
            faults.append(f"{name!r} {'is not what was written' if there else 'cannot be read'}")
    if faults or not sums:
        bad("; ".join(faults) or "SHA256SUMS is empty")
    print(f"compared: {len(sums)} files of the set with SHA256SUMS, {len(faults)} not right")


def read_manifest():
    try:
        found = json.load(open(f"{SET}/{MANIFEST}", "rb"))
        if found["version"] > 1:
            sys.exit("this set has a newer format: use the restore.py of the release that made it")
        for row in found["members"]:
            row["path"] = row.get("path") or os.fsdecode(base64.b64decode(row["path_base64"]))
    except FileNotFoundError:
        print("not known: which files should be there, for manifest.json is missing")
        found = None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        bad(f"manifest.json is damaged: {error!r}")
        found = None
    return found


def unpack(role, kind, take):
    """Join the segments of an archive, decompress them, give the stream to `take`."""
    found = [m for m in map(NAME.fullmatch, os.listdir(SET)) if m and m[3] == kind]
    found.sort(key=lambda m: int(m[2] or 1))
    whole = [m[0] for at, m in enumerate(found, 1) if int(m[2] or 1) == at]
    wanted = len(found) or role == "main"
    if manifest:
        wanted = sum(len(a["files"]) for a in manifest["archives"] if a["role"] == role)
    if len(whole) < wanted:
        bad(f"{len(whole)} of {wanted:d} files of the {role} archive are there in order")
    if not whole:
        return
    read, write = os.pipe()
    threading.Thread(target=join, args=(whole, write), daemon=True).start()
    with open(read, "rb") as stream:
        if not whole[0].endswith(".zst"):
            take(stream)
            return
        with subprocess.Popen(["zstd", "-dcq"], stdin=stream, stdout=subprocess.PIPE) as zstd:
            take(zstd.stdout)
    if zstd.returncode:
        bad(f"zstd could not read the {role} archive to its end; what lies behind is missing")


def join(names, write):
    with suppress(OSError), open(write, "wb") as joined:  # whoever reads sees that it ends early
        for name in names:
            shutil.copyfileobj(open(f"{SET}/{name}", "rb"), joined, 1 << 20)


def take_tar(stream):
    name = "its beginning"
    try:
        with tarfile.open(None, "r|", stream, **TEXT) as tar:
            for member in iter(tar.next, None):
                name = repr(member.name)
                make(tar, member)
                tar.members.clear()
    except (tarfile.TarError, ValueError, ArithmeticError) as error:
        bad(f"the archive breaks off at {name}: {error}")
    if any(piece.strip(b"\0") for piece in iter(lambda: stream.read(1 << 20), b"")):
        bad(f"the archive cannot be read behind {name}")


def make(tar, member):
    """One member; symbolic links come last, so that nothing is written or linked through one."""
    when = int(Decimal(member.pax_headers.get("mtime", member.mtime)) * 10**9)
    facts = (member.mode & 0o7777, member.uid, member.gid, when)
    try:
        path = inside(member.name)
        os.makedirs(path if member.isdir() else os.path.dirname(path), exist_ok=True)
        if member.isdir() or member.issym():
            later.append((path, member.linkname, facts))
        elif member.islnk():
            os.link(inside(member.linkname), path)
        elif member.isreg() and not os.path.lexists(path):
            tar.makefile(member, path)
            apply(path, *facts)
        else:
            bad(f"{member.name!r} is a device or comes twice: no set has that; it was not made")
    except OSError as error:
        bad(f"{member.name!r} could not be made: {error.strerror}")


def inside(path):
    if {"", ".", ".."} & set(path.split("/")):
        raise OSError(0, f"{path!r} leads outside the target")
    return f"{PART}/{path}"


def apply(path, mode, uid, gid, when):
    if os.geteuid() == 0:
        os.chown(path, uid, gid, follow_symlinks=False)
    if not os.path.islink(path):
        os.chmod(path, mode)
    os.utime(path, ns=(when, when), follow_symlinks=False)


def take_log(stream):
    row = next((row for row in rows if row["role"] == "log" and row["type"] == "file"), {})
    path = inside(row.get("path", f"Data/{os.path.basename(SET).rpartition('[')[0]}.journal"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as target:
        shutil.copyfileobj(stream, target, 1 << 20)
    if row:
        apply(path, int(row["mode"], 8), row["uid"], row["gid"], row["mtime_ns"])


def finish():
    """Links, then folders from the deepest up; then all is compared with the manifest."""
    for path, link, facts in sorted(later, key=lambda one: (not one[1], -one[0].count("/"))):
        try:
            if link:
                os.symlink(link, path)
            apply(path, *facts)
        except OSError as error:
            bad(f"{path!r} could not be made: {error.strerror}")
    for row in rows:
        kind, size = 0, -1
        with suppress(OSError):
            found = os.lstat(inside(row["path"]))
            kind, size = stat.S_IFMT(found.st_mode), found.st_size
        wanted = row["size"] if row["type"] == "file" else size
        if (kind, size) != (KINDS.get(row["type"], stat.S_IFREG), wanted):
            bad(f"{row['path']!r} did not come back as manifest.json says")
    print(f"compared: kind and size of {len(rows)} members with manifest.json")


# an error of the disk is told in one sentence; the exit code stays 1
sys.excepthook = lambda kind, error, _: print(f"stopped: {error or kind!r}", file=sys.stderr)
MANIFEST, ANYWAY = "manifest.json", "--anyway" in sys.argv
wrong, later = [], []
paths = [os.path.abspath(word) for word in sys.argv[1:] if word != "--anyway"]
if len(paths) != 2:
    sys.exit(__doc__)
SET, TARGET = paths
PART = f"{TARGET}.part"
if os.path.lexists(PART) or (os.path.lexists(TARGET) and os.listdir(TARGET)):  # of a file: stops
    sys.exit(f"{TARGET!r} is not empty, or {PART!r} is left of another try; nothing was written")
if not shutil.which("zstd") and any(name.endswith(".zst") for name in os.listdir(SET)):
    sys.exit("the program zstd was not found: install it (apt install zstd); nothing was written")
check_sums()
manifest = read_manifest()
rows, mask = manifest["members"] if manifest else [], os.umask(0o077)
os.mkdir(PART)
unpack("main", "tar", take_tar)
unpack("log", "journal", take_log)
finish()
os.chmod(PART, 0o777 & ~mask)
os.sync()
os.rename(PART, TARGET)
print("not compared: the BLAKE3 digest of each file (`backup4d restore` does)")
if manifest and not manifest["set"]["complete"]:
    print("this set is partial, without:", *manifest["set"]["missing"], *manifest["set"]["skipped"])
print(f"restored to {TARGET!r}{', with what is NOT RIGHT above' if wrong else ''}")
sys.exit(bool(wrong))
