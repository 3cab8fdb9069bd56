/** The question box: sending, stopping, growing with its text, and keeping a draft over a reload. */

const DRAFT_KEY = "parley.draft";
const IME_KEY_CODE = 229;
const MAX_HEIGHT_PX = 220;

/** Events: `send` (with the text), `stop`. */
export class Composer extends EventTarget {
  #isAnswering = false;

  constructor({ form, field, send, stop }) {
    super();
    Object.assign(this, { form, field, send, stop });
    // What was typed while the page was still loading stays.
    field.value ||= sessionStorage.getItem(DRAFT_KEY) ?? "";
    field.addEventListener("input", () => this.#changed());
    field.addEventListener("keydown", (event) => this.#pressed(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    stop.addEventListener("click", () => this.dispatchEvent(new Event("stop")));
    this.#changed();
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }

  /** While the open conversation is being answered, Stop stands in the place of Send. */
  setAnswering(isAnswering) {
    const hadFocus = document.activeElement === this.stop;
    this.#isAnswering = isAnswering;
    this.send.hidden = isAnswering;
    this.stop.hidden = !isAnswering;
    if (hadFocus && !isAnswering) this.focus();
    this.#changed();
  }

  #submit() {
    const text = this.field.value.trim();
    if (text === "" || this.#isAnswering) return;
    this.field.value = "";
    this.#changed();
    this.dispatchEvent(new CustomEvent("send", { detail: text }));
  }

  #pressed(event) {
    const isComposing = event.isComposing || event.keyCode === IME_KEY_CODE;
    if (event.key !== "Enter" || event.shiftKey || isComposing) return;
    event.preventDefault();
    this.#submit();
  }

  #changed() {
    const { field } = this;
    this.send.disabled = field.value.trim() === "";
    field.style.height = "auto";
    field.style.height = `${Math.min(MAX_HEIGHT_PX, field.scrollHeight)}px`;
    sessionStorage.setItem(DRAFT_KEY, field.value);
  }
}
