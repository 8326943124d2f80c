"""Lists of what is offered: fixed things first, each user's own behind, kept until something changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tools.protocol.offering import PAGE_SIZE, Offering
from workflow.errors import InvalidArgumentsError


@dataclass(frozen=True)
class Thing:
    """Something with a name."""

    name: str
    owner: str = ""


@dataclass
class Things:
    """A source that counts how often it was asked."""

    by_user: dict[str, list[str]]
    asked: list[str] = field(default_factory=list)

    async def all(self, user: str) -> Sequence[Thing]:
        """The user's."""
        self.asked.append(user)
        return [Thing(name, user) for name in self.by_user.get(user, [])]


async def names(offering: Offering[Thing], user: str) -> list[str]:
    """The names on the user's first page."""
    return [each.name for each in (await offering.page(user, None)).items]


async def test_each_user_has_what_everybody_has_and_their_own() -> None:
    things = Things({"ada": ["a2", "a1", "fixed"], "bob": ["b1"]})
    offering = Offering("things", [Thing("fixed")], [things])
    assert await names(offering, "ada") == ["fixed", "a2", "a1"]
    assert await names(offering, "bob") == ["fixed", "b1"]
    assert await offering.get("ada", "fixed") == Thing("fixed")
    assert await offering.get("bob", "a1") is None
    assert (offering.fixed("fixed"), offering.fixed("b1")) == (Thing("fixed"), None)


async def test_a_list_is_made_once_until_something_changes() -> None:
    things = Things({"ada": ["a1"]})
    offering = Offering("things", [], [things])
    for _ in range(3):
        assert await names(offering, "ada") == ["a1"]
    assert things.asked == ["ada"]
    things.by_user["ada"] = ["a2"]
    offering.forget("ada")
    assert await names(offering, "ada") == ["a2"]


async def test_a_change_while_a_list_is_made_is_not_lost() -> None:
    class Slow(Things):
        async def all(self, user: str) -> Sequence[Thing]:
            found = await super().all(user)
            self.by_user["ada"] = ["new"]
            offering.forget("ada")
            return found

    slow = Slow({"ada": ["old"]})
    offering = Offering("things", [], [slow])
    assert await names(offering, "ada") == ["old"]
    assert await names(offering, "ada") == ["new"]


async def test_long_lists_come_in_pages_and_other_cursors_are_refused() -> None:
    every = [Thing(f"t{number}") for number in range(2 * PAGE_SIZE + 1)]
    offering, other = Offering("things", every), Offering("others", every)
    first = await offering.page("ada", None)
    second = await offering.page("ada", first.next_cursor)
    third = await offering.page("ada", second.next_cursor)
    assert [*first.items, *second.items, *third.items] == every
    assert third.next_cursor is None
    for cursor in ((await other.page("ada", None)).next_cursor, "nonsense", "WyJ0aGluZ3MiLC0xXQ"):
        with pytest.raises(InvalidArgumentsError):
            await offering.page("ada", cursor)
