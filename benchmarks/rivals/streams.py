"""A relay with asyncio's streams on uvloop: what one sends, all others get."""

import asyncio
import sys

import uvloop

writers: set[asyncio.StreamWriter] = set()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writers.add(writer)
    try:
        while True:
            head = await reader.readexactly(2)
            packet = head + await reader.readexactly(int.from_bytes(head, "little") - 2)
            for other in writers:
                if other is not writer:
                    other.write(packet)
    except (asyncio.IncompleteReadError, ConnectionError):
        writers.discard(writer)
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
