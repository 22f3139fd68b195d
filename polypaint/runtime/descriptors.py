"""What the operating system allows this process: descriptors, one for each connection.

Counterpart: `server.serve`, which asks for as many as it may have.
"""

import resource
from typing import Final

import structlog

log = structlog.get_logger()

OWN: Final = 100
"""Descriptors for what is no connection: files, threads, listeners."""


def raise_descriptors(connections_max: int) -> int:
    """Have as many descriptors as the hard limit allows; how many connections there can be.

    Warns when those are fewer than `connections_max`. A process without a free descriptor cannot
    even tell those who connect that it has none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError) as error:
        log.warning("the limit of open files cannot be raised", limit=soft, error=str(error))
    if soft != resource.RLIM_INFINITY and soft < connections_max + OWN:
        log.warning(
            "fewer files can be open than there may be connections; raise the limit (ulimit -n,"
            " LimitNOFILE) or lower --connections-max",
            limit=soft,
            connections_max=connections_max,
        )
        return max(1, soft - OWN)
    return connections_max
