"""What clicks make happen: one file per kind with its fields, its check and its effects. Pure: nothing here touches data.

A kind is found by being here: its class names its member of LinkAction's oneof in `tag`.
"""

import importlib
import pkgutil
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from server.model.action import ActionKind, LinkAction
from server.model.link import CountedLink, Link


def _kinds() -> dict[str, type[ActionKind]]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found: dict[str, type[ActionKind]] = {}
    classes = list(ActionKind.__subclasses__())
    while classes:
        kind = classes.pop(0)
        classes += kind.__subclasses__()
        if isinstance(tag := kind.model_fields["tag"].default, str):
            found[tag] = kind
    return found


KINDS = _kinds()
"""Every kind of action by its tag."""

_union: Any = reduce(or_, KINDS.values())
LinkAction.model_rebuild(_types_namespace={"AnyKind": Annotated[_union, Field(discriminator="tag")]})
Link.model_rebuild(force=True)
CountedLink.model_rebuild(force=True)
