"""In which order the one who writes does what waits."""

import threading

from server.store.database import Database

SECONDS = 20


def test_a_commit_of_clicks_waits_for_one_other_job_and_the_others_for_one_commit(database: Database) -> None:
    begun, go, done = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        go.wait(SECONDS)

    database.submit(first)
    assert begun.wait(SECONDS)
    jobs = [database.submit(lambda name=name: done.append(name)) for name in ("other 1", "other 2", "other 3")]  # type: ignore[misc]
    jobs += [database.submit_first(lambda name=name: done.append(name)) for name in ("clicks 1", "clicks 2")]  # type: ignore[misc]
    go.set()
    for job in jobs:
        job.result(SECONDS)
    assert done == ["clicks 1", "other 1", "clicks 2", "other 2", "other 3"]
