"""What the small script does: menus by keyboard, times, the theme, and polling that stays out of the way."""

from __future__ import annotations

from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, expect

from elastic_jobs.domain.lifecycle import Lifecycle
from tests.api.support import AGENT, ALL_ROLES, VERSION, Server, finish, token
from tests.portal.browsing import Visitor


def start(server: Server) -> UUID:
    return UUID(server.http.post(f"{AGENT}/jobs/job1/start", params=VERSION).json()["name"])


@pytest.fixture
def active(server: Server) -> UUID:
    """A run that nobody works on."""
    server.ready_job()
    return start(server)


def test_everything_is_reached_by_keyboard(server: Server, active: UUID, visitor: Visitor) -> None:
    finish(server.database, active, Lifecycle.FAILED, databases=2)
    page = visitor.open(f"{server.url}/portal/executions/{active}", token(*ALL_ROLES))
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.innerText || document.activeElement.name || '').trim()"))
        if "Run failed again…" in reached and "database1" in reached and "Filter" in reached:
            break
    assert {"Run failed again…", "database1", "Filter"} <= reached
    button = page.get_by_text("Run failed again…")
    button.focus()
    page.keyboard.press("Enter")
    question = page.get_by_role("button", name="Run again")
    expect(question).to_be_visible()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "one sees where one is"
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(button).to_be_focused()


def test_what_is_in_use_is_not_replaced_and_catches_up_afterwards(
    server: Server, active: UUID, visitor: Visitor
) -> None:
    page = visitor.open(f"{server.url}/portal/executions/{active}", token(*ALL_ROLES))
    link = page.locator("#steps a").first
    link.focus()
    finish(server.database, active, Lifecycle.SUCCEEDED, databases=3)
    expect(page.locator("#live .badge")).to_have_text("Succeeded")
    expect(link).to_be_focused()
    expect(page.locator("#steps .badge")).not_to_have_text("Succeeded")
    page.locator("#main").focus()
    expect(page.locator("#steps .badge")).to_have_text("Succeeded")
    expect(page.locator("#target-table tbody tr")).to_have_count(3)


def press(page: Page, element: Locator) -> None:
    """Down on an element, and no release yet."""
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()


def count_answers(page: Page) -> None:
    page.evaluate("window.answers = 0; document.addEventListener('htmx:afterRequest', () => { window.answers++ })")


def wait_for_answer(page: Page) -> None:
    page.wait_for_function("(before) => window.answers > before", arg=page.evaluate("window.answers"))


def test_a_press_on_a_button_survives_the_preview_that_it_asks_for(server: Server, visitor: Visitor) -> None:
    """The button takes the focus from the field that changed; the answer makes the form longer above the button."""
    server.ready_job()
    page = visitor.open(f"{server.url}/portal/new-job", token(*ALL_ROLES))
    page.get_by_label("Name").fill("pressed")
    page.get_by_label("Again and again").check()
    every = page.get_by_label("Every", exact=True)
    every.fill("often")
    every.blur()
    expect(page.get_by_text("The schedule is not complete yet.")).to_be_visible()
    count_answers(page)
    every.fill("7")
    create = page.get_by_role("button", name="Create job")
    press(page, create)
    page.wait_for_function("() => window.answers === 1")
    page.mouse.up()
    expect(page.get_by_role("heading", level=1)).to_have_text("pressed")


def test_what_arrived_during_a_press_is_shown_after_it(server: Server, visitor: Visitor) -> None:
    server.ready_job()
    page = visitor.open(f"{server.url}/portal/new-job", token(*ALL_ROLES))
    second = page.get_by_role("status").filter(has_text="instants").locator("li").nth(1)
    page.get_by_label("Again and again").check()
    page.get_by_label("Start (UTC)").fill("2999-07-01T06:30:00")
    expect(second).to_contain_text("2999-07-02 06:30:00 UTC")
    count_answers(page)
    page.get_by_label("Every", exact=True).fill("7")
    press(page, page.get_by_role("button", name="Create job"))
    page.wait_for_function("() => window.answers === 1")
    expect(second).to_contain_text("2999-07-02 06:30:00 UTC")
    page.mouse.move(0, 0)
    page.mouse.up()
    expect(second).to_contain_text("2999-07-08 06:30:00 UTC")


def test_a_name_does_not_ask_for_the_next_instants(server: Server, visitor: Visitor) -> None:
    server.ready_job()
    page = visitor.open(f"{server.url}/portal/new-job", token(*ALL_ROLES))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.get_by_label("Name").fill("anything")
    page.get_by_label("Description").fill("of no weight for the schedule")
    with page.expect_response("**/schedule-preview"):
        page.get_by_label("Again and again").check()
    assert asked == ["schedule-preview"]


