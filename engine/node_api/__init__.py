"""What a node type is, for the built-in ones and for packages of other people (docs/own-nodes.md).

Such packages import the names in ``__all__`` from here, and for their tests :mod:`engine.node_api.testing`. These names
are typed and stable; everything else in Jobsprint may change without notice.

Must not know any single node type, nor how a run is stored.
"""

from engine.node_api.node_call import NodeCall, WebhookResponse
from engine.node_api.node_type import (
    AsyncNode,
    BatchNode,
    EffectNode,
    Emission,
    ItemNode,
    NodeType,
    NoParameters,
    SuspendError,
    paired,
    require,
)
from engine.node_api.outbound import retry_after_seconds, send, status_error
from engine.node_api.parameters import CredentialName, Parameters
from engine.node_api.ports import Step
from engine.node_api.progress import Progress
from workflow.credentials import CredentialRef
from workflow.definitions.catalogue import MAIN, ParameterProblem
from workflow.errors import ExpressionError, JobsprintError, NodeError, OutboundError
from workflow.executions import Resumption, Suspension, SuspensionKind
from workflow.items import Item, Items, JsonObject, Outputs, Pair, from_item
from workflow.ports import HttpClient, HttpRequest, HttpResponse
from workflow.redaction import redacted_address

__all__ = [
    "MAIN",
    "AsyncNode",
    "BatchNode",
    "CredentialName",
    "CredentialRef",
    "EffectNode",
    "Emission",
    "ExpressionError",
    "HttpClient",
    "HttpRequest",
    "HttpResponse",
    "Item",
    "ItemNode",
    "Items",
    "JobsprintError",
    "JsonObject",
    "NoParameters",
    "NodeCall",
    "NodeError",
    "NodeType",
    "OutboundError",
    "Outputs",
    "Pair",
    "ParameterProblem",
    "Parameters",
    "Progress",
    "Resumption",
    "Step",
    "SuspendError",
    "Suspension",
    "SuspensionKind",
    "WebhookResponse",
    "from_item",
    "paired",
    "redacted_address",
    "require",
    "retry_after_seconds",
    "send",
    "status_error",
]
