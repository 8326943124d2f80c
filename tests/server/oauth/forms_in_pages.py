"""A page's form, filled in and sent as a browser does it; a real one goes through ``make clients``."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx2

FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Form(HTMLParser):
    """The form, with what is chosen in it beforehand; buttons are not. ``text`` is all of the page's."""

    html: str
    action: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the form and its inputs."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        if tag not in ("input", "button") or "name" not in given:
            return
        self.choices.setdefault(given["name"], []).append(given.get("value", ""))
        is_chosen = "checked" in given or given.get("type") not in ("checkbox", "radio")
        if tag == "input" and is_chosen:
            self.fields.append((given["name"], given.get("value", "")))

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data

    def with_(self, **values: Any) -> list[tuple[str, str]]:
        """The fields with other values; a list is for several of one name."""
        kept = [(name, value) for name, value in self.fields if name not in values]
        for name, value in values.items():
            kept += [(name, each) for each in (value if isinstance(value, list) else [value])]
        return kept

    async def send(self, http: httpx2.AsyncClient, **values: Any) -> httpx2.Response:
        """What comes back."""
        return await http.post(self.action, content=urlencode(self.with_(**values)), headers=FORM)
