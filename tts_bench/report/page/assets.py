"""Parts of every page: scripts, styles, and their hashes."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_LIBRARIES = ("chart.umd.min.js", "katex.min.js")
_SCRIPTS = (
    "dom.js",
    "format.js",
    "theme.js",
    "data.js",
    "math.js",
    "curves.js",
    "table.js",
    "tree.js",
    "candidate.js",
    "drill.js",
    "problems.js",
    "main.js",
)
"""In the order in which they stand in the page: each uses only what lies before it."""
_STYLES = ("page.css", "drill.css")
_FONT_FACE = re.compile(r"@font-face\{[^}]*?url\((fonts/[\w-]+\.woff2)\)[^}]*\}")
_FONT_SOURCE = re.compile(r"src:[^;}]*")
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Assets:
    """Inline scripts and the style sheet, and the policy that lets nothing else run."""

    scripts: tuple[str, ...]
    style: str

    @property
    def policy(self) -> str:
        """The Content-Security-Policy: these very texts, data URIs, and no request at all."""
        allowed = " ".join(_hash_source(script) for script in self.scripts)
        return (
            f"default-src 'none'; script-src {allowed}; style-src {_hash_source(self.style)}; "
            "font-src data:; img-src data:; base-uri 'none'; form-action 'none'"
        )


@cache
def read_assets() -> Assets:
    """The scripts and styles of this version, read once."""
    libraries = (_SOURCE_MAP.sub("", _read(f"vendor/{name}")) for name in _LIBRARIES)
    own = "\n".join(_read(name) for name in _SCRIPTS)
    # One function around all of them: nothing of the page becomes a global name.
    page = f'(function () {{\n"use strict";\n{own}\n}})();\n'
    style = "\n".join([_with_fonts(_read("vendor/katex.min.css")), *map(_read, _STYLES)])
    assets = Assets((*libraries, page), style)
    for text in (*assets.scripts, assets.style):
        # Any of these would end the element, or hide its end, in the middle of the text.
        assert not re.search(r"</script|</style|<!--", text, re.IGNORECASE)
    return assets


def _read(name: str) -> str:
    # A parser of HTML reads every end of line as \n, and hashes that.
    return (_FOLDER / name).read_text("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def _with_fonts(css: str) -> str:
    """The style sheet with its fonts as data URIs; faces without a vendored file are dropped."""

    def inline(face: re.Match[str]) -> str:
        path = _FOLDER / "vendor" / face[1]
        if not path.is_file():
            return ""
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        source = f'src:url(data:font/woff2;base64,{data}) format("woff2")'
        return _FONT_SOURCE.sub(lambda _: source, face[0])

    return _FONT_FACE.sub(inline, css)


def _hash_source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
