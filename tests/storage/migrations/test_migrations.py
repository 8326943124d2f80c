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


OLD_CHILDREN = {
    "parent": '{"parent": null, "input": "no \\"parent\\":[\\"x\\"] here"}',
    "child": '{"input": 1,"parent":["parent","call",0,0]}',
    "grandchild": '{"parent":["child","call",0,1]}',
    "orphan": '{"parent":["gone","call",0,1]}',
    "text": '{"input": {"parent":["parent","call"]}, "parent": null}',
    "damaged": '{"parent":["parent"',
}


async def test_children_of_older_schemas_know_their_parents_and_roots(empty_database: Database) -> None:
    async with empty_database.transaction() as connection:
        await connection.run_sync(upgrade_to, "0006")
        for number, (name, data) in enumerate(OLD_CHILDREN.items()):
            row = {"id": name, "at": number, "data": data.replace(": ", ":").encode()}
            insert = (
                "INSERT INTO executions (id, owner, workflow_id, state, created_at, data) "
                "VALUES (:id, 'o', 'w', 'succeeded', :at, :data)"
            )
            await connection.execute(text(insert), row)
    await migrate(empty_database)
    async with empty_database.transaction() as connection:
        found = await connection.execute(text("SELECT id, parent_id, root_id FROM executions ORDER BY created_at"))
        assert [tuple(row) for row in found] == [
            ("parent", None, None),
            ("child", "parent", "parent"),
            ("grandchild", "child", "parent"),
            ("orphan", "gone", "gone"),
            ("text", None, None),
            ("damaged", None, None),
        ]
