"""The command line: one group, one boundary where errors become words and exit codes."""

import gc
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from engine.errors import EngineError, Exit
from engine.version import VERSION
from scheduler.context import LazyContext
from scheduler.screen import say_json, warn
from settings.errors import SettingsError, SettingsNotFoundError, UnknownKeyError

_log = logging.getLogger(__name__)
# the modes of what we make are stated where it is made: no umask opens it to more, or closes it to its owner
_MASK = 0o022

# each command's module is imported when the command is used: the service and `status` stay small and quick
_COMMANDS = {
    "4bk": ("scheduler.commands_4bk", "archives"),
    "backup": ("scheduler.commands_backup", "backup"),
    "demo": ("scheduler.demo", "demo"),
    "diff": ("scheduler.commands_browse", "diff"),
    "drill": ("scheduler.commands_drill", "drill"),
    "import": ("scheduler.commands_import", "import_sets"),
    "export": ("scheduler.commands_export", "export"),
    "install-service": ("scheduler.commands_install", "install_service"),
    "list": ("scheduler.commands_sets", "list_sets"),
    "log": ("scheduler.commands_log", "log_group"),
    "open-check": ("scheduler.commands_opencheck", "open_check"),
    "pause": ("scheduler.commands_control", "pause_backups"),
    "reload": ("scheduler.commands_control", "reload"),
    "repair": ("scheduler.commands_repair", "repair"),
    "restore": ("scheduler.commands_restore", "restore"),
    "resume": ("scheduler.commands_control", "resume"),
    "run": ("scheduler.commands_service", "run"),
    "schedule": ("scheduler.commands_schedule", "schedule"),
    "settings": ("scheduler.commands_settings", "settings"),
    "show": ("scheduler.commands_sets", "show"),
    "status": ("scheduler.commands_service", "status"),
    "stop": ("scheduler.commands_control", "stop"),
    "uninstall-service": ("scheduler.commands_install", "uninstall_service"),
    "verify": ("scheduler.commands_sets", "verify"),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        # what is imported stays: not looked through again and again while it comes (a sixth of the time of a start)
        gc.disable()
        __import__(module)
        gc.freeze()
        gc.enable()
        command = getattr(sys.modules[module], name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above says so
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="backup4d")
@click.option(
    "--service-file",
    type=click.Path(path_type=Path),
    help="The service file, in place of /etc/backup4d/service.xml.",
)
@click.option(
    "--state-folder",
    type=click.Path(path_type=Path),
    help="Where the service keeps its state, in place of its usual place.",
)
@click.pass_context
def cli(ctx: click.Context, service_file: Path | None, state_folder: Path | None) -> None:
    """Scheduled, verified backups of 4D applications, as Backup.4DSettings asks for them.

    DATABASE is the folder of a 4D application (the one that holds Project, Data and Settings), or any of
    its project, structure or settings files.

    Exit codes: 0 done, 1 failed, 2 wrong use, 3 partial set, 4 settings refused, 5 damaged archive,
    6 another operation is running, 7 restored by open-check but not to be started, 130 stopped.
    """
    ctx.obj = LazyContext(service_file, state_folder)


def main() -> None:
    """Run the command line and exit with its code."""
    as_json = "--json" in sys.argv
    os.umask(_MASK)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        warn("stopped")
        code = Exit.STOPPED
    except EngineError as error:
        code = _tell(str(error), error.hint, int(error.code), error.exit_code, as_json=as_json)
    except SettingsError as error:
        code = _tell(str(error), error.hint, 0, _exit_for(error), as_json=as_json)
    except BrokenPipeError:
        code = Exit.FAILED
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        code = _tell(what, "", 0, Exit.FAILED, as_json=as_json)
    except Exception:  # noqa: BLE001 - the boundary of the program
        _log.exception("this is a mistake in backup4d, please report it with these lines")
        code = Exit.FAILED
    sys.exit(_with_output_flushed(code if isinstance(code, int) else 0))


def _with_output_flushed(code: int) -> int:
    """What its buffer still holds goes out, or is given up: Python would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or Exit.FAILED
    return code


def _exit_for(error: SettingsError) -> Exit:
    """A name that leads nowhere is wrong use; settings that cannot be used are refused."""
    is_wrong_use = isinstance(error, SettingsNotFoundError | UnknownKeyError)
    return Exit.USAGE if is_wrong_use else Exit.REFUSED


def _tell(text: str, hint: str, number: int, exit_code: Exit, *, as_json: bool) -> int:
    if as_json:
        with suppress(OSError):  # it may be standard output that failed; the words below are left
            say_json({"error": text, "hint": hint, "code": number, "exit": int(exit_code)})
    prefix = f"backup4d: error {number}: " if number else "backup4d: "
    warn(prefix + text)
    if hint:
        warn(f"what to do: {hint}")
    return exit_code
