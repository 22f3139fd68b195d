"""The command line: `polypaint-fast`, or `python -m polypaint`.

The options of `serve` are made from the fields of `Settings`; nothing is said twice.

Counterparts: `settings.py` reads, `runtime/server.py` serves, `cli/play.py` plays, `cli/admin.py`
does the rest.
"""

import asyncio
import getpass
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import structlog
import typer

from polypaint.cli import admin, play
from polypaint.errors import PolypaintError
from polypaint.runtime import logs
from polypaint.runtime.server import serve as serve_forever
from polypaint.settings import PREFIX, Settings, load, unknown_variables

log = structlog.get_logger()

app = typer.Typer(
    rich_markup_mode=None,  # plain help: no column is cut off, however narrow the terminal
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A realtime server in which people draw together and play. Without a command: `serve`.",
)
accounts = typer.Typer(rich_markup_mode=None, help="List and change accounts of a stopped server.")
lobbies = typer.Typer(rich_markup_mode=None, help="List drawings of a stopped server.")
app.add_typer(accounts, name="accounts")
app.add_typer(lobbies, name="lobbies")

Config = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
Data = Annotated[Path | None, typer.Option("--data", help="The server's data folder.")]
Store = Annotated[
    str | None, typer.Option("--store", help="The server's store: sqlite, or mongodb://…")
]


def _options() -> list[inspect.Parameter]:
    """A keyword parameter, hence a flag, for every setting; None when it is not given."""
    parameters = []
    for name, field in Settings.model_fields.items():
        shown = field.description or ""
        default = "" if field.default is None else f" [default: {field.default}]"
        flag = "--" + name.replace("_", "-")
        flags = [flag, f"--no-{flag[2:]}"] if field.annotation is bool else [flag]
        kind = bool if field.annotation is bool else str
        option = typer.Option(
            "/".join(flags),
            help=shown + default,
            envvar=None,
            show_default=False,
            metavar=None if kind is bool else _metavar(field.annotation),
        )
        annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
        )
    return parameters


def _metavar(annotation: Any) -> str:
    """What stands behind a flag in the help: the choices, or the kind of value."""
    choices = get_args(annotation)
    if get_origin(annotation) is Literal:
        return "|".join(map(str, choices))
    for kind, shown in ((Path, "PATH"), (int, "INTEGER"), (float, "NUMBER")):
        if annotation is kind or kind in choices:
            return shown
    return "TEXT"


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the flags of `Settings`, and the settings that come of them."""

    def run(config: Path | None = None, **flags: Any) -> None:
        given = {name: value for name, value in flags.items() if value is not None}
        try:
            command(load(given, config))
        except PolypaintError as error:
            _fail(error)

    config = inspect.Parameter(
        "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Config
    )
    run.__signature__ = inspect.Signature([config, *_options()])  # type: ignore[attr-defined]
    run.__doc__ = command.__doc__
    return run


def _fail(error: PolypaintError) -> None:
    """Say on stderr what is wrong, in one line however long, and end with status 2."""
    try:
        typer.secho(f"polypaint-fast: {logs.visible(str(error))}", fg="red", err=True)
    except (OSError, ValueError):  # stderr is full or closed
        logs.discard_stderr()
    raise typer.Exit(2)


def _settings(config: Path | None, data: Path | None, store: str | None = None) -> Settings:
    given = {"data": data, "store": store}
    return load({name: value for name, value in given.items() if value is not None}, config)


def _run(work: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
    """Run an administrator's command; its result is the exit status."""
    try:
        raise typer.Exit(asyncio.run(work()) or 0)
    except PolypaintError as error:
        _fail(error)


def _serve(settings: Settings) -> None:
    writer = logs.set_up(settings.log_format, settings.log_level)
    try:
        for variable in unknown_variables():
            log.warning("there is no such setting; the variable is ignored", variable=variable)
        ended = serve_forever(settings)
    finally:
        writer.close()
    if not ended:
        os._exit(0)  # everything is stored; threads cannot be ended otherwise


_serve.__doc__ = f"""Run the server until SIGTERM or SIGINT.

Every option is also a variable in the environment ({PREFIX}PAINT_PORT=7600) and a key in the TOML
file of --config (paint_port = 7600). Option > environment > file > default.
"""
serve = app.command("serve")(_with_settings(_serve))


