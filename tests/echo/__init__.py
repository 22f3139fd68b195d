"""A service that says back what it is told: what a service takes at least, and one line to add it.

`make` is that line's function. It keeps how many messages there were, counts them, has an HTTP
route and an effect of its own.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from polypaint.engine.service import Carriers
from polypaint.runtime.services import Parts, Registered

from .effects import Remarked
from .service import EchoService


def make(parts: Parts, text: bool = True) -> Registered:
    """The service with what belongs to it at the edge."""
    service = EchoService(parts.context, parts.documents, text)

    def remark(effect: Remarked) -> None:
        service.remarks.append(effect.message)

    async def total(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(service.total))

    return Registered(service, Carriers().register(Remarked, remark), (Route("/echo", total),))
