"""LogShipping in the service file: off until it is asked for, for the host or one database; nonsense is refused."""

from datetime import timedelta

import pytest

from settings.errors import SettingsRefusedError
from settings.service_model import LogShipping
from tests.settings.test_service_drills import read


def test_no_log_is_shipped_unless_somebody_asks() -> None:
    service = read("")

    assert service.shipping is None
    assert service.databases[0].shipping is None


@pytest.mark.parametrize(
    ("element", "seconds"),
    [
        ("<LogShipping/>", 5),
        ("<LogShipping><LagSeconds>1</LagSeconds></LogShipping>", 1),
        ("<LogShipping><LagSeconds>3600</LagSeconds></LogShipping>", 3600),
    ],
)
def test_the_lag_is_read_and_is_every_databases(element: str, seconds: int) -> None:
    service = read(element)

    assert service.shipping == LogShipping(timedelta(seconds=seconds))
    assert service.databases[0].shipping == service.shipping


def test_a_database_may_have_its_own_lag_or_none() -> None:
    general = "<LogShipping><LagSeconds>10</LagSeconds></LogShipping>"
    own = "<LogShipping><LagSeconds>2</LagSeconds></LogShipping>"
    off = "<LogShipping><LagSeconds>0</LagSeconds></LogShipping>"

    assert read(general, own).databases[0].shipping == LogShipping(timedelta(seconds=2))
    assert read(general, off).databases[0].shipping is None
    assert read("", own).databases[0].shipping == LogShipping(timedelta(seconds=2))


@pytest.mark.parametrize("text", ["", "-1", "1.5", "3601", "9999", "five", "00:00:05", "\u0665"])
def test_a_lag_that_is_none_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(SettingsRefusedError) as caught:
        read(f"<LogShipping>\n<LagSeconds>{text}</LagSeconds></LogShipping>")

    assert "line 4: LogShipping/LagSeconds" in str(caught.value)
    assert "from 0 to 3600" in str(caught.value)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(SettingsRefusedError, match="unknown key; allowed here: LagSeconds"):
        read("<LogShipping><Every>5</Every></LogShipping>")
