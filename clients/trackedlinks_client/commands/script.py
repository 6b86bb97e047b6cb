"""`trackedlinks script …`: the programs that actions of links run at a click."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from trackedlinks.v1 import script_pb2, script_service_pb2
from trackedlinks_client.commands import options
from trackedlinks_client.output import Json, fields, json_line, listing, say, when
from trackedlinks_client.pages import every
from trackedlinks_client.problems import Problem
from trackedlinks_client.session import connection

_Id = Annotated[int, typer.Argument(help="The script's id.")]
_File = typer.Option("--file", metavar="FILE|-", help="The source: a file, or - for standard input.")


def create(
    ctx: typer.Context,
    name: str,
    file: Annotated[str, _File],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Make a script. `script test --file` tries one before."""
    draft = script_pb2.Script(name=name, description=description, source=_source(file))
    with connection(ctx) as service:
        _show(service.scripts.CreateScript(script_service_pb2.CreateScriptRequest(script=draft)), as_json)


def show_one(
    ctx: typer.Context,
    id: _Id,
    version: Annotated[int, typer.Option(help="The version; 0 = the newest.")] = 0,
    as_json: Json = False,
) -> None:
    """Show a script as it is now, or one of its versions, with its source."""
    with connection(ctx) as service:
        _show(service.scripts.GetScript(script_service_pb2.GetScriptRequest(id=id, version=version)), as_json)


def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List scripts by name."""
    with connection(ctx) as service:
        scripts = every(service.scripts.ListScripts, script_service_pb2.ListScriptsRequest(), "scripts")
        listing(scripts, as_json, ("ID#", "VERSION#", "UPDATED", "NAME", "DESCRIPTION"), _row, "no scripts")


def update(
    ctx: typer.Context,
    id: _Id,
    name: Annotated[str | None, typer.Option(help="The new name.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    file: Annotated[str, _File] = "",
    as_json: Json = False,
) -> None:
    """Change a script; another source is a new version, which the next click runs."""
    changed = {"name": name is not None, "description": description is not None, "source": bool(file)}
    if not any(changed.values()):
        raise typer.BadParameter("say what to change: --name, --description or --file")
    wanted = script_pb2.Script(id=id, name=name or "", description=description or "", source=_source(file) if file else "")
    request = script_service_pb2.UpdateScriptRequest(script=wanted)
    request.update_mask.paths.extend(path for path, does_change in changed.items() if does_change)
    with connection(ctx) as service:
        _show(service.scripts.UpdateScript(request), as_json)


def try_(
    ctx: typer.Context,
    id: Annotated[int | None, typer.Argument(help="The script's id, for one that is stored.")] = None,
    file: Annotated[str, _File] = "",
    link: Annotated[int, typer.Option(help="The link that would be clicked; 0 = none.")] = 0,
    mailing: Annotated[int, typer.Option(help="The mailing in which it would be clicked; 0 = outside one.")] = 0,
    person: Annotated[int, typer.Option(help="A person of the CRM would click.")] = 0,
    email: Annotated[str, typer.Option(help="Somebody known only by this address would click.")] = "",
    as_json: Json = False,
) -> None:
    """Run a script as a click would, stored or not, and say what it decides. Nothing is stored."""
    if (id is None) == (not file):
        raise typer.BadParameter("give either a script's id or --file")
    request = script_service_pb2.TestScriptRequest(link_id=link, mailing_id=mailing, recipient=options.recipient(person, email))
    if id is None:
        request.source = _source(file)
    else:
        request.script_id = id
    with connection(ctx) as service:
        tested = service.scripts.TestScript(request)
    if as_json:
        json_line(tested)
    else:
        fields(("leads to", tested.return_url or "where the link leads"), ("printed", tested.log.strip()), ("problem", tested.problem))


def _source(file: str) -> str:
    """The text of a file, or of standard input. Raises Problem for what is no UTF-8; OSError."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return content.decode("utf-8-sig")  # as Python reads sources: some editors begin them with a byte order mark
    except UnicodeDecodeError as error:
        raise Problem(f"{'standard input' if file == '-' else file}: {error}") from None


def _row(script: script_pb2.Script) -> tuple[object, ...]:
    return script.id, script.version, when(script.update_time), script.name, script.description


def _show(script: script_pb2.Script, as_json: bool) -> None:
    if as_json:
        json_line(script)
        return
    fields(
        ("script", f"{script.id} {script.name}"),
        ("for", script.description),
        ("version", script.version),
        ("created", f"{when(script.create_time)}{f' by user {script.creator}' if script.creator else ''}"),
        ("updated", f"{when(script.update_time)}{f' by user {script.updater}' if script.updater else ''}"),
    )
    say("")
    for line in script.source.replace("\r\n", "\n").rstrip("\n").split("\n"):
        say(line.expandtabs(4))


COMMANDS: dict[str, Callable[..., None]] = {"create": create, "show": show_one, "list": list_, "update": update, "test": try_}