def test_a_press_on_a_link_survives_a_live_update(server: Server, active: UUID, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/portal", token(*ALL_ROLES))
    count_answers(page)
    press(page, page.get_by_role("region", name="Agent").get_by_role("link", name="active executions"))
    wait_for_answer(page)
    page.mouse.up()
    page.wait_for_url("**/portal/executions?state=active")


def test_what_catches_up_during_a_press_catches_up_after_it(server: Server, active: UUID, visitor: Visitor) -> None:
    """The press takes the focus from what was held back, whose update then comes while nothing may move."""
    page = visitor.open(f"{server.url}/portal/executions/{active}", token(*ALL_ROLES))
    page.locator("#steps a").first.focus()
    finish(server.database, active, Lifecycle.SUCCEEDED, databases=3)
    expect(page.locator("#live .badge")).to_have_text("Succeeded")
    count_answers(page)
    press(page, page.get_by_role("button", name="Switch between light and dark"))
    page.wait_for_function("() => window.answers === 1")
    expect(page.locator("#steps .badge")).not_to_have_text("Succeeded")
    page.mouse.up()
    expect(page.locator("#steps .badge")).to_have_text("Succeeded")


@pytest.mark.parametrize(
    ("address", "link"), [("/portal", "/portal/executions?state=active"), ("", "/portal/jobs/job1")]
)
def test_a_live_update_leaves_the_focus_where_it_is(
    server: Server, active: UUID, visitor: Visitor, address: str, link: str
) -> None:
    page = visitor.open(f"{server.url}{address or f'/portal/executions/{active}'}", token(*ALL_ROLES))
    focused = page.locator(f"#live a[href='{link}']").last
    page.evaluate("document.querySelector('#live').dataset.old = 'yes'")
    focused.focus()
    expect(page.locator("#live")).not_to_have_attribute("data-old", "yes")
    expect(focused).to_be_focused()


def test_marked_text_stays_marked(server: Server, active: UUID, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/portal", token(*ALL_ROLES))
    count_answers(page)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#live h2'))")
    text = page.evaluate("getSelection().toString()")
    page.evaluate("document.querySelector('#live').dataset.old = 'yes'")
    wait_for_answer(page)
    assert text
    assert page.evaluate("getSelection().toString()") == text
    page.evaluate("getSelection().removeAllRanges()")
    expect(page.locator("#live")).not_to_have_attribute("data-old", "yes")


def test_what_was_held_back_does_not_replace_what_came_after_it(server: Server, visitor: Visitor) -> None:
    server.ready_job()
    page = visitor.open(f"{server.url}/portal/new-job", token(*ALL_ROLES))
    second = page.locator("#preview li").nth(1)
    every = page.get_by_label("Every", exact=True)
    page.get_by_label("Again and again").check()
    page.get_by_label("Start (UTC)").fill("2999-07-01T06:30:00")
    expect(second).to_contain_text("2999-07-02 06:30:00 UTC")
    count_answers(page)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#preview'))")
    page.get_by_label("Unit").select_option("hours")
    page.wait_for_function("() => window.answers === 1")
    expect(second).to_contain_text("2999-07-02 06:30:00 UTC")
    page.evaluate("getSelection().removeAllRanges()")
    every.fill("7")
    every.blur()
    expect(second).to_contain_text("2999-07-01 13:30:00 UTC")
    page.get_by_role("heading", level=1).click()
    page.evaluate("new Promise((done) => setTimeout(done, 100))")  # the release began to wait as long before
    expect(second).to_contain_text("2999-07-01 13:30:00 UTC")


def test_a_right_click_on_marked_text_replaces_nothing(server: Server, visitor: Visitor) -> None:
    """Who opens the menu to copy what is marked finds it still there."""
    server.ready_job()
    page = visitor.open(f"{server.url}/portal/new-job", token(*ALL_ROLES))
    second = page.locator("#preview li").nth(1)
    page.get_by_label("Again and again").check()
    page.get_by_label("Start (UTC)").fill("2999-07-01T06:30:00")
    expect(second).to_contain_text("2999-07-02 06:30:00 UTC")
    count_answers(page)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#preview'))")
    page.get_by_label("Unit").select_option("hours")
    page.wait_for_function("() => window.answers === 1")
    second.click(button="right")
    page.evaluate("new Promise((done) => setTimeout(done, 100))")  # the release began to wait as long before
    expect(second).to_contain_text("2999-07-02 06:30:00 UTC")
    page.get_by_role("heading", level=1).click()
    expect(second).to_contain_text("2999-07-01 07:30:00 UTC")


def test_a_hidden_tab_asks_for_nothing(server: Server, active: UUID, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/portal/executions/{active}", token(*ALL_ROLES))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })")
    page.evaluate("htmx.trigger('#live', 'htmx:abort')")
    asked.clear()
    page.evaluate("htmx.ajax('GET', document.getElementById('live').dataset.address, '#live').catch(() => {})")
    assert asked == []
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_function("true")
    with page.expect_request("**/live**"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_server_that_does_not_answer_is_told_and_comes_back(server: Server, active: UUID, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/portal/executions/{active}", token(*ALL_ROLES))
    told = page.get_by_text("Not live: the server does not answer")
    expect(told).to_be_hidden()
    page.route("**/live**", lambda route: route.abort())
    expect(told).to_be_visible()
    page.unroute("**/live**")
    expect(told).to_be_hidden()
    visitor.troubles.clear()  # the browser notes the aborted requests


def test_a_session_that_ended_leads_to_the_sign_in(server: Server, active: UUID, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/portal/executions/{active}", token(*ALL_ROLES))
    page.context.clear_cookies()
    page.wait_for_url("**/portal/sign-in?page=**")
    page.get_by_label("Token").fill(token("Reader"))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**/portal/executions/{active}")
    visitor.troubles.clear()  # the browser notes the answer 401


def test_the_theme_stays_and_times_are_told_in_the_readers_zone(server: Server, active: UUID, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/portal/executions/{active}", token(*ALL_ROLES), theme="light")
    light = page.evaluate("getComputedStyle(document.body).getPropertyValue('--bg')")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--bg')") != light
    created = page.locator("#live time").first
    assert created.inner_text().endswith(" UTC")
    assert "CET" in str(created.get_attribute("title")) or "GMT+" in str(created.get_attribute("title"))
