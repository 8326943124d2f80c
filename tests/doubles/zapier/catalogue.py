"""The actions that the double has: a few by hand, as many more as are asked for made of apps, verbs and things."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

TEXT = {"type": "string"}

APPS = [
    "Gmail", "Slack", "GoogleSheets", "GoogleCalendar", "Notion", "HubSpot", "Salesforce", "Trello", "Asana", "Jira",
    "GitHub", "GitLab", "Airtable", "Stripe", "Shopify", "Zendesk", "Intercom", "Mailchimp", "Typeform", "Calendly",
    "Dropbox", "OneDrive", "Box", "Discord", "Telegram", "Twilio", "Zoom", "Webflow", "WordPress", "QuickBooks",
]  # fmt: skip
VERBS = [("create", "write"), ("update", "write"), ("delete", "write"), ("find", "read"), ("list", "read")]
THINGS = ["contact", "deal", "ticket", "invoice", "page", "comment", "file", "folder", "event", "campaign"]


@dataclass(slots=True, frozen=True)
class ZapierAction:
    """One action. ``params`` maps names to JSON Schemas; all of ``required`` have to be given."""

    api: str
    key: str
    title: str
    type: str
    params: dict[str, Any]
    required: tuple[str, ...] = ()
    description: str = ""

    @property
    def tool(self) -> str:
        """Its name as a tool of managed mode."""
        app = self.api.removesuffix("CLIAPI").removesuffix("V2")
        return f"{app.lower()}_{self.key}"

    def schema(self, *, with_instructions: bool = False) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        instructions = {"instructions": {"type": "string", "description": "In words."}} if with_instructions else {}
        required = [*(["instructions"] if with_instructions else []), *self.required]
        return {"type": "object", "properties": {**instructions, **self.params}, "required": required}


BY_HAND = [
    ZapierAction(
        "GmailV2CLIAPI", "send_email", "Send Email", "write",
        {"to": TEXT, "subject": TEXT, "body": TEXT}, ("to", "body"), "Create and send a new email message.",
    ),
    ZapierAction("GmailV2CLIAPI", "find_email", "Find Email", "search", {"query": TEXT}, ("query",), "Find an email."),
    ZapierAction(
        "SlackCLIAPI", "send_channel_message", "Send Channel Message", "write",
        {"channel": TEXT, "text": TEXT}, ("channel", "text"), "Post a new message to a specific channel.",
    ),
    ZapierAction(
        "GoogleSheetsV2CLIAPI", "add_row", "Create Spreadsheet Row", "write",
        # Nobody would guess these names.
        {"COL__DOLLAR__A": TEXT, "COL__DOLLAR__B": TEXT, "worksheet": TEXT}, ("worksheet",),
        "Create a new row in a specific spreadsheet.",
    ),
]  # fmt: skip


@dataclass(slots=True)
class Catalogue:
    """The actions, of which there are ``count``."""

    count: int = len(BY_HAND)
    actions: list[ZapierAction] = field(init=False)

    def __post_init__(self) -> None:
        made = (
            ZapierAction(
                f"{app}CLIAPI",
                f"{verb}_{thing}",
                f"{verb.title()} {thing.title()}",
                kind,
                {"id": TEXT, "name": TEXT, "notes": {**TEXT, "description": f"Free text of the {thing}."}},
                ("name",),
                f"{verb.title()} a {thing} in {app}. Works with the account that is connected at Zapier.",
            )
            for app, (verb, kind), thing in product(APPS, VERBS, THINGS)
        )
        self.actions = [*BY_HAND, *islice(made, max(self.count - len(BY_HAND), 0))]
