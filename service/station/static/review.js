// One part after the other. Two wait decoded behind the one that is shown. The queue says nothing of verdict or score, so neither can this page.
import { Outbox } from "./outbox.js";
import { Stage } from "./stage.js";

const AHEAD = 2, BACK = 10, AGAIN = 3000, RENEW = 120000, WITHIN = 20000;
const by = (id) => document.getElementById(id);
const box = by("review");
const stage = new Stage(by("stage"));
const fixed = box.dataset.fixed === "yes";
const outbox = new Outbox(told, (answer) => !fixed || answer.inspector === box.dataset.name);
const asked = new URLSearchParams(location.search);
let inspector = fixed ? box.dataset.name : asked.get("inspector") || box.dataset.name || localStorage.getItem("inspector") || "";
let shown = null, ready = [], done = [], ahead = 0, asking = false, broken = "";

function say(text, offline = false) {
  by("status").textContent = text;
  by("status").classList.toggle("offline", offline);
}

function told({ waiting, offline, signedOut, refused }) {
  if (signedOut) {
    say(`Signed out; ${waiting} answers are kept. `, true);
    const link = document.createElement("a");
    link.href = "/sign-in?next=" + encodeURIComponent(location.pathname + location.search);
    link.textContent = "Sign in again";
    by("status").append(link);
  } else if (offline) say(`The station does not answer; ${waiting} answers are kept and sent when it does.`, true);
  else if (refused) say(`Not taken: ${refused}`);
  else if (by("status").classList.contains("offline")) say(broken);
}

const post = (path, content) => fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ inspector, line: asked.get("line") ?? "", ...content }), signal: AbortSignal.timeout(WITHIN) });
const picture = (source) => `${source}?inspector=${encodeURIComponent(inspector)}`;

async function decoded(part) {
  part.picture = new Image();
  part.picture.alt = "the part to be labelled";
  part.picture.src = picture(part.image);
  try { await part.picture.decode(); } catch { part.broken = true; }
  return part;
}

async function fill(renew = false) {
  const have = [shown, ...ready].filter(Boolean);
  const want = Math.max(0, AHEAD + 1 - have.length);
  if (asking || !inspector || (!want && !renew)) return;
  asking = true;
  try {
    const reply = await post("/v1/review/next", { have: have.map((part) => part.lease), want });
    if (reply.status === 401) told({ waiting: outbox.waiting, signedOut: true });
    else if (!reply.ok) say((await reply.json()).detail);
    else {
      const found = await reply.json();
      ahead = found.now - Date.now() / 1000;
      by("left").textContent = found.left ? `${found.left} left${found.words ? "; " + found.words : ""}` : "Nothing else is due.";
      const coming = await Promise.all(found.parts.map(decoded));
      ready.push(...coming);
      if (!shown) next();
      if (!shown && !outbox.waiting) say("Nothing is due. This page looks again by itself.");
    }
  } catch { say(`The station does not answer; ${outbox.waiting} answers are kept and sent when it does.`, true); }
  asking = false;
}

function next() { show(ready.shift() ?? null); }

function show(part) {
  shown = part;
  for (const button of by("answers").children) button.disabled = !part;
  by("skip").disabled = !part;
  if (!part) { stage.clear(); return; }
  by("work").hidden = false;
  stage.show(part.picture);
  broken = part.broken ? "This picture cannot be shown. Say unsure, or put the part aside." : "";
  say(broken);
  const others = part.classes.filter((label) => label !== part.good);
  by("answers").replaceChildren(...[[part.good, "g"], ...others.map((label, at) => [label, at < 9 ? String(at + 1) : ""]), ["unsure", "u"]].map(([label, key]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.key = key;
    button.textContent = label;
    button.classList.toggle("good", label === part.good);
    button.classList.toggle("unsure", label === "unsure");
    button.classList.toggle("said", label === part.said);
    if (key) button.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    button.addEventListener("click", () => answer(label));
    return button;
  }));
}