@app.command()
def check(config: Config = None, data: Data = None, store: Store = None) -> None:
    """Verify what a server has stored.

    Changes nothing. Exit 0 when all of it is sound, 1 when something is not.
    """
    _run(lambda: admin.check(_settings(config, data, store)))


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="The drawing's Filename.")],
    to: Annotated[Path, typer.Argument(help="File to write: .png, .svg or .json.")],
    config: Config = None,
    data: Data = None,
    store: Store = None,
) -> None:
    """Write a drawing to a file.

    The server must not be running; a running one has HTTP.
    """
    _run(lambda: admin.export(_settings(config, data, store), name, to))


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A data folder, or mongodb://…")],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="The same; empty, or with half a copy of FROM.")
    ],
    config: Config = None,
    data: Data = None,
) -> None:
    """Copy everything from one store to another.

    No server may be using them. What was interrupted goes on with the same command. Where FROM is
    a database, --data is the folder of the server that used it: what is still in its journal is
    written to FROM first.
    """
    try:
        _run(lambda: admin.copy(_settings(config, data), source, target))
    except KeyboardInterrupt:
        _fail(PolypaintError("interrupted; the same command goes on from here"))


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(metavar="DEST", help="A folder that is not there yet.")],
    config: Config = None,
    data: Data = None,
    store: Store = None,
) -> None:
    """Copy the data folder, and verify the copy.

    The server may be running.
    """
    _run(lambda: admin.make_backup(_settings(config, data, store), to))


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="What `backup` has made.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Make a data folder out of a backup.

    It must not be there yet.
    """
    _run(lambda: admin.restore(_settings(config, data), source))


@accounts.command("list")
def accounts_list(config: Config = None, data: Data = None, store: Store = None) -> None:
    """List all accounts."""
    _run(lambda: admin.list_accounts(_settings(config, data, store)))


@accounts.command("add")
def accounts_add(
    name: Annotated[str, typer.Argument(help="1-64 bytes of plain text.")],
    password: Annotated[str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True)],
    config: Config = None,
    data: Data = None,
    store: Store = None,
) -> None:
    """Create an account."""
    _run(lambda: admin.add_account(_settings(config, data, store), name, password))


@accounts.command("password")
def accounts_password(
    name: Annotated[str, typer.Argument(help="Whose password.")],
    password: Annotated[str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True)],
    config: Config = None,
    data: Data = None,
    store: Store = None,
) -> None:
    """Give an account another password."""
    _run(lambda: admin.set_password(_settings(config, data, store), name, password))


@accounts.command("conduct")
def accounts_conduct(config: Config = None, data: Data = None, store: Store = None) -> None:
    """List warnings, kicks and bans."""
    _run(lambda: admin.list_conduct(_settings(config, data, store)))


@accounts.command("pardon")
def accounts_pardon(
    name: Annotated[str, typer.Argument(help="Whose warnings, kicks and ban are forgotten.")],
    config: Config = None,
    data: Data = None,
    store: Store = None,
) -> None:
    """Forget what is held against somebody."""
    _run(lambda: admin.pardon(_settings(config, data, store), name))


@lobbies.command("list")
def lobbies_list(config: Config = None, data: Data = None, store: Store = None) -> None:
    """List all drawings."""
    _run(lambda: admin.list_lobbies(_settings(config, data, store)))


@app.command("play")
def play_game(
    game: Annotated[str, typer.Argument(help="Which game: puissance4.")],
    code: Annotated[
        str | None, typer.Option(help="Join this match; without it, a new one.")
    ] = None,
    bot: Annotated[bool, typer.Option("--bot", help="Play against a bot.")] = False,
    strength: Annotated[int, typer.Option(min=1, max=10, help="Moves the bot looks ahead.")] = 5,
    address: Annotated[
        str, typer.Option(help="host:port, or ws://…/ws/matches.")
    ] = "127.0.0.1:7601",
    name: Annotated[str, typer.Option(help="Your account's name.")] = getpass.getuser(),
    password: Annotated[
        str | None, typer.Option(help="Its password; a new name is yours from then on. Asked for.")
    ] = None,
) -> None:
    """Play a match in the terminal, on a running server."""
    if game != "puissance4":
        _fail(PolypaintError(f"{game!r} cannot be played here; puissance4 can"))
    if bot and code is not None:
        _fail(PolypaintError("--bot is for a new match; leave --code out"))
    private = password or typer.prompt("Password", hide_input=True)
    _run(lambda: play.play(address, name, private, code, strength if bot else 0))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"polypaint-fast {version('polypaint-fast')}")
        raise typer.Exit


@app.callback()
def _top(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


ADMINISTRATION: Final = ("check", "copy", "backup", "restore", "export", "accounts", "lobbies")


def main() -> None:
    """Entry point. `polypaint-fast --host …` is `polypaint-fast serve --host …`."""
    commands = {"serve", "play", *ADMINISTRATION}
    arguments = sys.argv[1:]
    if not arguments or (arguments[0] not in commands | {"--help", "--version"}):
        arguments = ["serve", *arguments]
    app(arguments, prog_name="polypaint-fast")


if __name__ == "__main__":
    main()
