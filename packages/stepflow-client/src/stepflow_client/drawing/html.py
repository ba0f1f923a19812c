"""HTML pages for pictures and reports: a single file that loads no other files."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from .._base.text import visible, visible_lines

__all__ = ["PAGE_STYLE", "page"]

PAGE_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--text:#0f172a;--soft:#475569;--line:#cbd5e1;--panel:#f8fafc;--bad:#b91c1c;
--good:#15803d;--run:#1d4ed8}
@media (prefers-color-scheme:dark){:root{--bg:#0f172a;--text:#f1f5f9;--soft:#cbd5e1;--line:#334155;--panel:#1e293b;
--bad:#f87171;--good:#4ade80;--run:#60a5fa}}
body{background:var(--bg);color:var(--text);font:14px/1.5 system-ui,"DejaVu Sans",sans-serif;margin:0 auto;
padding:16px 24px;max-width:1400px}
h1{font-size:20px;overflow-wrap:anywhere}h2{font-size:16px;margin-top:28px;border-bottom:1px solid var(--line)}
.scroll{overflow:auto;max-width:100%}
"""
"""The style of all pages."""


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(title: str, body: str, style: str, script: str = "") -> str:
    """Return a complete page. Its content security policy allows only this style and this script, and no requests.

    Args:
        title: The title of the page; any text.
        body: The HTML of the body; control characters and invisible characters in it are replaced.
        style: The CSS.
        script: The JavaScript; empty for none.
    """
    policy = f"default-src 'none'; style-src {_hashed(style)}; base-uri 'none'; form-action 'none'"
    policy += f"; script-src {_hashed(script)}" if script else ""
    program = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(visible(title))}</title><style>{style}</style></head>\n<body>{visible_lines(body)}{program}</body></html>\n"
    )
