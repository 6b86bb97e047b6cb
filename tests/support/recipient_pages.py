"""Every page that recipients see, with ordinary and with hard content, for tests that look at all of them."""

from collections.abc import Callable
from datetime import UTC, datetime

from redirect import pages
from redirect.pages import Subscription

NEWS = Subscription(7, "Newsletter & offers", True)
LONG = Subscription(8, "Donaudampfschifffahrtsgesellschaftskapitänsmützen" * 5 + " <neu>", False)
"""A name of 251 characters, most of them in one word."""
HOSTILE = Subscription(9, "</title></bdi></h1><script>alert('x')</script>\" onclick=\"x() %(name)s %s {{ 7*7 }} \u202e", True)
MANY = [Subscription(number, f"Invitations to events in region {number}", number % 3 > 0) for number in range(1, 41)]
UNTIL = datetime(2027, 3, 4, 15, 6, tzinfo=UTC)
RENEWED_URL = "/token-of-the-new-link?renewal=a&b"
TEXT = (
    '<h2>Opening hours</h2><p>Monday to Friday, 9–16. <a href="https://example.com/" rel="noopener noreferrer">Find us</a></p>'
    "<h3>Prices</h3><table><thead><tr><th>What</th><th>How much</th></tr></thead><tbody><tr><td>Kindergartenbeitragsermäßigungsantrag</td>"
    "<td>1,200.00 a month</td></tr></tbody></table><ul><li>Bring</li><li>your own</li></ul><blockquote>Good coffee</blockquote>"
    f"<hr><pre>{'code ' * 30}{'x' * 90}</pre>"
)
MAIL = "Hello,\n\n  here is the news:\n\n* https://example.com/" + "long/" * 40 + "\n\n-- \n<b>The editors</b>\n" + "=" * 72

PAGES: dict[str, Callable[[str], bytes]] = {
    "text": lambda language: pages.text_page(TEXT, language, "Opening hours"),
    "not_found": pages.not_found,
    "unavailable": pages.unavailable,
    "bad_request": pages.bad_request,
    "message_gone": pages.message_gone,
    "plain_message": lambda language: pages.plain_message(MAIL, language),
    "unsubscribe": lambda language: pages.unsubscribe(NEWS, language, False),
    "unsubscribe_trial": lambda language: pages.unsubscribe(NEWS, language, True),
    "unsubscribe_long": lambda language: pages.unsubscribe(LONG, language, False),
    "unsubscribe_hostile": lambda language: pages.unsubscribe(HOSTILE, language, False),
    "unsubscribed": lambda language: pages.unsubscribed(NEWS, language, False),
    "unsubscribed_long": lambda language: pages.unsubscribed(LONG, language, True),
    "subscribed": lambda language: pages.subscribed(NEWS, language, False),
    "manage": lambda language: pages.manage([NEWS, LONG, HOSTILE], language, False, UNTIL, False),
    "manage_saved": lambda language: pages.manage(MANY[:5], language, False, UNTIL, True),
    "manage_trial": lambda language: pages.manage(MANY[:3], language, True, UNTIL, True),
    "manage_many": lambda language: pages.manage(MANY, language, False, UNTIL, False),
    "manage_none": lambda language: pages.manage([], language, False, UNTIL, False),
    "expired": pages.expired,
    "renewed": lambda language: pages.renewed(RENEWED_URL, language, UNTIL),
}

BUTTONS = {
    "unsubscribe": ["unsubscribe"],
    "unsubscribe_trial": ["unsubscribe"],
    "unsubscribe_long": ["unsubscribe"],
    "unsubscribe_hostile": ["unsubscribe"],
    "unsubscribed": ["subscribe"],
    "unsubscribed_long": ["subscribe"],
    "manage": ["save", "leave_all"],
    "manage_saved": ["save", "leave_all"],
    "manage_trial": ["save", "leave_all"],
    "manage_many": ["save", "leave_all"],
    "expired": ["renew"],
}
"""The names of the buttons of every page that has a form."""
