"""The Python client of matches: create, join, act, watch, from asyncio.

    async with connect_matches("127.0.0.1:7601", "ada", "secret") as client:
        match = await client.create("puissance4")
        while match.statut is None:
            if match.game.get("tour") == "ada":
                await match.act(colonne=3)
            else:
                await match.changed()

Addresses as for `connect`; over WebSocket the path is `/ws/matches`. A lost connection is made
again and the seat resumed. What was under way then raises ConnectionClosed: `match.seq` tells
whether it counted. A client whose seat is resumed from another connection ends: `closed` says so.

Counterpart: `polypaint.matches`. Protocol: docs/matches.md.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

from polypaint.client.lines import LineClient, new_rid
from polypaint.errors import ConnectionClosed, ProtocolError, Refused


class MatchRefused(Refused):
    """The server said no. code: as the protocol names it, `pas_votre_tour` for example."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Match:
    """A match that one plays or watches.

    infos: `infos_partie`, the last one; game: `jeu_etat`, always the newest; seq: of the last
    update; statut: how it ended for this player, None until then.
    """

    def __init__(self, client: "MatchClient", infos: dict[str, Any]) -> None:
        self.client = client
        self.infos = infos
        self.game: dict[str, Any] = infos["jeu_etat"]
        self.seq: int = infos["seq"]
        self.statut: str | None = None
        self.ended = ""
        """Why nothing more will come; empty while something may."""
        self._event = asyncio.Event()
        self._watchers: set[asyncio.Queue[dict[str, Any] | None]] = set()

    @property
    def code(self) -> str:
        """`code_partie`."""
        return str(self.infos["code_partie"])

    @property
    def state(self) -> str:
        """CREEE, OUVERTE, EN_COURS, TERMINEE …"""
        return str(self.infos["etat"])

    @property
    def players(self) -> list[str]:
        """Who has a seat."""
        return [player["id_publique"] for player in self.infos["joueurs"]]

    async def act(self, **action: Any) -> dict[str, Any]:
        """Do something; the update that came of it. Raises MatchRefused, ConnectionClosed."""
        name = self.client.name
        return await self.client.request("action", id_publique=name, action=action)

    async def changed(self) -> None:
        """Wait for the next infos or update. Raises ConnectionClosed when there will be none."""
        if self.ended:
            raise ConnectionClosed(self.ended)
        await self._event.wait()

    async def until(self, *states: str) -> None:
        """Wait until the match is in one of these states. Raises ConnectionClosed."""
        while self.state not in states:
            await self.changed()

    async def updates(self) -> AsyncIterator[dict[str, Any]]:
        """Every infos and update from now on, until the match or the connection ends."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            while not self.ended and (message := await queue.get()) is not None:
                yield message
        finally:
            self._watchers.discard(queue)

    async def leave(self) -> None:
        """Give the seat up; during play that loses the match. Raises MatchRefused."""
        client = self.client
        await client.request("deconnexion", id_publique=client.name, id_privee=client.shown)
        client.match = None
        self.end("you have left this match")

    def hear(self, message: dict[str, Any]) -> None:
        """Something that the server says of this match."""
        if message["reponse"] == "infos":
            self.infos = message["infos_partie"]
            self.game, self.seq = self.infos["jeu_etat"], self.infos["seq"]
            self.statut = message.get("statut", self.statut)
        else:
            self.game, self.seq = message["update_partie"]["jeu_etat"], message["seq"]
            self.statut = message.get("statut", self.statut)
            if self.statut is not None:
                self.infos = self.infos | {"etat": "TERMINEE"}
        self._notify(message)

    def end(self, reason: str) -> None:
        """Nothing more will come."""
        self.ended = reason
        self._notify(None)

    def _notify(self, message: dict[str, Any] | None) -> None:
        self._event.set()
        self._event = asyncio.Event()
        for queue in self._watchers:
            queue.put_nowait(message)


class MatchClient(LineClient):
    """A player. match: where they have a seat, or what they watch; None when neither."""

    def __init__(
        self, address: str, name: str, private: str, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(address, tls)
        self.name = name
        self.private = private
        self.shown = private
        """What this connection has shown in place of the private ID: that, or a ticket."""
        self._ticket = ""
        self.match: Match | None = None
        self._watching = False
        self._creating: tuple[dict[str, Any], str] | None = None
        """What `create` has asked for and not heard of, and the `rid` with which it did."""

    # ------------------------------------------------------------ requests
    async def request(self, name: str, **fields: Any) -> dict[str, Any]:
        """Any request of the protocol; its answer. Raises MatchRefused, ConnectionClosed."""
        return _granted(await self.ask({"requete": name} | fields))

    async def create(self, game: str, **parameters: Any) -> Match:
        """Create a match and take the first seat. Raises MatchRefused, ConnectionClosed.

        When the answer was lost with the connection, the same call again gives the same match.
        """
        given = {"jeu": game} | parameters
        if self._creating is None or self._creating[0] != given:
            self._creating = given, new_rid()
        message = {"requete": "creer", "id_publique": self.name, "parametres": given}
        answer = _granted(await self.ask(message, self._creating[1]))
        self._creating = None
        return await self.join(answer["code_partie"])

    async def join(self, code: str | None = None) -> Match:
        """Take a seat, or resume it; without a code, in one's only match. Raises MatchRefused."""
        fields = {} if code is None else {"code_partie": code}
        return self._at(await self._enter(fields), watching=False)

    async def watch(self, code: str) -> Match:
        """Watch a match without a seat. Raises MatchRefused."""
        return self._at(await self.request("spectateur", code_partie=code), watching=True)

    async def open_matches(self) -> list[dict[str, Any]]:
        """The public matches that one can join."""
        return list((await self.request("lister"))["parties"])

    async def statistics(self, name: str = "") -> dict[str, Any]:
        """What a player has done; without a name, oneself."""
        return await self.request("statistiques", id_publique=name or self.name)

    async def ranking(self) -> list[dict[str, Any]]:
        """The players with most victories."""
        return list((await self.request("classement"))["classement"])

    async def _enter(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.shown = self._ticket or self.private
        try:
            answer = await self._connect(fields)
        except MatchRefused as refusal:
            if refusal.code != "identite" or not self._ticket:
                raise
            self._ticket, self.shown = "", self.private  # it has ended, or was of another secret
            answer = await self._connect(fields)
        if not self._ticket:
            self.send({"requete": "jeton"})
        return answer

    async def _connect(self, fields: dict[str, Any]) -> dict[str, Any]:
        return await self.request(
            "connexion", id_publique=self.name, id_privee=self.shown, **fields
        )

    def _at(self, answer: dict[str, Any], watching: bool) -> Match:
        self._watching = watching
        match = self.match  # made when the answer was heard
        if match is None or match.code != answer["infos_partie"]["code_partie"]:
            raise ConnectionClosed("the connection was lost while joining")
        return match

    def _change(self, match: Match) -> None:
        """One is at another match now."""
        before, self.match = self.match, match
        if before is not None and not before.ended:
            before.end("you are at another match")

    # ------------------------------------------------------------ what the server says
    async def _greet(self) -> None:
        match = self.match
        if match is None or match.ended:
            return
        try:
            if self._watching:
                await self.request("spectateur", code_partie=match.code)
            else:
                await self._enter({"code_partie": match.code})
        except MatchRefused as refusal:  # the match is over, and we may not see how
            self.match = None
            match.end(str(refusal))

    def _hear(self, message: dict[str, Any]) -> None:
        if message.keys().isdisjoint(("reponse", "erreur")):
            raise ProtocolError("matches are not spoken of there; is this their port?")
        if message.get("erreur") == "occupe" and "rid" not in message:
            self._stop(str(message["message"]))  # to take the seat back would never end
            self._lost(self.closed)
        if message.get("reponse") == "jeton":
            self._ticket = str(message["jeton"])
        if message.get("reponse") in ("infos", "update"):
            infos = message.get("infos_partie")
            if infos and (self.match is None or self.match.code != infos["code_partie"]):
                self._change(Match(self, infos))
            elif self.match is not None:
                self.match.hear(message)
        self._answered(message.get("rid"), message)

    def _lost(self, reason: str) -> None:
        if self.closed and self.match is not None:
            self.match.end(self.closed)

    async def close(self) -> None:
        """End the connection; a seat is held for a while."""
        await super().close()
        if self.match is not None:
            self.match.end(self.closed)


def _granted(answer: dict[str, Any]) -> dict[str, Any]:
    if "erreur" in answer:
        raise MatchRefused(answer["erreur"], answer["message"])
    return answer


def connect_matches(
    address: str, name: str, private: str, tls: ssl.SSLContext | None = None
) -> MatchClient:
    """A client for `async with`. name, private: `id_publique` and `id_privee`."""
    return MatchClient(address, name, private, tls)
