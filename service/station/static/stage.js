// The picture: zoom, move, contrast. Wheel, keys, buttons, two fingers.
const CONTRASTS = ["none", "contrast(1.6)", "contrast(2.4) brightness(1.3)", "contrast(2.4) brightness(.7)"];
const MOST = 12;

export class Stage {
  #zoom = 1; #x = 0; #y = 0; #contrast = 0; #fingers = new Map();

  constructor(box) {
    this.box = box;
    this.picture = null;
    box.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event); }, { passive: false });
    box.addEventListener("dblclick", (event) => (this.#zoom > 1 ? this.whole() : this.zoom(3, event)));
    box.addEventListener("pointerdown", (event) => { box.setPointerCapture(event.pointerId); this.#fingers.set(event.pointerId, event); });
    for (const end of ["pointerup", "pointercancel"]) box.addEventListener(end, (event) => this.#fingers.delete(event.pointerId));
    box.addEventListener("pointermove", (event) => this.#moved(event));
  }

  do(what) {
    ({ in: () => this.zoom(1.5), out: () => this.zoom(1 / 1.5), whole: () => this.whole(), contrast: () => this.contrast() })[what]();
  }

  // About a point of the window, or the middle.
  zoom(by, at) {
    const frame = this.box.getBoundingClientRect();
    const [px, py] = at ? [at.clientX - frame.x - frame.width / 2, at.clientY - frame.y - frame.height / 2] : [0, 0];
    const next = Math.min(MOST, Math.max(1, this.#zoom * by));
    this.#x = px - (px - this.#x) * (next / this.#zoom);
    this.#y = py - (py - this.#y) * (next / this.#zoom);
    this.#zoom = next;
    this.#draw();
  }

  move(x, y) { this.#x += x; this.#y += y; this.#draw(); }

  whole() { this.#zoom = 1; this.#x = this.#y = 0; this.#draw(); }

  contrast() { this.#contrast = (this.#contrast + 1) % CONTRASTS.length; this.#draw(); }

  // Another part, decoded already: whole again; the contrast stays, as the light does.
  show(picture) {
    this.#leave();
    this.picture = picture;
    this.box.replaceChildren(picture);
    this.whole();
  }

  // Nothing to see just now; the room stays, so that nothing jumps.
  clear() {
    this.#leave();
    this.picture = null;
    this.box.replaceChildren();
  }

  #leave() { if (this.picture) this.picture.style.transform = this.picture.style.filter = ""; }

  #moved(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const others = [...this.#fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
    if (others.length) {
      const far = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
      this.zoom(far(event, others[0]) / far(before, others[0]), event);
    } else this.move(event.clientX - before.clientX, event.clientY - before.clientY);
    this.#fingers.set(event.pointerId, event);
  }

  #draw() {
    if (!this.picture) return;
    const most = (this.#zoom - 1) / 2;
    const { width, height } = this.box.getBoundingClientRect();
    this.#x = Math.min(width * most, Math.max(-width * most, this.#x));
    this.#y = Math.min(height * most, Math.max(-height * most, this.#y));
    this.picture.style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#zoom})`;
    this.picture.style.filter = CONTRASTS[this.#contrast];
    this.box.classList.toggle("close", this.#zoom > 4);
  }
}
