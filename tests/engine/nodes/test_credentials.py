"""Nodes pass on the names of credentials, and know nothing else of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.support.engine import EngineHarness
from workflow.credentials import CredentialNotFoundError, CredentialRef
from workflow.ports import HttpRequest, HttpResponse

PARAMETERS = {"url": "https://api.example.com/", "credential": "crm"}


@dataclass(slots=True)
class Recorder:
    """Keeps the requests it is to send; ``known`` are the credentials there are."""

    known: set[str] = field(default_factory=lambda: {"crm"})
    requests: list[HttpRequest] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer, or fail as the vault does."""
        self.requests.append(request)
        if request.credential is not None and request.credential.name not in self.known:
            raise CredentialNotFoundError(request.credential.name, known=sorted(self.known))
        return HttpResponse(status=200, headers={}, body=b"", url=request.url)


async def test_a_request_goes_out_with_the_name_in_the_workspace_whose_run_it_is(harness: EngineHarness) -> None:
    recorder = Recorder()
    await replace(harness, http=recorder).node("http_request", PARAMETERS, None)
    await replace(harness, http=recorder).node("http_request", {"url": "https://api.example.com/"}, None)
    assert [request.credential for request in recorder.requests] == [CredentialRef(owner="local", name="crm"), None]


async def test_a_credential_that_is_not_there_fails_the_node_without_another_try(harness: EngineHarness) -> None:
    recorder = Recorder(known={"crn"})
    done = await replace(harness, http=recorder).node("http_request", PARAMETERS, None)
    error = done.run.error
    assert error is not None
    assert (error.code, error.transient, error.node) == ("credential_not_found", False, "node")
    assert "Did you mean 'crn'?" in error.message
    assert len(recorder.requests) == 1
