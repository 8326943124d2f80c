"""What data of older schemas becomes."""

from __future__ import annotations

from sqlalchemy import text

from storage.database.database import Database
from storage.migrations.runner import migrate
from storage.workflows.repository import SqlWorkflowRepository
from tests.support.databases import upgrade_to
from workflow.identity import LOCAL_ID

OLD_DATA = """
INSERT INTO workflows VALUES ('hooked', 'hooked', '', 2, 1, 0, 0, NULL);
INSERT INTO workflows VALUES ('manual', 'manual', '', 1, 1, 0, 0, NULL);
INSERT INTO workflow_versions VALUES ('hooked', 1, :definition, 0);
INSERT INTO workflow_versions VALUES ('hooked', 2, :definition, 0);
INSERT INTO workflow_versions VALUES ('manual', 1, :definition, 0);
INSERT INTO webhook_paths VALUES ('leads', 'hooked')
"""
DEFINITION = b'{"name": "old", "nodes": {"start": {"type": "manual"}}}'


async def test_workflows_that_listened_before_there_was_publishing_are_published(empty_database: Database) -> None:
    async with empty_database.transaction() as connection:
        await connection.run_sync(upgrade_to, "0001")
        for statement in OLD_DATA.strip().split(";"):
            values = {"definition": DEFINITION} if ":definition" in statement else {}
            await connection.execute(text(statement), values)
    await migrate(empty_database)
    workflows = SqlWorkflowRepository(empty_database)
    assert (await workflows.by_webhook_path("leads")).version == 2
    assert (await workflows.get(LOCAL_ID, "hooked")).published_version == 2
    assert (await workflows.get(LOCAL_ID, "manual")).published_version is None
    changes = [each.change for each in (await workflows.versions(LOCAL_ID, "hooked", limit=9, cursor=None)).items]
    assert changes == ["Changed", "Created"]
