"""Kinds of files of the service: its own file, the state of a database, the last good settings."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from scheduler.decide import Run
from scheduler.proof import LastDrill, Proof, Verified
from scheduler.settings_source import last_good_file
from scheduler.state import load_state, save_state, state_file
from settings.errors import SettingsError
from settings.reader import load_settings
from settings.service_file import load_service_file
from tests.damage.child import Facts, Told
from tests.damage.kinds import Kind, Stage, backs_up, judge_sets, said
from tests.damage.of_sets import three_sets
from tests.engine.stories import App
from tests.scheduler.served_stories import Story

_LATER = timedelta(days=40)
_STEPS = 3


def _service_file(folder: Path) -> Stage:
    return Stage(three_sets(folder), folder, folder / "here" / "service.xml")


def _use_service_file(stage: Stage) -> Facts:
    return backs_up(stage, ("status",), in_turn=(("list",), ("settings", "check")))


def _judge_service_file(stage: Stage, told: Told) -> str:
    came = judge_sets(stage, told)
    try:
        load_service_file(stage.file)
    except SettingsError:
        assert stage.file.name in said(told), "nobody is told"
    return came


# --- the state ------------------------------------------------------------------------------------


def _story(app: App, here: Path) -> Story:
    return Story(app, here / "state")


def _served(folder: Path) -> App:
    """The service has served it, drilled it and looked at its sets."""
    app = three_sets(folder)
    story = _story(app, folder / "here")
    now = app.clock.now()
    story.served.refresh(now)
    story.served.decide(now)
    file = state_file(folder / "here" / "state", app.data_file)
    state = load_state(file)
    assert state is not None
    drill = LastDrill(now, 3, 1.5, 0, "")
    verified = tuple(Verified(f"data[{at:04d}]", now, 0, "") for at in (1, 2, 3))
    proof = Proof(drill, drill, None, None, verified, now, 3, 0, 0)
    save_state(file, replace(state, proof=proof))
    return app


def _state(folder: Path) -> Stage:
    app = _served(folder)
    return Stage(app, folder, state_file(folder / "here" / "state", app.data_file))


def _serves(stage: Stage) -> Facts:
    """The service starts, and goes on for a while; then a person looks."""
    app = stage.app
    story = _story(app, stage.here)
    now = app.clock.now() + timedelta(hours=1)
    decisions = []
    for _ in range(_STEPS):
        story.served.refresh(now)
        decision = story.served.decide(now)
        decisions.append(type(decision).__name__)
        if isinstance(decision, Run):
            break
        now += _LATER
    facts = backs_up(stage, in_turn=(("status",), ("schedule", "--missed-since", "2026-01-01")))
    return {**facts, "decisions": decisions}


def _judge_state(stage: Stage, told: Told) -> str:
    """Used, or set aside with a word; in both cases backups go on within days, and none is made over another."""
    before = stage.app.journal()
    came = judge_sets(stage, told)
    assert came == "went on", came
    decisions = told.facts["decisions"]
    assert decisions[-1] == "Run", f"no backup in {_LATER * _STEPS}: {decisions}"
    if "State set aside" in before or "State not usable" in before:
        return "set aside, rebuilt"
    return "used"


# --- the last good settings -----------------------------------------------------------------------


def _last_good(folder: Path) -> Stage:
    """The settings themselves are broken, and the copy of the last good ones is what is left."""
    app = _served(folder)
    (app.package / "Settings" / "backup.4DSettings").write_bytes(b"<broken")
    file = last_good_file(folder / "here" / "state", app.layout)
    assert file.exists()
    return Stage(app, folder, file)


def _serves_on(stage: Stage) -> Facts:
    story = _story(stage.app, stage.here)
    story.served.refresh(stage.app.clock.now())
    return {
        "problem": story.served.problem,
        "known": story.served.known is not None,
        **backs_up(stage, ("status",)),
    }


def _judge_last_good(stage: Stage, told: Told) -> str:
    came = judge_sets(stage, told, may_go=frozenset())
    assert came == "refused", "a manual backup with settings that cannot be read"
    assert told.facts["problem"], "nobody is told that the settings are broken"
    try:
        load_settings(stage.file)
    except SettingsError:
        assert not told.facts["known"] or "Run" not in str(told.facts), told.facts
        return "refused"
    return "used"


KINDS = (
    Kind("service file", _service_file, _use_service_file, _judge_service_file),
    Kind("state", _state, _serves, _judge_state),
    Kind("last good settings", _last_good, _serves_on, _judge_last_good),
)
