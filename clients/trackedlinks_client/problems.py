"""What keeps a command from doing its work becomes one readable line on standard error, and exit status 1, here and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import typer

from trackedlinks_client.errors import CallRefused
from trackedlinks_client.minting import WrongAnswer
from trackedlinks_client.output import complain


class Problem(Exception):
    """Something here, not in the service, is in the way: a file, or what stands in it. The text says what, for people."""


@contextmanager
def told(address: str) -> Iterator[None]:
    """Tells of what goes wrong with calls to the server at `address`. Raises typer.Exit then."""
    try:
        yield
    except grpc.RpcError as error:
        complain(sentence(CallRefused.of(error), address))
    except (Problem, WrongAnswer) as error:
        complain(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # whoever read the output has enough
            raise
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    else:
        return
    raise typer.Exit(1)


def sentence(refusal: CallRefused, address: str) -> str:
    """What a refusal means for whoever typed the command."""
    match refusal.code:
        case _ if refusal.reason:
            return str(refusal)
        case grpc.StatusCode.UNAVAILABLE:
            return f"no server answers at {address}: `make run` starts one, --address or TRACKEDLINKS_ADDRESS names another"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the server at {address} did not answer in time"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"the server at {address} does not offer this: {refusal.message}"
        case _:
            return f"{refusal.code.name}: {refusal.message}"