// The part before, at hand.
function before(part) {
  by("previous").hidden = !part;
  by("previous-picture").replaceChildren(...(part ? [part.picture] : []));
  by("previous-label").textContent = part?.said ?? "";
}

async function answer(label) {
  if (!shown) return;
  const part = shown;
  part.said = label;
  done = [...done.filter((one) => one !== part), part].slice(-BACK);
  by("undo").disabled = false;
  next();
  before(part);
  await outbox.put({ lease: part.lease, label, labelled_at: Date.now() / 1000 + ahead, inspector });
  if (by("views").checked) await look(part);
  fill();
}

function undo() {
  const part = done.pop();
  if (!part) return;
  by("undo").disabled = !done.length;
  if (shown) ready.unshift(shown);
  before(done.at(-1));
  show(part);
  say(`Said so far: ${part.said}. Another answer corrects it.`);
}

async function skip() {
  if (!shown) return;
  const { lease, said } = shown;
  next();
  if (!said) await post("/v1/review/back", { leases: [lease], aside: true }).catch(() => {});
  fill();
}

async function look(part) {
  const view = by("view");
  view.hidden = false;
  try {
    const reply = await fetch(`/v1/review/${part.lease}/view?inspector=${encodeURIComponent(inspector)}`);
    const found = await reply.json();
    if (!reply.ok) { view.textContent = found.detail; return; }
    done = done.filter((one) => one !== part);
    by("undo").disabled = !done.length;
    const words = document.createElement("p");
    const scores = Object.entries(found.scores).map(([name, score]) => `${name} ${score.toFixed(2)}`).join(", ");
    words.textContent = `The part before: you said ${part.said}; the model ${found.predicted} (${scores}), ${found.verdict}; others: ${found.others.join(", ") || "nobody yet"}.`;
    const map = new Image();
    map.alt = "where the model looked";
    map.src = picture(found.heatmap);
    map.addEventListener("error", () => map.remove());
    view.replaceChildren(words, map);
  } catch { view.textContent = "The model's view cannot be had just now."; }
}

const KEYS = { "+": () => stage.do("in"), "=": () => stage.do("in"), "-": () => stage.do("out"), 0: () => stage.do("whole"), c: () => stage.do("contrast"),
  s: skip, Backspace: undo, ArrowLeft: () => stage.move(40, 0), ArrowRight: () => stage.move(-40, 0), ArrowUp: () => stage.move(0, 40), ArrowDown: () => stage.move(0, -40) };

addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox])") || event.ctrlKey || event.metaKey || event.altKey || by("work").hidden) return;
  const button = document.querySelector(`#answers button[data-key="${CSS.escape(event.key)}"]`);
  if (button && !event.repeat) button.click();
  else if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});
by("tools").addEventListener("click", (event) => { const what = event.target.closest("button")?.dataset.do; if (what) stage.do(what); });
by("undo").addEventListener("click", undo);
by("skip").addEventListener("click", skip);
by("views").checked = localStorage.getItem("views") === "yes";
by("views").addEventListener("change", (event) => { localStorage.setItem("views", event.target.checked ? "yes" : "no"); by("view").hidden = true; });
addEventListener("pagehide", () => {
  const leases = [shown, ...ready].filter((part) => part && !part.said).map((part) => part.lease);
  if (leases.length) navigator.sendBeacon("/v1/review/back", new Blob([JSON.stringify({ inspector, leases })], { type: "application/json" }));
});
by("who").addEventListener("submit", (event) => {
  event.preventDefault();
  inspector = by("name").value.trim();
  localStorage.setItem("inspector", inspector);
  by("who").hidden = true;
  fill();
});

if (inspector) fill();
else { by("who").hidden = false; say("Your name stands beside your labels in the ledger."); }
outbox.send();
setInterval(fill, AGAIN);
setInterval(() => fill(true), RENEW);
