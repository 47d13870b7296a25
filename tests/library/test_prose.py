"""The words of docstrings, comments and messages: plain American English, in which programs do not speak."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

JAXNN = Path(__file__).parents[2] / "jaxnn"
# The folders and files of jaxnn that are read. A folder joins when it is rewritten.
READ = (
    "__init__.py",
    "arrays.py",
    "jaxprs.py",
    "caching.py",
    "functional.py",
    "regularizers.py",
    "typing.py",
    "validation.py",
    "contrib",
    "data",
    "factories",
    "gradcheck",
    "graph",
    "losses",
    "metrics",
    "models",
    "nn",
    "optim",
    "population",
    "train",
)
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
    "say with respect to": r"(?:derivative|gradient|slope)s? by",
    "American spelling": (
        r"\w*(?:optimis|standardis|regularis|penalis|initialis|summaris|minimis|maximis|normalis|generalis)\w*|"
        r"(?:behaviou|colou|neighbou)r\w*|licence"
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


def forbidden(source: str) -> list[str]:
    """`line: 'word': what to write` for each forbidden word, in the order of lines."""
    advice, found = list(FORBIDDEN), []
    for start, text in texts(source):
        # A phrase may be broken by the end of a line.
        flat = re.sub(r"\n[ #]*", "\n", text)
        for match in PATTERN.finditer(flat.replace("\n", " ")):
            line = start + flat.count("\n", 0, match.start())
            found.append((line, f"{line}: {match.group()!r}: {advice[int(match.lastgroup[1:])]}"))
    return [message for _, message in sorted(found)]


def files() -> list[Path]:
    return [
        file for name in READ for file in ([JAXNN / name] if name.endswith(".py") else (JAXNN / name).rglob("*.py"))
    ]


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(JAXNN)))
def test_plain_words(file):
    found = forbidden(file.read_text(encoding="utf-8"))
    assert not found, "\n" + "\n".join(f"jaxnn/{file.relative_to(JAXNN)}:{message}" for message in found)


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
