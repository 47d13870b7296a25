"""Strict reader of HTML pages: unclosed elements and network access fail the test."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

VOID = {"meta", "img", "input"}


class Reader(HTMLParser):
    """What a page is made of. It fails where a tag is not closed, or closed twice."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.scripts = [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts[-1] += data
        elif self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def panels(self):
        """The data of the page's interactive curves."""
        attributes = self.all("script")
        (data,) = (self.scripts[i] for i, attrs in enumerate(attributes) if attrs.get("type") == "application/json")
        return json.loads(data)


def read(text):
    """The page, which must be self-contained: no script but its own, nothing that is fetched."""
    assert text.startswith("<!DOCTYPE html>")
    found = Reader(text)
    assert {tag for tag, _ in found.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "pre", "div", "span", "b"),
        *("table", "thead", "tbody", "tr", "th", "td", "figure", "img", "figcaption"),
        *("script", "label", "input", "output", "button"),
    }
    for _, attrs in found.tags:
        assert not any(name.startswith("on") or name in ("href", "srcset", "style") for name in attrs)
    for image in found.all("img"):
        assert image["alt"].strip()
        assert re.match(r"data:image/(png|svg\+xml);base64,", image["src"])
    assert all("src" not in attrs for tag, attrs in found.tags if tag != "img")
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search(r"url|@import|http", style)
    (policy,) = (meta["content"] for meta in found.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:;") and policy.count("unsafe-inline") == 1
    for attrs, script in zip(found.all("script"), found.scripts, strict=True):
        if attrs != {"type": "application/json", "id": "panels"}:
            assert attrs == {}
            assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    return found
