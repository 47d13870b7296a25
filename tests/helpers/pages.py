"""Strict reader of HTML pages: unclosed elements and network access fail the test."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img"}


class Reader(HTMLParser):
    """What a page is made of. It fails where a tag is not closed, or closed twice."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def read(text):
    """The page, which must be self-contained: no script, nothing that is fetched."""
    assert text.startswith("<!DOCTYPE html>")
    found = Reader(text)
    assert {tag for tag, _ in found.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "pre", "div", "table", "tr", "th", "td"),
        *("figure", "img", "figcaption"),
    }
    for _, attrs in found.tags:
        assert not any(name.startswith("on") or name in ("href", "srcset", "style") for name in attrs)
    for image in found.all("img"):
        assert image["alt"].strip()
        assert image["src"].startswith("data:image/png;base64,")
    assert all("src" not in attrs for tag, attrs in found.tags if tag != "img")
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search(r"url|@import|http", style)
    assert any(m.get("http-equiv") == "Content-Security-Policy" and "'none'" in m["content"] for m in found.all("meta"))
    return found
