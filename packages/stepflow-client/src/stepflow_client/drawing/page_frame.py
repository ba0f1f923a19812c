"""Self-contained HTML pages for drawings and reports, with light and dark themes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from .._base.text_formatting import visible, visible_lines

# The value of each color in the light and dark themes. All text colors have a contrast of at least 4.5 on `bg`,
# `surface` and `panel`.
_THEME_COLORS = {
    "bg": ("#f5f6f8", "#0d1017"),
    "surface": ("#ffffff", "#151922"),
    "panel": ("#eef0f4", "#1e2430"),
    "line": ("#dfe3ea", "#2b3240"),
    "edge": ("#7b8698", "#6f7a8e"),
    "text": ("#161b26", "#e7eaf0"),
    "soft": ("#535d70", "#a6b0c1"),
    "link": ("#3a45c9", "#a5b0ff"),
    "on": ("#ffffff", "#11141c"),
    "good": ("#15693a", "#5fcf92"),
    "good-soft": ("#e3f4e9", "#12291d"),
    "bad": ("#b42318", "#ff9088"),
    "bad-soft": ("#fdeae8", "#351a1b"),
    "run": ("#1a5bc4", "#82b4ff"),
    "run-soft": ("#e4eefc", "#15263f"),
    "warn": ("#8a4b08", "#ecbb66"),
    "warn-soft": ("#fcf0db", "#302512"),
    "quiet-soft": ("#e9ecf1", "#262d3a"),
}
LIGHT = {name: light for name, (light, _) in _THEME_COLORS.items()}
DARK = {name: dark for name, (_, dark) in _THEME_COLORS.items()}


def escape_html(value: object) -> str:
    """Return a value as a single line of escaped text."""
    return escape(visible(str(value)))


def format_px(number: float) -> str:
    """Format a coordinate in pixels with as few characters as possible, since an image contains thousands of them."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def format_css_variables(colors: Mapping[str, str], prefix: str = "") -> str:
    """Return the colors as CSS custom properties."""
    return "".join(f"--{prefix}{name}:{color};" for name, color in colors.items())


SANS_FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif'
MONO_FONT = 'ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace'

THEME_STYLE = f"""
:root{{color-scheme:light dark;{format_css_variables(LIGHT)}
--space-1:4px;--space-2:8px;--space-3:12px;--space-4:16px;--space-5:24px;--space-6:32px;--space-7:48px;
--text-1:12px;--text-2:13px;--text-3:14px;--text-4:16px;--text-5:20px;--text-6:24px;
--radius:6px;--radius-2:10px;--sans:{SANS_FONT};--mono:{MONO_FONT}}}
@media (prefers-color-scheme:dark){{:root{{{format_css_variables(DARK)}}}}}
"""
"""CSS custom properties for all pages."""

# Each status's color and outline. Any other status is shown as a ring.
_STATUS_SHAPES = {
    "completed": ("good", "polygon(12% 50%,0 62%,36% 96%,100% 22%,87% 10%,35% 70%)"),
    "failed": (
        "bad",
        "polygon(14% 0,50% 36%,86% 0,100% 14%,64% 50%,100% 86%,86% 100%,50% 64%,14% 100%,0 86%,36% 50%,0 14%)",
    ),
    "running": ("run", "polygon(12% 0,100% 50%,12% 100%)"),
    "paused": ("warn", "polygon(8% 0,40% 0,40% 100%,8% 100%,8% 0,60% 0,92% 0,92% 100%,60% 100%,60% 0)"),
    "cancelled": ("soft", "inset(8%)"),
    "not_run": ("soft", "inset(40% 0)"),
}

STATUS_STYLE = (
    """
.status{display:inline-flex;align-items:baseline;gap:6px;padding:1px 8px 1px 7px;border-radius:99px;
font-size:var(--text-1);font-weight:600;line-height:18px;white-space:nowrap;color:var(--soft);background:var(--quiet-soft)}
.status::before{content:"";flex:none;width:9px;height:9px;background:currentColor;forced-color-adjust:none;
clip-path:path(evenodd,"M4.5 0a4.5 4.5 0 1 0 .01 0zM4.5 2a2.5 2.5 0 1 0 .01 0z")}
"""
    + "".join(
        f".status.{status}::before{{clip-path:{shape}}}"
        + (f".status.{status}{{color:var(--{color});background:var(--{color}-soft)}}" if color != "soft" else "")
        for status, (color, shape) in _STATUS_SHAPES.items()
    )
    + ".status.recovery_failed{color:var(--bad);background:var(--bad-soft)}"
    ".status.not_needed,.status.not_started{background:none;padding-left:0}.status.wrap{white-space:normal}"
)
"""Shows a status as an icon, word and color: `<b class="status failed">failed</b>`."""

STYLED_STATUSES = frozenset({*_STATUS_SHAPES, "recovery_failed", "not_needed", "not_started"})
"""The statuses that `STATUS_STYLE` covers. Don't set a class for any other status."""

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#3a45c9"/>'
    '<path d="M6.5 17h3.2a2.6 2.6 0 0 0 2.6-2.6V9.6A2.6 2.6 0 0 1 14.9 7h2.6" fill="none" stroke="#fff" '
    'stroke-width="2"/><path d="M4 17a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0zM15 7a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z" '
    'fill="#fff"/></svg>'
)
"""The logo: two flow nodes, joined by a step up from the first to the second."""

HIDDEN_LOGO = LOGO.replace("<svg ", '<svg aria-hidden="true" ')
"""The logo for use next to the name. Hidden from screen readers."""

_BODY_STYLE = """
body{background:var(--bg);color:var(--text);font:var(--text-3)/1.5 var(--sans);margin:0 auto;
padding:var(--space-4) var(--space-5);max-width:1400px}
h1{font-size:var(--text-5);overflow-wrap:anywhere}h2{font-size:var(--text-4)}
.scroll{overflow:auto;max-width:100%}
"""
PAGE_STYLE = THEME_STYLE + _BODY_STYLE
"""The base style for all pages."""


def _make_policy_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def build_page(title: str, body: str, style: str, script: str = "") -> str:
    """Return a complete page. Its content security policy allows only this style and script, and blocks all requests.

    Args:
        title: The page title as plain text.
        body: The HTML body. Control and invisible characters are replaced.
        style: The CSS.
        script: The JavaScript, if any.
    """
    policy = f"default-src 'none'; style-src {_make_policy_hash(style)}; base-uri 'none'; form-action 'none'"
    policy += f"; script-src {_make_policy_hash(script)}" if script else ""
    program = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape_html(title)}</title><style>{style}</style></head>\n<body><main>{visible_lines(body)}</main>{program}</body></html>\n"
    )
