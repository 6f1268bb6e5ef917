// Answers until the station has them on disk: kept in this browser, sent in order, each as often as it takes. The station knows the same
// answer again by its moment, so that nothing counts twice. Each has an entry of its own: what one tab sends, another cannot lose.
const PREFIX = "redrabbit answer ", WITHIN = 20000;

function read(key) {
  try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
}

export class Outbox {
  #sending = false;
  #told;
  #mine;

  // told(state): {waiting, offline, signedOut, refused} after each try. mine(answer): whether who is signed in here may send it; what
  // somebody else has left stays until he comes back.
  constructor(told, mine) {
    this.#told = told;
    this.#mine = mine;
    addEventListener("online", () => this.send());
    setInterval(() => this.send(), 3000);
  }

  #kept() {
    const all = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).map((key) => [key, read(key)]);
    return all.filter(([, answer]) => answer && this.#mine(answer)).sort(([, one], [, other]) => one.labelled_at - other.labelled_at);
  }

  get waiting() { return this.#kept().length; }

  put(answer) {
    localStorage.setItem(`${PREFIX}${answer.lease} ${answer.labelled_at}`, JSON.stringify(answer));
    return this.send();
  }

  async send() {
    if (this.#sending || !this.waiting) return;
    this.#sending = true;
    const state = { offline: false, signedOut: false, refused: "" };
    try {
      for (let [first] = this.#kept(); first; [first] = this.#kept()) {
        const [key, answer] = first;
        const reply = await fetch("/v1/review/answers", {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(answer), signal: AbortSignal.timeout(WITHIN),
        });
        state.signedOut = reply.status === 401;
        if (state.signedOut || reply.status >= 500 || reply.status === 429) { state.offline = !state.signedOut; break; }
        if (!reply.ok) { const said = await reply.json(); state.refused = String(said.reason ?? said.detail); }
        localStorage.removeItem(key);
      }
    } catch { state.offline = true; }
    this.#sending = false;
    this.#told({ ...state, waiting: this.waiting });
  }
}
