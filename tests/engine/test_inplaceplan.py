"""What is refused before anything moves, and where a link leads, as far as it leads anywhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import RestoreError
from engine.inplaceplan import plan_in_place, resolved
from engine.logplan import LogMode
from engine.restorelogs import LogWish
from engine.selection import Selection
from engine.sets import take_inventory
from engine.setsource import open_set
from tests.engine.stories import PARIS, make_app

EVERYTHING = Selection()


def test_of_a_set_that_knows_no_places_the_log_alone_is_not_put_beside_other_data(
    tmp_path: Path,
) -> None:
    app = make_app(tmp_path)
    source = open_set(app.backup_set())
    bare = replace(source.manifest, facts=replace(source.manifest.facts, roots=()))
    sets = take_inventory(app.destination, "data", app.data_file).sets
    wish = LogWish(LogMode.SET, PARIS, app.layout, sets)

    with pytest.raises(RestoreError, match="nothing was moved"):
        plan_in_place(
            replace(source, manifest=bare),
            EVERYTHING,
            wish,
            app.layout,
            aside_name="aside",
            protected=(),
        )
    whole = plan_in_place(source, EVERYTHING, wish, app.layout, aside_name="aside", protected=())
    assert b"Data/data.4DD" in {top.path for top in whole.tops}


def test_a_link_leads_to_its_goal_and_one_in_a_circle_nowhere(tmp_path: Path) -> None:
    (tmp_path / "goal").mkdir()
    (tmp_path / "link").symlink_to("goal")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    assert resolved(tmp_path / "link") == tmp_path / "goal"
    assert resolved(tmp_path / "one") == tmp_path / "one"
