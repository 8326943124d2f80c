"""Run the double by hand: ``python -m tests.doubles.models --port 8099 --script script.json``.

A script names models and what each answers, one after the other: ``{"gpt": ["Hello", 503, {"data": {"a": 1}}]}``. A
model without one repeats the question; ``status-503`` answers that status. ``POST /script`` takes the same while it
runs; ``GET /asked`` shows what came.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import uvicorn

from tests.doubles.models.answers import Answer
from tests.doubles.models.server import ModelsDouble


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.models")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--script", type=Path)
    arguments = parser.parse_args()
    double = ModelsDouble()
    if arguments.script is not None:
        for model, answers in json.loads(arguments.script.read_text()).items():
            double.script(model, *map(Answer.from_json, answers))
    uvicorn.run(double, port=arguments.port, lifespan="off", log_level="info")


if __name__ == "__main__":
    main()
