// What pages do beyond plain HTML: times in the viewer's zone, the theme, menus, and polite live updates.
"use strict";

const zone = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  hourCycle: "h23", timeZoneName: "short",
});

// As the server writes times; the day only where it is another one than in UTC.
function inZone(moment) {
  const part = Object.fromEntries(zone.formatToParts(moment).map(({ type, value }) => [type, value]));
  const day = `${part.year}-${part.month}-${part.day}`;
  const time = `${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
  return day === moment.toISOString().slice(0, 10) ? time : `${day} ${time}`;
}

function tellLocalTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.getAttribute("datetime"));
    if (Number.isNaN(moment.getTime())) continue;
    const local = inZone(moment);
    const utc = `${moment.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    element.title = moment.getTimezoneOffset() === 0 ? utc : `${utc}\n${local}`;
    if ("local" in element.dataset && moment.getTimezoneOffset() !== 0 && !element.querySelector(".local")) {
      const own = document.createElement("span");
      own.className = "local muted";
      own.textContent = ` · ${local}`;
      element.append(own);
    }
  }
}

function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

for (const button of document.querySelectorAll("[data-theme-toggle]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const other = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    try {
      localStorage.setItem("elastic-jobs-theme", other);
    } catch {
      // The choice then lasts as long as the page.
    }
  });
}

// Menus and questions close on Escape and when something else is used.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.menu[open], details.ask[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.menu[open], details.ask[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

// A select marked so sends its form when it changes; without scripts a button does.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-send]")) event.target.form.requestSubmit();
});
for (const button of document.querySelectorAll("[data-without-script]")) button.hidden = true;

// Forms are sent once.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  for (const button of event.target.querySelectorAll("button[type=submit]")) {
    setTimeout(() => { button.disabled = true; }, 0);
  }
});
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});

// Live parts. What the reader has the focus in, or has opened, is not replaced under him; it catches up afterwards.
let held = false;

function marked(element) {
  return !getSelection().isCollapsed && element.contains(getSelection().anchorNode);
}

function inUse(element) {
  const focused = document.activeElement;
  return (focused && focused !== document.body && element.contains(focused))
    || element.querySelector("details[open]") !== null
    || marked(element);
}

function catchUp() {
  const live = document.getElementById("live");
  if (!held || !live || !live.dataset.address) return;
  held = false;
  htmx.ajax("GET", live.dataset.address, { target: "#live", swap: "outerHTML" });
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (!inUse(event.detail.target)) return;
  event.detail.shouldSwap = false;
  held = true;
});
document.addEventListener("focusout", () => setTimeout(catchUp, 0));
document.addEventListener("toggle", (event) => { if (!event.target.open) setTimeout(catchUp, 0); }, true);
document.addEventListener("visibilitychange", () => {
  const live = document.getElementById("live");
  if (document.hidden || !live || !live.hasAttribute("hx-trigger")) return;
  held = true;
  catchUp();
});

// A press is a click only where it is released on what it began on. What arrives in between would replace that, or move
// it away, and so waits.
let pressed = false;
let release = 0;
let late = null;  // what the only other part, the preview, shall show then: the newest answer
function showLate() {
  // A release does not end every mark: not that of the button which opens a menu to copy from.
  if (late === null || marked(late.target)) return;
  htmx.swap(late.target, late.content, { swapStyle: "innerHTML" });
  late = null;
}
document.addEventListener("pointerdown", (event) => {
  clearTimeout(release);
  pressed = event.button === 0 && event.target.closest("a, button, summary") !== null;
}, true);
for (const name of ["pointerup", "pointercancel", "contextmenu"]) {
  // The click follows the release, after a finger's a little later.
  document.addEventListener(name, () => {
    clearTimeout(release);
    release = setTimeout(() => {
      pressed = false;
      showLate();
      catchUp();
    }, 100);
  }, true);
}
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse, shouldSwap } = event.detail;
  if (!shouldSwap) return;
  if (target.id !== "live") late = null;
  if (!pressed && !marked(target)) {
    keepFocus(target);
    return;
  }
  event.detail.shouldSwap = false;
  if (target.id === "live") held = true;
  else late = { target, content: serverResponse };
});

// What is replaced as a whole gives the focus back to what stands in its place.
function alike(root, one) {
  return [...root.querySelectorAll(one.localName)].filter((element) => ["href", "aria-label"].every(
    (name) => element.getAttribute(name) === one.getAttribute(name)));
}
function keepFocus(target) {
  const focused = document.activeElement;
  if (focused === target || !target.contains(focused)) return;
  const place = alike(target, focused).indexOf(focused);
  document.addEventListener("htmx:afterSwap", () => {
    alike(document.getElementById(target.id), focused)[place]?.focus({ preventScroll: true });
  }, { once: true });
}

const offline = document.querySelector("[data-offline]");
for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.addEventListener(name, () => { if (offline) offline.hidden = false; });
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && offline) offline.hidden = true;
});
document.addEventListener("htmx:afterSettle", () => tellLocalTimes(document));

tellLocalTimes(document);

// Definitions: scripts to copy, and forms whose answer takes a while because servers are asked.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    const said = button.firstChild.textContent;
    button.firstChild.textContent = "Copied";
    setTimeout(() => { button.firstChild.textContent = said; }, 2000);
  });
}
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches("[data-slow]")) return;
  const said = document.createElement("span");
  said.className = "asking";
  said.setAttribute("role", "status");
  said.textContent = "Asking the servers …";
  event.submitter?.after(said);
  // What is downloaded does not replace the page.
  if (event.submitter?.value !== "download") return;
  setTimeout(() => {
    said.remove();
    for (const button of form.querySelectorAll("button:disabled")) button.disabled = false;
  }, 3000);
});
