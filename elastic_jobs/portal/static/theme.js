// Runs before the page is drawn, so that a chosen theme does not flash. Without a choice the system's theme counts.
"use strict";
try {
  const chosen = localStorage.getItem("elastic-jobs-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; then the system's theme counts.
}
