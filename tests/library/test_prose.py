"""The words of docstrings, comments and messages: plain American English, in which programs do not speak."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("jaxnn", "experiments", "scripts", "examples", "docs/tutorials")
"""Folders of which every docstring, comment and string is read; of tests, docstrings and names only."""
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")
FORBIDDEN = {
    "a program does not speak or know": "told|tells?|said|says?|asks?|asked|refus(?:e|es|ed|ing)|knows?|heard",
    "say `is not a ...`": "is none|are none|that is no|that are no|which is no|which are no",
    "say continue, resume or stop": "(?:go|goes|gone) on|leave off",
    "say instead, each, any, separately or by default": (
        "in the place of|so many|of (?:its|their) own|by (?:itself|themselves)|whatever|wherever"
    ),
    "name the thing": "surroundings|somebody|anybody|nobody|whoever",
    "say silently": "without a word",
    "say finite, valid or good": "sound|unsound",
    "say with respect to": r"(?:derivative|gradient|slope)s? by(?! layer)",
    "American spelling": (
        r"\w*(?:optimis|standardis|regularis|penalis|initialis|summaris|minimis|maximis|normalis|generalis|vectoris)\w*|"
        r"(?:behaviou|colou|neighbou|favou)r\w*|licence|centre[sd]?|grey\w*|learnt|labelled|modelled|cancelled"
    ),
}
PATTERN = re.compile("|".join(rf"(?P<w{i}>\b(?:{words})\b)" for i, words in enumerate(FORBIDDEN.values())), re.I)


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Each comment and each string of a source, with the line on which it starts."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def docstrings_and_names(source: str) -> Iterator[tuple[int, str]]:
    """Each docstring of a source, and the words of each name of a test, a function or a class, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            if ast.get_docstring(node, clean=False) is not None:
                yield node.body[0].lineno, node.body[0].value.value
            if not isinstance(node, ast.Module):
                yield node.lineno, node.name.replace("_", " ")


def prose(page: str) -> Iterator[tuple[int, str]]:
    """All of a page, as one text."""
    yield 1, page


READERS = {"tests": docstrings_and_names, **dict.fromkeys(PACKAGES, texts), **dict.fromkeys(PAGES, prose)}


def forbidden(source: str, read: Callable[[str], Iterable[tuple[int, str]]] = texts) -> list[str]:
    """`line: 'word': what to write` for each forbidden word, in the order of lines."""
    advice, found = list(FORBIDDEN), []
    for start, text in read(source):
        # A phrase may be broken by the end of a line.
        flat = re.sub(r"\n[ #]*", "\n", text)
        for match in PATTERN.finditer(flat.replace("\n", " ")):
            line = start + flat.count("\n", 0, match.start())
            found.append((line, f"{line}: {match.group()!r}: {advice[int(match.lastgroup[1:])]}"))
    return [message for _, message in sorted(found)]


def files(name: str) -> list[Path]:
    """The page, or the sources or pages in the folder, except this file, which has the words."""
    path, suffix = ROOT / name, "*.md" if name in PAGES else "*.py"
    return [path] if path.is_file() else [file for file in path.rglob(suffix) if file != Path(__file__)]


@pytest.mark.parametrize("name", READERS)
def test_plain_words(name):
    assert files(name)
    found = [
        f"{file.relative_to(ROOT)}:{message}"
        for file in sorted(files(name))
        for message in forbidden(file.read_text(encoding="utf-8"), READERS[name])
    ]
    assert not found, "\n" + "\n".join(found)


def test_every_kind_of_text_is_read():
    source = '''
"""It tells
whatever."""
x = f"{1} is
none" if 0 else ""  # of its own
"a number told of"
said = 3
'''.replace('is\nnone" if', 'is none" if')
    assert forbidden(source) == [
        "2: 'tells': a program does not speak or know",
        "3: 'whatever': say instead, each, any, separately or by default",
        "4: 'is none': say `is not a ...`",
        "4: 'of its own': say instead, each, any, separately or by default",
        "5: 'told': a program does not speak or know",
    ]
    assert forbidden('"""A sum in the\n    place of two, a sound\n    that neighbours hear: an optimiser."""') == [
        "1: 'in the place of': say instead, each, any, separately or by default",
        "2: 'sound': say finite, valid or good",
        "3: 'neighbours': American spelling",
        "3: 'optimiser': American spelling",
    ]


def test_plain_sentences_pass():
    assert not forbidden('"""Return the gradient with respect to x, or NaN if all weights are 0: initialize first."""')


def test_docstrings_and_names_of_tests_are_read_and_nothing_else():
    source = 'def test_x_is_told(a):\n    """Whatever."""\n    assert "said"  # asked\n'
    assert forbidden(source, docstrings_and_names) == [
        "1: 'told': a program does not speak or know",
        "2: 'Whatever': say instead, each, any, separately or by default",
    ]


def test_pages_are_read_across_lines():
    assert forbidden("# A page\n\nA layer of its\nown, by `says`.\n", prose) == [
        "3: 'of its own': say instead, each, any, separately or by default",
        "4: 'says': a program does not speak or know",
    ]
