"""One frozen `Settings`: the only reader of flags, environment and TOML.

Flag > environment (POLYPAINT_…) > file > default. A setting is declared once, here: its flag, its
variable, its key in the file, its type and its help all come from the field.

Must never import anything of this package but `errors`.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from polypaint.errors import SettingsError

PREFIX: Final = "POLYPAINT_"
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """How a server runs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every one.")
    paint_port: Port = Field(7600, description="TCP port of the paint protocol; 0 = any free one.")
    matches_port: Port = Field(7601, description="TCP port of the match protocol; 0 = any free.")
    tanks_port: Port = Field(7602, description="TCP port of the tank protocol; 0 = any free one.")
    web_port: Port = Field(7680, description="Port of HTTP and WebSocket; 0 = any free one.")
    public_host: str | None = Field(
        None, description="Name or address that matches tell players to connect to (host)."
    )
    origins: str = Field(
        "", description="Other sites whose pages may connect in their users' names: https://…,…"
    )
    data: Path = Field(Path("polypaint-data"), description="Folder in which everything is kept.")
    store: str = Field(
        "sqlite",
        description="Where everything is kept: sqlite (in the data folder), or mongodb://…",
    )
    bus: str = Field("local", description="How processes share lobbies: local (one process).")
    bcrypt_rounds: int = Field(12, ge=4, le=31, description="Cost of a password hash: 2^rounds.")
    seat_hold: float = Field(
        60, ge=0, description="Seconds for which a lost player's seat is held."
    )
    words: Path | None = Field(
        None, description="Word list of the chat moderation, in place of the one that comes along."
    )
    tank_bots: int = Field(
        0, ge=0, le=16, description="Bots fill a map with people on it up to so many tanks."
    )
    ready_file: Path | None = Field(
        None, description="Gets one JSON object with all addresses once everything listens."
    )
    log_format: Literal["console", "json"] = Field("console", description="How logs look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged."
    )
    durability: Literal["process", "power"] = Field(
        "process",
        description="What must survive: a killed process, or a power cut (an fsync per commit).",
    )
    tls_cert: Path | None = Field(None, description="Certificate chain (PEM): all ports use TLS.")
    tls_key: Path | None = Field(None, description="Private key (PEM) of the certificate.")
    freeze: Literal["newcomer", "lobby"] = Field(
        "newcomer", description="Who waits while somebody joins: only they, or the whole lobby."
    )
    expose_passcodes: bool = Field(
        False, description="Show passcodes in lobby lists, for clients that compare them."
    )
    hide_private: bool = Field(False, description="Leave private lobbies out of lists.")
    kick_reason: str = Field(
        "The owner changed who may enter this drawing.",
        min_length=1,
        max_length=1000,
        description="What members read who are put out of a lobby.",
    )
    login_seconds: float = Field(1.0, gt=0, description="Until a connection must have logged in.")
    connections_max: int = Field(20_000, ge=1, description="Connections at the same time.")
    address_logins_max: int = Field(
        64, ge=1, description="Connections of one address that have not logged in (not loopback)."
    )
    address_accounts_max: int = Field(
        20, ge=1, description="New accounts of one address in an hour (not loopback)."
    )
    address_guests_max: int = Field(
        60, ge=0, description="New guests of one address in an hour (not loopback); 0: no guests."
    )
    lobbies_max: int = Field(100_000, ge=1, description="Drawings that are kept.")
    account_lobbies_max: int = Field(
        1000, ge=1, description="Drawings of one account that are kept."
    )
    memory_max: ByteSize | None = Field(
        None,
        gt=0,
        description="For drawings and what is sent of them, e.g. 512MiB; default: half of all.",
    )
    matches_max: int = Field(20_000, ge=1, description="Matches at the same time.")
    address_matches_max: int = Field(
        64, ge=1, description="Matches of one address that nobody has joined yet (not loopback)."
    )
    account_matches_max: int = Field(
        1000, ge=1, description="Matches that one account has created and that are not over."
    )
    address_spectators_max: int = Field(
        256, ge=1, description="Spectators of matches from one address (not loopback)."
    )
    backlog_bytes_max: int = Field(
        1 << 20, ge=1 << 16, description="Unsent bytes after which a slow reader is resynced."
    )
    slow_seconds: float = Field(
        30, gt=0, description="Seconds without taking a byte after which a reader is closed."
    )

    @field_validator("store")
    @classmethod
    def _known_store(cls, store: str) -> str:
        if store != "sqlite" and not is_database(store):
            raise ValueError("the store is `sqlite`, `mongodb://…` or `mongodb+srv://…`")
        return store

    @field_validator("bus")
    @classmethod
    def _known_bus(cls, bus: str) -> str:
        if bus != "local":
            raise ValueError("the bus is `local`")
        return bus

    @model_validator(mode="after")
    def _key_with_certificate(self) -> "Settings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file that `load` names."""
        toml = TomlConfigSettingsSource(settings_cls, settings_cls.model_config.get("toml_file"))
        return init_settings, env_settings, toml


def is_database(store: str) -> bool:
    """Is this the address of a database, rather than a name or a folder?"""
    return store.startswith(("mongodb://", "mongodb+srv://"))


def unknown_variables() -> list[str]:
    """Variables of the environment that begin as ours do, and are none of them."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    return sorted(x for x in os.environ if x.upper().startswith(PREFIX) and x.upper() not in known)


def load(flags: dict[str, Any], config: Path | None = None) -> Settings:
    """Settings from flags (only those given), environment and this file.

    Raises SettingsError that names every setting that is wrong.
    """
    if config is not None and not config.is_file():
        raise SettingsError(f"there is no configuration file {config}")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return FromFile(**flags)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()
        ]
        raise SettingsError("; ".join(lines)) from None
    except ValueError as error:
        raise SettingsError(f"{config}: {error}") from None
