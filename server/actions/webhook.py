"""Sends a signed event to another system."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from server.model.action import ActionKind, Occasion, RepeatPolicy
from server.model.crm import Catalog
from server.model.effects import Effect, SendEvent
from server.model.link import DestinationUrl
from server.model.webhooks import destination_of, problem_of_secret

EVENT_TYPE = "trackedlinks.link.clicked.v1"
"""What a CloudEvents receiver tells our events by. Source: CloudEvents 1.0, `type`."""

BOTH_SIGN = timedelta(hours=24)
"""How long events are signed with the secret before the current one as well, so that a receiver can change over."""


def _secret(secret: str) -> str:
    if secret and (problem := problem_of_secret(secret)):
        raise ValueError(problem)
    return secret


class SendWebhook(ActionKind):
    """Where the event goes, and what it is signed with. `secret` is what a caller sends; what is stored is never sent back."""

    default_policy: ClassVar[RepeatPolicy] = RepeatPolicy.once_per_recipient_and_mailing
    needs_person: ClassVar[bool] = False
    never_sent: ClassVar[frozenset[str]] = frozenset({"signing_secret", "previous_secret"})

    tag: Literal["webhook"] = "webhook"
    url: DestinationUrl
    secret: Annotated[str, Field(max_length=100), AfterValidator(_secret)] = Field(default="", repr=False)
    signing_secret: str = Field(default="", repr=False)
    previous_secret: str = Field(default="", repr=False)
    previous_secret_expire_time: datetime | None = None

    def references(self) -> Iterator[tuple[str, Catalog, int]]:
        """Nothing of the CRM."""
        return iter(())

    def receivers(self) -> Iterator[tuple[str, str]]:
        """The address of the other system."""
        yield "url", self.url

    def stored(self, before: ActionKind | None, now: datetime) -> Self:
        """With the secret before it kept where none is sent, and both for a day where it changes. Raises ValueError without any."""
        signing, previous, expires = "", "", None
        if isinstance(before, SendWebhook):
            signing = before.signing_secret
            if before.previous_secret_expire_time is not None and before.previous_secret_expire_time > now:
                previous, expires = before.previous_secret, before.previous_secret_expire_time
        if self.secret and self.secret != signing:
            previous, expires = (signing, now + BOTH_SIGN) if signing else ("", None)
            signing = self.secret
        if not signing:
            raise ValueError("secret must be given: whsec_ and 24 to 64 bytes in base64")
        kept = {"secret": "", "signing_secret": signing, "previous_secret": previous, "previous_secret_expire_time": expires}
        return self.model_copy(update=kept)

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """What an event is signed with at this time."""
        both = self.previous_secret_expire_time is not None and self.previous_secret_expire_time > now
        return (self.signing_secret, self.previous_secret) if both else (self.signing_secret,)

    def effects(self, occasion: Occasion) -> Iterator[Effect]:
        """One event: who clicked on which link in which mailing."""
        yield SendEvent(
            destination=destination_of(self.url),
            url=self.url,
            secrets=self.secrets(occasion.time),
            id=occasion.key,
            body=json.dumps(_event(occasion), ensure_ascii=False),
        )


def unnamed(body: str) -> str:
    """The event with nothing of the recipient but the number: of a person who is deleted before it is sent."""
    event = json.loads(body)
    if recipient := event["data"]["recipient"]:
        event["data"]["recipient"] = {"person_id": recipient["person_id"]} if "person_id" in recipient else None
    return json.dumps(event, ensure_ascii=False)


def _event(occasion: Occasion) -> dict[str, object]:
    """The event as CloudEvents has it. Source: CloudEvents 1.0, JSON format."""
    person = occasion.person
    recipient = {"person_id": person.id, "name": person.name, "email": person.email}
    known = {name: value for name, value in recipient.items() if value}
    mailing = {"id": occasion.mailing_id, "name": occasion.mailing_name} if occasion.mailing_id else None
    return {
        "specversion": "1.0",
        "id": occasion.key,
        "source": f"/links/{occasion.link_id}",
        "type": EVENT_TYPE,
        "time": occasion.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "click_id": occasion.click_id,
            "link": {"id": occasion.link_id, "name": occasion.link_name},
            "mailing": mailing,
            "recipient": known or None,
        },
    }
