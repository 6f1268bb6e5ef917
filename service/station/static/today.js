// Keeps the page fresh without losing the place: the main part is fetched anew every few seconds.
"use strict";
const EVERY = 3000;
async function refresh() {
  try {
    const answer = await fetch("/", { headers: { Accept: "text/html" } });
    // Somebody is writing a note: what he sees waits until he is done.
    if (answer.ok && !document.activeElement.matches("input")) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.getElementById("main").replaceWith(page.getElementById("main"));
    }
    document.body.classList.toggle("stale", !answer.ok);
  } catch {
    document.body.classList.add("stale");
  }
  setTimeout(refresh, EVERY);
}
setTimeout(refresh, EVERY);
