"""What single items came to, where some of them failed: one bad item is one bad item, and the others go on."""

from __future__ import annotations

from collections.abc import Sequence

from engine.node_api.node_type import Emission

ItemResult = Sequence[Emission] | Exception
"""What one item gave, or why it failed."""


class ItemsFailedError(Exception):
    """Raised by a node that looks at its items one by one, when some failed; not by :class:`.ItemNode`, whose items the
    runner knows.

    ``results`` has a result for each item of the first input, in their order. ``on_error`` of the node then applies to
    the items that failed, and the others go on; with ``stop`` the first failure ends the execution.
    """

    def __init__(self, results: Sequence[ItemResult]) -> None:
        super().__init__(f"{sum(isinstance(each, Exception) for each in results)} items failed")
        self.results = results
