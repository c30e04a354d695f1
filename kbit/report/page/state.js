// State: what the reader chose, kept in the URL's hash so that a view can be linked. Defaults are left out of it.

const state = {
  defaults: new Map(),
  chosen: new Map(),
  listeners: [],

  get(key) {
    return this.chosen.get(key) ?? this.defaults.get(key);
  },
  getList(key) {
    return (this.get(key) ?? "").split("~").filter(Boolean);
  },
  set(key, value) {
    return this.setAll({ [key]: value });
  },
  // Several choices of one thing (all of a table, or all of the page) are one change.
  setAll(values) {
    for (const [key, value] of Object.entries(values)) {
      if (value === this.defaults.get(key)) this.chosen.delete(key);
      else this.chosen.set(key, value);
    }
    // Of a page inside another (a data: URL) nothing but the fragment may change.
    history.replaceState(null, "", this.hash() || location.href.split("#")[0]);
    return this.notify(Object.keys(values)[0]);
  },
  toggle(key, item) {
    const items = this.getList(key);
    const kept = items.includes(item) ? items.filter((other) => other !== item) : [...items, item].sort();
    return this.set(key, kept.join("~"));
  },
  hash() {
    const text = new URLSearchParams([...this.chosen].sort()).toString();
    return text && `#${text}`;
  },
  // Unknown keys stay in the map and do no harm; an unknown value falls back to the default where it is used.
  restore() {
    this.chosen = new Map(new URLSearchParams(location.hash.slice(1)));
    return this.notify(null);
  },
  notify(key) {
    return Promise.all(this.listeners.map((listener) => listener(key)));
  },
};

window.addEventListener("hashchange", () => state.restore());
