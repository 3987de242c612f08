# backup4d restore.py, version 3: restores any set of backup4d with Python 3 and the zstd tool alone
"""usage: python3 restore.py SET TARGET [--anyway]
SET is the folder of a set. TARGET must not exist or be empty; it is called TARGET.part until all is
there and compared. --anyway goes on when something is not right."""

import base64, contextlib, decimal, hashlib, json, os, re, shutil, sys, tarfile
from subprocess import DEVNULL, PIPE, Popen

NAME = re.compile(r".+\[\d+(?:-(\d+))?\]\.(tar|journal)(?:\.zst)?", re.DOTALL)
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
    if manifest["version"] > 1:
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
    for role, kind, take in ("main", "tar", take_tar), ("log", "journal", take_log):
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
        take(steps[-1].stdout)
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
