"""Cards as other CRMs send them: whatever is in them, what is taken is a card of ours."""

from hypothesis import given
from hypothesis import strategies as st

from server.model.crm import NamedReference, Person
from server.rpc.remote_cards import to_card
from trackedlinks.v1 import crm_pb2

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
any_id = st.integers(-(2**63), 2**63 - 1)
references = st.lists(st.builds(crm_pb2.NamedReference, id=any_id | st.integers(0, 3), name=any_text), max_size=5)
cards = st.builds(
    crm_pb2.Person,
    id=st.integers(1, 2**62 - 1),
    name=any_text,
    email=any_text | st.emails(),
    our_contact_id=any_id,
    extra_fields=st.dictionaries(any_text, any_text, max_size=5),
    interests=references,
    selections=references,
    projects=references,
)


@given(cards)
def test_any_card_is_taken_within_our_limits(sent: crm_pb2.Person) -> None:
    card = to_card(sent)
    assert Person.model_validate(card.model_dump()) == card
    assert card.id == sent.id
    assert all(reference.id > 0 for reference in [*card.interests, *card.selections, *card.projects])


def test_a_card_within_our_limits_is_taken_as_it_is() -> None:
    references = [crm_pb2.NamedReference(id=3, name="Skiing"), crm_pb2.NamedReference(id=2, name="Tour")]
    fields = {"b": "two\nlines", "a" * 255: "𐐨" * 2047}
    sent = crm_pb2.Person(
        id=2**62 - 1,
        name="Åse Bø",
        email="ase@example.com",
        our_contact_id=5,
        extra_fields=fields,
        interests=references,
        projects=references[1:],
    )
    assert to_card(sent) == Person(
        id=2**62 - 1,
        name="Åse Bø",
        email="ase@example.com",
        our_contact_id=5,
        extra_fields=fields,
        interests=[NamedReference(id=3, name="Skiing"), NamedReference(id=2, name="Tour")],
        projects=[NamedReference(id=2, name="Tour")],
    )
