/** The sidebar on narrow screens: a drawer over the page that keeps the focus while it is open. */

const NARROW = "(max-width: 800px)";

export class Sidebar {
  constructor(drawer, opener, closer, backdrop, main) {
    Object.assign(this, { drawer, opener, closer, backdrop, main });
    opener.addEventListener("click", () => this.open());
    closer.addEventListener("click", () => this.close());
    backdrop.addEventListener("click", () => this.close());
    this.narrow = matchMedia(NARROW);
    this.narrow.addEventListener("change", () => this.#set(false));
    this.#set(false);
  }

  get isOpen() {
    return this.drawer.classList.contains("is-open");
  }

  open() {
    this.#set(true);
    this.closer.focus();
  }

  close() {
    if (!this.isOpen) return;
    this.#set(false);
    this.opener.focus();
  }

  #set(isOpen) {
    this.drawer.classList.toggle("is-open", isOpen);
    this.drawer.inert = this.narrow.matches && !isOpen;
    this.main.inert = isOpen;
    this.backdrop.hidden = !isOpen;
    this.opener.setAttribute("aria-expanded", String(isOpen));
  }
}
