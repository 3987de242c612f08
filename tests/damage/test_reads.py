"""Which modules open files, what they read, and where damage to that is tried: a new one is noticed here."""

import ast

from tests.house.source import ROOT, SHIPPED

_NAMES = {"open_regular", "read_regular", "load_bytes", "read_text", "read_bytes", "read_end"}

# of what the program reads; what is only made, written or listed says so
READS = {
    "settings/reader": "settings: tests/damage (settings, last good settings), tests/fuzz",
    "settings/service_file": "service file: tests/damage, tests/fuzz",
    "settings/source": "the bytes of both",
    "settings/writeback": "settings, before they are changed: tests/settings/test_writeback.py; parts of dead writers",
    "engine/anchor": "folders only",
    "engine/clones": "sources",
    "engine/datalook": "data file: tests/fuzz (data-file); /etc/fstab",
    "engine/diskreader": "archives, just written",
    "engine/files": "the ways in which small files are read; folders",
    "engine/fourd/archive": "archives of 4D: tests/engine/test_fourd_damage.py, tests/fuzz (4bk)",
    "engine/fourd/origin": "4D's history, for a date only: tests/commands/test_import.py",
    "engine/fourd/extract": "folders, and files being extracted",
    "engine/fourd/setarchives": "archives, just written",
    "engine/framereader": "archives: tests/engine/test_flips.py, tests/fuzz (archive)",
    "engine/growingfile": "archives, written",
    "engine/history": "history: tests/damage, tests/fuzz",
    "engine/intake": "log: tests/fuzz (log)",
    "engine/journal": "the end of a journal: tests/damage",
    "engine/livefiles": "sources, for a comparison",
    "engine/livelog": "live log: tests/engine/test_streamer.py, tests/fuzz (log)",
    "engine/lock": "lock and what it remembers: tests/damage, tests/fuzz",
    "engine/logchanges": "log: tests/engine/test_logchanges.py, tests/fuzz (log)",
    "engine/logsource": "log, and archives of 4D: tests/engine/test_logsource.py, tests/fuzz (log)",
    "engine/logtables": "structure: tests/engine/test_logtables.py",
    "engine/machine": "/etc/machine-id, the system's own",
    "engine/manifest": "manifest: tests/damage, tests/fuzz, tests/engine/test_flips.py",
    "engine/mounts": "/proc/self/mountinfo",
    "engine/openfiles": "/proc",
    "engine/opening": "log: tests/fuzz (log)",
    "engine/openrecord": "record of opening checks: tests/damage, tests/fuzz",
    "engine/output": "archives, written",
    "engine/papers": "manifest, just written",
    "engine/par2files": "recovery data: tests/damage, tests/fuzz (par2)",
    "engine/parity": "files just repaired; folders",
    "engine/rebuild": "files just restored",
    "engine/reconstruct": "archives and checksums: tests/engine/test_truncated.py",
    "engine/records": "the end of a journal: tests/damage",
    "engine/recoverydata": "recovery data, just written",
    "engine/restore": "folders only",
    "engine/restorelogs": "logs: tests/engine/test_restore_logs.py, tests/fuzz (log)",
    "engine/safenames": "a file of its own",
    "engine/salvage": "folders only",
    "engine/sealed": "encrypted archive: tests/damage; key: tests/engine/test_sealed.py",
    "engine/setdigests": "checksums: tests/damage, tests/fuzz (sums); all files of a set",
    "engine/shipped": "restore.py: tests/damage",
    "engine/sourcefile": "sources: tests/engine/test_changing_sources.py",
    "engine/streamcopies": "shipped logs: tests/commands/test_shipped_damaged.py",
    "engine/streamer": "a lock",
    "engine/streampiece": "ledgers and shipped logs: tests/engine/test_streamledger.py, test_streampiece.py",
    "engine/swap": "record of a restore in place: tests/damage, tests/fuzz (exchange)",
    "engine/targetfile": "files being restored",
    "engine/targettree": "folders only",
    "engine/together": "sources",
    "engine/unchanged": "sources",
    "engine/verify": "checksums: tests/damage, tests/engine/test_flips.py",
    "engine/walk": "folders only",
    "engine/wayback": "written",
    "engine/workbench": "files of a set, copied for par2",
    "scheduler/cli": "nothing: /dev/null, in the place of an output that failed",
    "scheduler/commands_settings": "settings, read before",
    "scheduler/control": "folders only; what is said: tests/fuzz (socket-server, socket-client)",
    "scheduler/demo": "what the demonstration has just made",
    "scheduler/environment": "/etc/localtime",
    "scheduler/install": "units of systemd: tests/commands/test_install.py",
    "scheduler/install_look": "files of the program",
    "scheduler/service_source": "service file and its last good copy: tests/damage, tests/scheduler/test_service_source.py",
    "scheduler/settings_source": "settings and their last good copy: tests/damage",
    "scheduler/state": "state: tests/damage, tests/fuzz",
}


def _opens(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id=name) if name in _NAMES:
            return True
        case ast.Attribute(attr=name) if name in _NAMES:
            return True
        case ast.Attribute(value=ast.Name(id="os"), attr="open"):
            return True
        case ast.Attribute(attr="open"):
            modes = (one.value for one in call.args if isinstance(one, ast.Constant))
            return any("r" in str(mode) for mode in modes)
        case _:
            return False


def _opening_modules() -> set[str]:
    found = set()
    for package in ("settings", "engine", "scheduler"):
        for file in (ROOT / package).rglob("*.py"):
            if file.is_relative_to(SHIPPED):
                continue
            calls = (
                node
                for node in ast.walk(ast.parse(file.read_text("utf-8")))
                if isinstance(node, ast.Call)
            )
            if any(_opens(call) for call in calls):
                found.add(str(file.relative_to(ROOT).with_suffix("")))
    return found


def test_every_module_that_opens_files_is_known_with_its_damage() -> None:
    assert sorted(_opening_modules()) == sorted(READS)


def test_the_search_finds_what_it_should() -> None:
    tree = ast.parse(
        "x.open('rb')\nos.open(p, f)\nread_regular(p, 5)\np.read_bytes()\nfile.open('wb')\nopen_it()"
    )
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]

    assert sum(_opens(call) for call in calls) == 4
