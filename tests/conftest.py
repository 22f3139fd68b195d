"""What all tests share: servers in this process or beside it, and the loops that tests run on."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import hypothesis
import pytest
import structlog
import uvloop

from polypaint.runtime.server import Server
from polypaint.settings import load

from .peers import Raw
from .processes import Mongo, Process, mongo_program
from .world import World

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


@asynccontextmanager
async def serving(data: Path, **flags) -> AsyncIterator[Server]:
    """A server in this event loop."""
    given = {
        "paint_port": 0,
        "matches_port": 0,
        "tanks_port": 0,
        "web_port": 0,
        "bcrypt_rounds": 4,
        "data": data,
    }
    server = Server(load(given | flags))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture(autouse=True)
def close_all():
    """No test leaves a connection or a world behind."""
    yield
    for world in list(World.all):
        world.kill()
    while Raw.all:
        Raw.all.pop().close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Nothing is logged: who plays thousands of servers does not read what they say."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongo]:
    """A started database."""
    program = mongo_program()
    if program is None:
        missing = "needs a database: install mongod, or build FerretDB with ci/ferretdb"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    server = Mongo(program, tmp_path_factory.mktemp("mongo")).start()
    yield server
    server.stop()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A started `polypaint-fast`."""
    running = Process(tmp_path).start()
    yield running
    if running.child is not None and running.child.poll() is None:
        assert running.stop() == 0, running.log.read_text()
    assert "Traceback" not in running.log.read_text()


def pytest_asyncio_loop_factories(config, item):
    """Tests run on uvloop, as the server does; those marked `both_loops` on asyncio's loop too."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    factories = {"uvloop": uvloop.new_event_loop}
    if item.get_closest_marker("both_loops"):
        factories["asyncio"] = asyncio.new_event_loop
    return factories


os.environ.pop("POLYPAINT_DATA", None)


@pytest.fixture
def world() -> World:
    """A whole server in virtual time."""
    return World()
