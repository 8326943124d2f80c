"""The actions that the double has: a few by hand, as many more as are asked for made of apps, verbs and things."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

TEXT = {"type": "string"}

APPS = [
    "HubSpot", "Salesforce", "Google Calendar", "Notion", "Trello", "Asana", "Jira", "GitHub", "GitLab", "Airtable",
    "Stripe", "Shopify", "Zendesk", "Intercom", "Mailchimp", "Typeform", "Calendly", "Dropbox", "OneDrive", "Box",
    "Discord", "Telegram", "Twilio", "Zoom", "Webflow", "WordPress", "QuickBooks", "Pipedrive", "Linear", "Buffer",
]  # fmt: skip
VERBS = [("create", "write"), ("update", "write"), ("delete", "write"), ("find", "search"), ("list", "read")]
THINGS = ["contact", "deal", "ticket", "invoice", "page", "comment", "file", "folder", "event", "campaign"]


@dataclass(slots=True, frozen=True)
class ZapierAction:
    """One action. ``params`` maps names to JSON Schemas; all of ``required`` have to be given.

    ``key`` does not name it alone: sending and finding e-mail are both ``message`` at Gmail. ``tool`` does.
    """

    app: str
    api: str
    key: str
    title: str
    type: str
    params: dict[str, Any]
    required: tuple[str, ...] = ()
    description: str = ""

    @property
    def tool(self) -> str:
        """Its name as a tool of managed mode, and among the arguments of agentic mode."""
        return f"{self.app} {self.title}".lower().replace(" ", "_")

    @property
    def executor(self) -> str:
        """The tool of agentic mode that executes it."""
        return f"execute_zapier_{'write' if self.type == 'write' else 'read'}_action"

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments in managed mode."""
        instructions = {"type": "string", "description": "Instructions for running this tool."}
        hint = {"type": "string", "description": "What should come back."}
        properties = {"instructions": instructions, "output_hint": hint, **self.params}
        return {"type": "object", "properties": properties, "required": ["instructions", *self.required]}

    def fields(self) -> list[dict[str, Any]]:
        """Its params as agentic mode describes them: not a JSON Schema."""
        return [
            {
                "key": name,
                "label": name.replace("_", " ").title(),
                "type": schema.get("type", "string"),
                "required": name in self.required,
                **({"help_text": schema["description"]} if "description" in schema else {}),
                **({"choices": schema["enum"]} if "enum" in schema else {}),
            }
            for name, schema in self.params.items()
        ]


BY_HAND = [
    ZapierAction(
        "Gmail", "GoogleMailV2CLIAPI", "message", "Send Email", "write",
        {"to": TEXT, "subject": TEXT, "body": TEXT, "body_type": {"type": "string", "enum": ["plain", "html"]}},
        ("to", "body"), "Create and send a new email message.",
    ),
    ZapierAction(
        "Gmail", "GoogleMailV2CLIAPI", "message", "Find Email", "search",
        {"query": {**TEXT, "description": "As in Gmail's own search."}}, ("query",), "Find an email message.",
    ),
    ZapierAction(
        "Slack", "SlackCLIAPI", "channel_message", "Send Channel Message", "write",
        {"channel": TEXT, "text": TEXT, "as_bot": {"type": "boolean"}}, ("channel", "text"),
        "Post a new message to a specific channel.",
    ),
    ZapierAction(
        "Google Sheets", "GoogleSheetsV2CLIAPI", "add_row", "Create Spreadsheet Row", "write",
        # Nobody would guess these names.
        {"COL__DOLLAR__A": TEXT, "COL__DOLLAR__B": TEXT, "worksheet": TEXT}, ("worksheet",),
        "Create a new row in a specific spreadsheet.",
    ),
]  # fmt: skip


def made() -> list[ZapierAction]:
    """Every action that is made, always in the same order."""
    return [
        ZapierAction(
            app,
            f"{app.replace(' ', '')}CLIAPI",
            f"{verb}_{thing}",
            f"{verb.title()} {thing.title()}",
            kind,
            {"id": TEXT, "name": TEXT, "notes": {**TEXT, "description": f"Free text of the {thing}."}},
            ("name",),
            f"{verb.title()} a {thing} in {app}. Works with the account that is connected at Zapier.",
        )
        for app, (verb, kind), thing in product(APPS, VERBS, THINGS)
    ]


@dataclass(slots=True)
class Catalogue:
    """``actions`` are the enabled ones, of which there are ``count`` at first; ``others`` could be enabled."""

    count: int = len(BY_HAND)
    actions: list[ZapierAction] = field(init=False)
    others: list[ZapierAction] = field(init=False)

    def __post_init__(self) -> None:
        rest = iter(made())
        self.actions = [*BY_HAND, *islice(rest, max(self.count - len(BY_HAND), 0))]
        self.others = list(rest)

    def find(self, api: Any, key: Any, *, tool: Any = None, executor: str | None = None) -> ZapierAction | None:
        """The enabled action that is meant, if it is one."""
        return next(
            (
                each
                for each in self.actions
                if (each.api, each.key) == (api, key)
                and tool in (None, each.tool)
                and executor in (None, each.executor)
            ),
            None,
        )

    def enable(self, api: Any, key: Any) -> ZapierAction | None:
        """Have another action among the enabled ones."""
        for each in self.others:
            if (each.api, each.key) == (api, key):
                self.others.remove(each)
                self.actions.append(each)
                return each
        return None

    def disable(self, api: Any, key: Any) -> ZapierAction | None:
        """Have an action no more among the enabled ones."""
        found = self.find(api, key)
        if found is not None:
            self.actions.remove(found)
            self.others.append(found)
        return found
