"""What a browser makes of a page."""

import re
from html.parser import HTMLParser


class Reader(HTMLParser):
    """The cells of every table row, and every attribute that a browser could fetch."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.fetched, self.tags, self.cell = [], [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [v for k, v in attributes if k in ("src", "href", "srcset", "action", "data")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data


def assert_self_contained(page):
    """A browser has nothing to fetch: pictures are embedded, and nothing comes from elsewhere."""
    reader = Reader(page)
    assert all(value.startswith("data:image/png;base64,") for value in reader.fetched)
    assert not {"script", "link", "iframe", "object", "base"} & set(reader.tags)
    assert not re.search(r"url\(|@import|https?://", page)
