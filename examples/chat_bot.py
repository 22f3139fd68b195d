"""A bot that answers: say `!lobbies`, `!who` or `!help` in General.

python examples/chat_bot.py 127.0.0.1:7600
"""

import argparse
import asyncio
import sys

from polypaint import Client, PolypaintError, connect


async def answer(client: Client, question: str) -> str:
    """What the bot says to this."""
    if question == "!lobbies":
        found = [f"{x['Filename']} ({len(x['Clients'])})" for x in await client.lobbies()]
        return ", ".join(found) or "nobody is drawing"
    if question == "!who":
        general = next(x for x in await client.channels() if x["Name"] == "General")
        return ", ".join(general["Clients"])
    return "I know !lobbies, !who and !help"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:7600")
    parser.add_argument("--name", default="echo")
    parser.add_argument("--password", default="bot")
    options = parser.parse_args()
    async with connect(options.address, options.name, options.password, create=True) as client:
        print("listening in General")
        async for message in client.messages():
            print(f"{message.channel} <{message.author}> {message.content}")
            if message.content.startswith("!"):
                await client.say(message.channel, await answer(client, message.content))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except PolypaintError as error:  # nobody there, the wrong password, no such drawing …
        sys.exit(f"chat_bot: {error}")
    except KeyboardInterrupt:
        pass
