// Keeps the page fresh without losing the place: what has changed is changed, and nothing else is touched, so that scroll,
// focus, an open detail and a half-written note stay as they are.
const EVERY = 3000;
const PATIENCE = 10000;
let heard = new Date();

const real = (node) => [...node.childNodes].filter((one) => one.nodeType === Node.ELEMENT_NODE || one.data.trim());

function same(shown, fresh) {
  if (shown.dataset?.gone) return shown.dataset.gone === fresh.getAttribute?.("src"); // still no picture
  return shown.nodeName === fresh.nodeName && shown.id === fresh.id;
}

function follow(shown, fresh) {
  if (shown.dataset?.gone) return;
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.data !== fresh.data) shown.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  for (const { name } of [...shown.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) shown.removeAttribute(name);
  const rest = real(shown);
  for (const child of real(fresh)) {
    const at = rest.findIndex((one) => same(one, child));
    if (at < 0) {
      shown.insertBefore(child, rest[0] ?? null);
    } else {
      rest.splice(0, at).forEach((one) => one.remove());
      follow(rest.shift(), child);
    }
  }
  rest.forEach((one) => one.remove());
}

function stale(yes) {
  document.body.classList.toggle("stale", yes);
  const words = yes ? `The station does not answer. What you see is of ${heard.toISOString().slice(11, 19)} UTC.` : "";
  if (banner.textContent !== words) banner.textContent = words;
}

async function refresh() {
  try {
    const answer = await fetch("/", { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE) });
    if (answer.redirected) return location.assign(answer.url); // signed out meanwhile
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    follow(document.getElementById("main"), page.getElementById("main"));
    heard = new Date();
    stale(false);
  } catch {
    stale(true);
  }
  setTimeout(refresh, EVERY);
}

const banner = document.createElement("p");
banner.id = "stale";
banner.setAttribute("role", "alert");
document.body.append(banner);
setTimeout(refresh, EVERY);
