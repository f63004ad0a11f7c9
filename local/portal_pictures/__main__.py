"""Makes the pictures of the portal: each page in both themes and both widths.

    python -m local.portal_pictures [--folder docs/images] [--only NAME ...]

Needs the system's Chromium (``local/chromium.sh``). The files are ``portal-<page>-<theme>-<width>.png``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from local import chromium
from local.portal_pictures.site import Site, site

LARGEST = 150 * 1024
"""Bytes of a picture: they are part of the repository."""
THEMES = ("light", "dark")
SIZES = {"wide": (1440, 800), "narrow": (390, 844)}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A page to take. address: below the site's URL, with the runs of the story by name in braces.

    click: elements to click one after the other before the picture is taken. sign_in: False for strangers' pages.
    """

    name: str
    address: str
    click: tuple[str, ...] = ()
    sign_in: bool = True


PICTURES = (
    Picture(name="overview", address="/portal"),
    Picture(name="executions", address="/portal/executions"),
    Picture(name="execution-running", address="/portal/executions/{running}"),
    Picture(name="execution-failed", address="/portal/executions/{failed}?state=failed"),
    Picture(name="execution-large", address="/portal/executions/{large}"),
    Picture(
        name="target",
        address="/portal/executions/{failed}?state=failed",
        click=("#target-table tbody th a >> nth=0",),
    ),
    Picture(name="sign-in", address="/portal/sign-in", sign_in=False),
    Picture(name="jobs", address="/portal/jobs"),
    Picture(name="job", address="/portal/jobs/Rebuild%20indexes"),
    Picture(name="job-difference", address="/portal/jobs/Rebuild%20indexes/difference"),
    Picture(name="job-schedule", address="/portal/jobs/Rebuild%20indexes/edit"),
    Picture(name="job-step", address="/portal/jobs/Rebuild%20indexes/new-step"),
    Picture(name="target-groups", address="/portal/target-groups"),
    Picture(name="target-group", address="/portal/target-groups/all-tenants"),
    Picture(
        name="target-group-preflight",
        address="/portal/target-groups/all-tenants",
        click=("text=Try the databases",),
    ),
    Picture(name="target-group-member", address="/portal/target-groups/all-tenants/new-member"),
    Picture(
        name="target-group-users",
        address="/portal/target-groups/all-tenants/users",
        click=("text=Make the T-SQL",),
    ),
    Picture(name="credentials", address="/portal/credentials"),
    Picture(name="credential-new", address="/portal/new-credential"),
)


def main(arguments: Sequence[str]) -> int:
    """Take the pictures; exit code 1 when one is too large or there is no browser."""
    parser = argparse.ArgumentParser(prog="python -m local.portal_pictures", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    chosen = parser.parse_args(arguments)
    program = chromium.find()
    if program is None:
        print(chromium.MISSING, file=sys.stderr)
        return 1
    chosen.folder.mkdir(parents=True, exist_ok=True)
    wanted = [picture for picture in PICTURES if not chosen.only or picture.name in chosen.only]
    too_large = []
    with (
        tempfile.TemporaryDirectory() as folder,
        site(Path(folder)) as shown,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=list(chromium.FLAGS))
        for theme in THEMES:
            for width in SIZES:
                too_large += _take(browser, shown, wanted, theme, width, chosen.folder)
        browser.close()
    for file in too_large:
        print(f"{file} is larger than {LARGEST} bytes; show less on it.", file=sys.stderr)
    return 1 if too_large else 0


def _take(browser: Browser, shown: Site, wanted: Sequence[Picture], theme: str, width: str, folder: Path) -> list[Path]:
    too_large = []
    for picture in wanted:
        context = browser.new_context(
            viewport={"width": SIZES[width][0], "height": SIZES[width][1]},
            color_scheme="dark" if theme == "dark" else "light",
            timezone_id="Europe/Berlin",
            locale="en-GB",
            reduced_motion="reduce",
        )
        if picture.sign_in:
            cookie = {"name": "elastic_jobs_session", "value": shown.token, "url": f"{shown.url}/portal"}
            context.add_cookies([cookie])  # type: ignore[list-item]  # a TypedDict of Playwright's own
        page = context.new_page()
        _show(page, shown, picture)
        file = folder / f"portal-{picture.name}-{theme}-{width}.png"
        page.screenshot(path=file, full_page=False)
        print(f"{file.stat().st_size // 1024:5} KiB  {file}")
        if file.stat().st_size > LARGEST:
            too_large.append(file)
        context.close()
    return too_large


def _show(page: Page, shown: Site, picture: Picture) -> None:
    story = {"running": shown.story.running, "failed": shown.story.failed, "large": shown.story.large}
    page.goto(shown.url + picture.address.format(**story))
    for selector in picture.click:
        page.click(selector)
        page.wait_for_load_state()
    page.wait_for_function("document.fonts.status === 'loaded'")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
