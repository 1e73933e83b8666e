"""The queries that Dagster's pages really make, seen from a browser: for `scale.py --browser`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

QUIET_S, PATIENCE_S = 2.0, 120.0
"""A page is there when it has asked nothing for a while; what it asks later, it asks to stay up to date."""

QUERIES = """
return performance.getEntriesByType('resource').filter(e => e.name.includes('/graphql') && e.responseEnd > 0)
  .map(e => [e.name.split('op=').pop().split('/').pop(), e.startTime, e.duration]);
"""


def slowest_queries(url: str, session: str) -> Iterator[str]:
    """Open the pages that people look at; of each one the number of its queries, and how long the slowest took."""
    from selenium import webdriver

    pages = {
        "asset graph": "asset-groups",
        "analyzer": "assets/analyzer?view=overview",
        "analyzer, partitions": "assets/analyzer?view=partitions",
        "analyzer, a partition": f"assets/analyzer?view=partitions&partition=imec0%7C{session}",
        "backfills": "runs?view=backfills",
    }
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1000"):
        options.add_argument(option)
    browser = webdriver.Chrome(options=options)
    try:
        for name, page in pages.items():
            browser.get(f"{url}/{page}")
            queries = _first(_settled(browser))
            slowest = max((duration for _, _, duration in queries), default=0.0)
            last = max((start + duration for _, start, duration in queries), default=0.0)
            yield (
                f"page {name}: {len(queries)} queries, the slowest {slowest / 1000:.2f} s, all there after "
                f"{last / 1000:.2f} s"
            )
    finally:
        browser.quit()


def _first(queries: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """The queries up to the first pause."""
    kept: list[tuple[str, float, float]] = []
    for query in sorted(queries, key=lambda query: query[1]):
        if kept and query[1] - max(start + duration for _, start, duration in kept) > 1000 * QUIET_S:
            break
        kept.append(query)
    return kept


def _settled(browser: Any) -> list[tuple[str, float, float]]:
    """Name, start (ms) and duration (ms) of the queries of the open page, once no new ones come."""
    began = seen = time.monotonic()
    queries: list[tuple[str, float, float]] = []
    while time.monotonic() - seen < QUIET_S and time.monotonic() - began < PATIENCE_S:
        now = browser.execute_script(QUERIES)
        if len(now) != len(queries):
            queries, seen = now, time.monotonic()
        time.sleep(0.25)
    return queries
