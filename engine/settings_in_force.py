"""Which settings a backup is made with: the file, read again at every backup as 4D does, or the last good ones."""

from dataclasses import replace

from engine.errors import RefusedError
from engine.fourd.setsettings import for_archives
from engine.request import Request
from settings.errors import SettingsError
from settings.reader import Reading, load_settings


def settings_in_force(request: Request) -> tuple[Reading, tuple[str, ...]]:
    """The settings as the format of the archives allows them, and notes for the journal.

    While the file cannot be used, the request's last good settings count, and a note says so. Raises
    RefusedError when there are none.
    """
    reading, notes = _read(request)
    reading, others = for_archives(reading, request.archives)
    return reading, (*notes, *others)


def _read(request: Request) -> tuple[Reading, tuple[str, ...]]:
    layout = request.layout
    try:
        return load_settings(layout.settings_file), ()
    except SettingsError as error:
        reading = _last_good(request)
        if reading is None:
            hint = f"run: backup4d settings check '{layout.package}'"
            raise RefusedError(str(error), hint=hint) from error
        note = f"Settings : {layout.settings_file} cannot be used; the last good settings are"
        return replace(reading, file=layout.settings_file), (note,)


def _last_good(request: Request) -> Reading | None:
    if request.last_good is None:
        return None
    try:
        return load_settings(request.last_good)
    except SettingsError:
        return None
