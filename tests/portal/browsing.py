"""Looking at pages in a real browser: signed in, in a theme and a width, and watched for anything that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page

from tests.portal.support import SESSION_COOKIE

WIDE, NARROW = (1440, 900), (390, 844)
Theme = Literal["light", "dark"]
_AXE = Axe()
_SERIOUS = {"serious", "critical"}
_WATCH = """
window.__violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Visitor:
    """A reader with a browser. ``troubles``: script errors, dialogs and refused resources of all pages."""

    browser: Browser
    troubles: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(
        self,
        url: str,
        token: str | None = None,
        *,
        theme: Theme = "light",
        size: tuple[int, int] = WIDE,
        scripts: bool = True,
        **options: Any,
    ) -> Page:
        """A page in a new session of the browser. token: as whom; None: not signed in."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            java_script_enabled=scripts,
            timezone_id="Europe/Berlin",
            locale="en-GB",
            reduced_motion="reduce",  # a badge that pulses would be painted 60 times a second
            **options,
        )
        self.contexts.append(context)
        context.set_default_timeout(20_000)
        if scripts:
            context.add_init_script(_WATCH)
        root = "/".join(url.split("/")[:3])
        if token is not None:
            context.add_cookies(
                [
                    {
                        "name": SESSION_COOKIE,
                        "value": token,
                        "url": f"{root}/portal",
                        "httpOnly": True,
                        "sameSite": "Strict",
                    }
                ]
            )
        page = context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(f"script error: {error}"))
        page.on("console", self._console)
        page.on("dialog", self._dialog)
        page.goto(url)
        return page

    def close(self) -> None:
        """End all sessions; nothing may have gone wrong in them."""
        for context in self.contexts:
            for page in context.pages:
                if page.url.startswith("http"):
                    self.troubles += violations(page)
            context.close()
        assert self.troubles == []

    def _dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.troubles.append(f"console: {message.text}")


def violations(page: Page) -> list[str]:
    """What the content security policy refused on a page."""
    found: list[str] = page.evaluate("window.__violations || []")
    return [f"policy: {each}" for each in found]


def faults(page: Page, *, colours_only: bool = False) -> list[str]:
    """Serious faults of accessibility that axe finds on a page.

    colours_only: where the page was checked in the other theme already; nothing else changes with the theme.
    """
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if colours_only:
        options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
    if page.evaluate("!window.axe"):  # half a megabyte: once per page
        page.evaluate(_AXE.axe_script)
    found = page.evaluate("options => axe.run(document, options).then(found => found.violations)", options)
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in _SERIOUS
    ]


def too_wide(page: Page) -> int:
    """By how many pixels a page is wider than the window; 0: it does not scroll sideways."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width
