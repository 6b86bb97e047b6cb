"""Rows that are put into a database directly, where the contract would take too long: a mailing with links."""


def series(count: int) -> str:
    """The numbers from 1 as a table `series(n)`, for SQLite."""
    return f"WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})"


def mailing_with_links(mailing: int, first: int, count: int) -> list[str]:
    """The statements for a mailing with so many registered links, each with one placement; their ids, which are alike, begin at `first`."""
    number = f"{first} - 1 + n"
    response = f"""'{{"tag": "redirect", "url": "https://example.com/' || ({number}) || '"}}'"""
    return [
        "INSERT INTO mailing (id, name, name_key, language, public_url, track_all_links, mailing_type_id, test, delivered_count, creator,"
        f" create_time, update_time, revision) VALUES ({mailing}, 'Spring', 'spring', '', '', 1, 0, 0, 0, 0, 0, 0, 1)",
        "INSERT INTO link (id, name, name_key, search_key, folder_id, response, actions, mailing_id, creator, updater, create_time,"
        f" update_time, revision, generation) {series(count)}"
        f" SELECT {number}, 'x', 'x', 'x', 0, {response}, '[]', 0, 0, 0, 0, 0, 1, 0 FROM series",
        f"INSERT INTO placement (id, mailing_id, link_id, kind, part, ordinal, url) {series(count)}"
        f" SELECT {number}, {mailing}, {number}, 1, 1, 0, '' FROM series",
    ]
