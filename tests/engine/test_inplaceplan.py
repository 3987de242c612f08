"""Where a link leads, as far as it leads anywhere."""

from pathlib import Path

from engine.inplaceplan import resolved


def test_a_link_leads_to_its_goal_and_one_in_a_circle_nowhere(tmp_path: Path) -> None:
    (tmp_path / "goal").mkdir()
    (tmp_path / "link").symlink_to("goal")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    assert resolved(tmp_path / "link") == tmp_path / "goal"
    assert resolved(tmp_path / "one") == tmp_path / "one"
