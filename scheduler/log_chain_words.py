"""What `backup4d log check` says of two logs, and of a log and a data file."""

from engine.datalook import Seen
from engine.journal import one_line
from engine.logsequel import Belonging, Belongs, Following, Sequel

_SEQUELS = {
    Sequel.SAME: "is the same log as {earlier}, and as long",
    Sequel.GROWN: "is {earlier}, grown: nothing is missing between the two",
    Sequel.SHORTER: "is {earlier}, and shorter: its end was lost, or the two are given in the wrong order",
    Sequel.FOLLOWS: "follows {earlier}: no operation is missing between the two",
    Sequel.GAP: "does not follow {earlier}: {missing} in neither of them",
    Sequel.RECREATED: "does not follow {earlier}: the log was made anew, and counts from 0 again",
    Sequel.FORK: "does not follow {earlier}: the two begin alike and then hold different operations, as after a"
    " restore of an older set",
    Sequel.OVERLAPS: "does not follow {earlier}: it begins before that one ends; are the two in the right order?",
    Sequel.OTHER_DATA_FILE: "does not follow {earlier}: it is of another data file",
    Sequel.OTHER_FORMAT: "does not follow {earlier}: it has another format, so their numbers cannot be compared",
    Sequel.EMPTY: "holds nothing yet, or {earlier} does: whether operations are missing cannot be told",
}


def sequel_lines(following: Following, earlier: str) -> list[str]:
    """Whether this log carries on an earlier one."""
    missing = ""
    if following.missing is not None:
        first, last = following.missing
        missing = f"operation {first} is" if first == last else f"operations {first} to {last} are"
    words = _SEQUELS[following.sequel].format(earlier=one_line(earlier), missing=missing)
    lines = [f"chain: this log {words}"]
    if following.weak:
        lines.append(
            "note: the numbers meet, and that is all that is known: the earlier log does not end with the mark of a"
            " backup"
        )
    if following.goes_back:
        lines.append(
            "note: the numbers are compared, but the times go back: a clock was set back, or one of the two is not"
            " of these data"
        )
    return lines


def belonging_lines(belongs: Belongs, data: str) -> list[str]:
    """Whether this log is that of a data file, and what 4D will find."""
    name = one_line(data)
    at = f"the data are at operation {belongs.data}"
    ends = f"the log ends at {belongs.log}"
    match belongs.belonging:
        case Belonging.UP_TO_DATE:
            words = f"this log belongs to {name}: {at}, as the log"
        case Belonging.LOG_AHEAD:
            words = (
                f"this log belongs to {name}, and is ahead of it: {at}, {ends}; 4D has"
                f" {belongs.operations} to integrate"
            )
        case Belonging.DATA_AHEAD:
            words = (
                f"this log is not that of {name} as it is: {at}, {ends}; an older log, or a copy"
            )
        case Belonging.BEFORE_LOG:
            words = f"this log does not carry on {name}: {at}, and the log begins behind that"
        case Belonging.OTHER_DATA_FILE:
            words = f"this log is of another data file than {name}"
        case _:
            words = f"this log holds nothing yet: {at}"
    lines = [f"data: {words}"]
    if belongs.by_number:
        lines.append(
            "note: the data file does not say which log is its own; only the numbers were compared"
        )
    return lines


def fits(belongs: Belongs) -> bool:
    """Whether 4D can go on with the two."""
    return belongs.belonging in {Belonging.UP_TO_DATE, Belonging.LOG_AHEAD, Belonging.EMPTY}


def data_json(belongs: Belongs, seen: Seen) -> dict[str, object]:
    """The same for programs."""
    return {
        "is": belongs.belonging.value,
        "data": belongs.data,
        "log": belongs.log,
        "operations": belongs.operations,
        "datalink": None if seen.datalink is None else seen.datalink.hex().upper(),
    }


def sequel_json(following: Following) -> dict[str, object]:
    """The same for programs."""
    return {
        "is": following.sequel.value,
        "unbroken": following.is_unbroken,
        "missing": following.missing,
        "timesGoBack": following.goes_back,
        "byNumberAlone": following.weak,
    }
