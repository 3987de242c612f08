"""What the whole service works from: service file and zone, looked at again and again; a broken edit changes nothing."""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.journal import one_line
from scheduler.context import Context
from scheduler.environment import Environment, find_host_zone, zone_signature
from scheduler.recall import Host
from scheduler.settings_source import keep_copy
from settings.errors import SettingsError, SettingsNotFoundError
from settings.service_file import parse_service_file
from settings.service_model import ServedDatabase
from settings.source import load_bytes

_log = logging.getLogger(__name__)


class ServiceSource:
    """The databases to serve and what they share.

    `problem` says why the service file cannot be used now, None when it can; the last good one stays then.
    """

    def __init__(self, context: Context, named: tuple[Path, ...]) -> None:
        self.problem: str | None = None
        self._context = context
        self._named = named
        self._file = context.service.file or context.environment.service_file
        self._digest: str | None = None  # before the first look
        self._zone_signature = zone_signature()
        self.entries: tuple[ServedDatabase, ...] = context.served(named)
        self.host = _host_of(context)

    @property
    def file(self) -> Path:
        """The service file, there or not."""
        return self._file

    def look(self) -> bool:
        """Read again; True when databases or host are others than before."""
        before = (self.entries, self.host)
        try:
            self._read()
        except (SettingsError, OSError) as error:
            self._refuse(str(error))
        self._follow_zone()
        return (self.entries, self.host) != before

    def _read(self) -> None:
        data = self._bytes()
        digest = hashlib.sha256(data or b"").hexdigest()
        if data is None or digest == self._digest:
            self._digest = digest
            self._accept()
            return
        service = parse_service_file(data, self._file)
        zone = ZoneInfo(service.zone) if service.zone else find_host_zone() or self._context.zone
        context = replace(self._context, service=service, zone=zone)
        entries = context.served(self._named)
        is_first, self._digest = self._digest is None, digest
        self._context, self.entries, self.host = context, entries, _host_of(context)
        self._accept()
        keep_copy(data, _last_good_file(context.environment))
        if not is_first:
            _log.info("service file changed and taken up from %s", self._file)

    def _bytes(self) -> bytes | None:
        """None when there is no file, and never was one."""
        try:
            return load_bytes(self._file)
        except SettingsNotFoundError:
            if self._context.service.file is None:
                return None
            raise

    def _accept(self) -> None:
        if self.problem is not None:
            _log.info("service file usable again: %s", self._file)
        self.problem = None

    def _refuse(self, why: str) -> None:
        if why != self.problem:
            words = "service file refused; the last good one stays in force: %s"
            _log.error(words, one_line(why))
        self.problem = why

    def _follow_zone(self) -> None:
        """The zone of this machine may be set anew while we run."""
        signature = zone_signature()
        if self._context.service.zone is not None or signature == self._zone_signature:
            return
        zone = find_host_zone()
        if zone is None:
            return  # asked again at the next look
        self._zone_signature = signature
        if zone != self.host.zone:
            self._context = replace(self._context, zone=zone)
            self.host = replace(self.host, zone=zone)


def with_last_good(context: Context) -> Context | None:
    """The context of a service that starts; while the service file cannot be used, with the last good one.

    None when the file cannot be used and no service ever kept a good one.
    """
    file = context.service.file
    if context.problem is None or file is None:
        return context
    try:
        data = load_bytes(_last_good_file(context.environment))
        service = parse_service_file(data, file)
    except SettingsError:
        return None
    zone = ZoneInfo(service.zone) if service.zone else context.zone
    return replace(context, service=service, zone=zone)


def _last_good_file(environment: Environment) -> Path:
    return environment.state_folder / "service.xml"


def _host_of(context: Context) -> Host:
    service, environment = context.service, context.environment
    return Host(
        environment.state_folder,
        context.zone,
        service.path_map,
        service.limits,
        environment.runtime_folder,
    )
