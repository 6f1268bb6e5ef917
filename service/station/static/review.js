// One part after the other. The queue says nothing of verdict or score, so neither can this page.
"use strict";
const box = document.getElementById("review");
const by = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search).get("inspector");
let inspector = box.dataset.name || asked || localStorage.getItem("inspector") || "";
let part = null;
let sending = false;

function say(text) { by("status").textContent = text; }

function show(found) {
  part = found;
  by("stage").hidden = by("answers").hidden = !found;
  if (!found) return;
  by("picture").src = found.image;
  const answers = [...found.classes, "unsure"];
  by("answers").replaceChildren(...answers.map((label, index) => {
    const button = document.createElement("button");
    const key = label === "unsure" ? "u" : String(index + 1);
    button.dataset.key = key;
    button.textContent = label;
    const hint = document.createElement("kbd");
    hint.textContent = key;
    button.append(hint);
    button.addEventListener("click", () => answer(label));
    return button;
  }));
}

async function next() {
  try {
    const reply = await fetch(`/v1/queue?inspector=${encodeURIComponent(inspector)}`);
    const found = await reply.json();
    if (!reply.ok) throw new Error(found.detail);
    show(found.part_id ? found : null);
    say(found.part_id ? `${found.due} due` : "Nothing is due. This page looks again by itself.");
    if (!found.part_id) setTimeout(next, 3000);
  } catch (fault) {
    show(null);
    say(`The station does not answer (${fault.message}); trying again.`);
    setTimeout(next, 3000);
  }
}

async function answer(label) {
  if (!part || sending) return;
  sending = true;
  try {
    const reply = await fetch("/v1/labels", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ part_id: part.part_id, label, inspector }),
    });
    const receipt = await reply.json();
    if (!reply.ok) throw new Error(receipt.reason || receipt.detail);
    await next();
  } catch (fault) {
    say(`Not saved: ${fault.message}. Press again.`);
  } finally {
    sending = false;
  }
}

document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  document.querySelector(`#answers button[data-key="${CSS.escape(event.key)}"]`)?.click();
});

by("who").addEventListener("submit", (event) => {
  event.preventDefault();
  inspector = by("name").value.trim();
  localStorage.setItem("inspector", inspector);
  by("who").hidden = true;
  next();
});

if (inspector) next();
else { by("who").hidden = false; say("Your name stands beside your labels in the ledger."); }
