"""The `trackedlinks` command: what operators and marketers do from a terminal. One module per noun in commands/."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trackedlinks_client.commands import actions, clicks, crm, doctor, folder, link, mailing, person, report, script, send, subscriptions
from trackedlinks_client.connection import DEFAULT_ADDRESS
from trackedlinks_client.problems import told
from trackedlinks_client.session import Session


class _Commands(TyperGroup):
    """Runs a command and tells of what goes wrong, where Typer itself would print a traceback."""

    def invoke(self, ctx: Any) -> Any:
        with told(ctx.params["address"]):
            return super().invoke(ctx)


def _app(help: str, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    return typer.Typer(
        cls=cls, help=help, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )


app = _app("Tracked links: own URLs for each recipient of a mailing, counted clicks, and what a click makes happen.", _Commands)


@app.callback()
def options(
    ctx: typer.Context,
    address: Annotated[str, typer.Option(envvar="TRACKEDLINKS_ADDRESS", help="The server, host:port.")] = DEFAULT_ADDRESS,
    user: Annotated[int, typer.Option(envvar="TRACKEDLINKS_USER", min=0, help="The user for whom you act; 0 = nobody named.")] = 0,
) -> None:
    ctx.obj = Session(address, user)


_NOUNS = {
    "folder": ("Folders of registered links.", folder.COMMANDS),
    "link": ("Tracked links: where a click leads and what it makes happen.", link.COMMANDS),
    "mailing": ("Mailings and the links in them.", mailing.COMMANDS),
    "script": ("Scripts that links run at a click.", script.COMMANDS),
    "crm": ("The embedded CRM.", crm.COMMANDS),
}

_VERBS: dict[str, Callable[..., None]] = {
    "send": send.send,
    "report": report.report,
    "add-clickers": clicks.add_clickers,
    "clickers": clicks.clickers,
    "clicks": clicks.clicks,
    "runs": actions.runs,
    "retry": actions.retry,
    "receivers": actions.receivers,
    "try": actions.try_,
    "person": person.person,
    "subscriptions": subscriptions.subscriptions,
    "subscribe": subscriptions.subscribe,
    "unsubscribe": subscriptions.unsubscribe,
    "doctor": doctor.doctor,
}

for _noun, (_help, _commands) in _NOUNS.items():
    _group = _app(_help)
    for _verb, _command in _commands.items():
        _group.command(_verb)(_command)
    app.add_typer(_group, name=_noun)

for _verb, _command in _VERBS.items():
    app.command(_verb)(_command)


def main() -> None:
    """Runs the command line."""
    app(prog_name="trackedlinks")
