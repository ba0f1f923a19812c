"""The look of all HTML and SVG: the colours of both themes, spaces, type, status marks and the brand mark.

Pages, reports, notebooks and pictures take their colours from here.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "bg": "#f5f6f8",
    "surface": "#ffffff",
    "panel": "#eef0f4",
    "line": "#dfe3ea",
    "edge": "#7b8698",
    "text": "#161b26",
    "soft": "#535d70",
    "link": "#3a45c9",
    "on": "#ffffff",
    "good": "#15693a",
    "good-soft": "#e3f4e9",
    "bad": "#b42318",
    "bad-soft": "#fdeae8",
    "run": "#1a5bc4",
    "run-soft": "#e4eefc",
    "warn": "#8a4b08",
    "warn-soft": "#fcf0db",
    "quiet-soft": "#e9ecf1",
}
"""The colours of the light theme. Each text colour has a contrast of at least 4.5 on `bg`, `surface` and `panel`."""

DARK: Mapping[str, str] = {
    "bg": "#0d1017",
    "surface": "#151922",
    "panel": "#1e2430",
    "line": "#2b3240",
    "edge": "#6f7a8e",
    "text": "#e7eaf0",
    "soft": "#a6b0c1",
    "link": "#a5b0ff",
    "on": "#11141c",
    "good": "#5fcf92",
    "good-soft": "#12291d",
    "bad": "#ff9088",
    "bad-soft": "#351a1b",
    "run": "#82b4ff",
    "run-soft": "#15263f",
    "warn": "#ecbb66",
    "warn-soft": "#302512",
    "quiet-soft": "#262d3a",
}


def css_properties(colours: Mapping[str, str], prefix: str = "") -> str:
    """Return colours as custom properties of CSS."""
    return "".join(f"--{prefix}{name}:{colour};" for name, colour in colours.items())


FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif'
MONO = 'ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace'

THEME_STYLE = f"""
:root{{color-scheme:light dark;{css_properties(LIGHT)}
--space-1:4px;--space-2:8px;--space-3:12px;--space-4:16px;--space-5:24px;--space-6:32px;--space-7:48px;
--text-1:12px;--text-2:13px;--text-3:14px;--text-4:16px;--text-5:20px;--text-6:24px;
--radius:6px;--radius-2:10px;--sans:{FONT};--mono:{MONO}}}
@media (prefers-color-scheme:dark){{:root{{{css_properties(DARK)}}}}}
"""
"""The custom properties of all pages."""

# The colour and the outline of a status. A status that is not listed has a ring.
_SHAPES = {
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
        + (f".status.{status}{{color:var(--{colour});background:var(--{colour}-soft)}}" if colour != "soft" else "")
        for status, (colour, shape) in _SHAPES.items()
    )
    + ".status.recovery_failed{color:var(--bad);background:var(--bad-soft)}"
    ".status.not_needed,.status.not_started{background:none;padding-left:0}.status.wrap{white-space:normal}"
)
"""A status is a shape, a word and a colour: `<b class="status failed">failed</b>`."""

STATUSES = frozenset({*_SHAPES, "recovery_failed", "not_needed", "not_started"})
"""The statuses that `STATUS_STYLE` knows; the class of any other is left out."""

MARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#3a45c9"/>'
    '<path d="M6.5 17h3.2a2.6 2.6 0 0 0 2.6-2.6V9.6A2.6 2.6 0 0 1 14.9 7h2.6" fill="none" stroke="#fff" '
    'stroke-width="2"/><path d="M4 17a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0zM15 7a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z" '
    'fill="#fff"/></svg>'
)
"""The brand mark: a step up from one node of a flow to the next."""

HIDDEN_MARK = MARK.replace("<svg ", '<svg aria-hidden="true" ')
"""The mark beside the name that it stands for; screen readers skip it."""
