// Points that tell what they are, by pointer, finger and keys; and the switch between light and dark.
(() => {
  "use strict";
  const root = document.documentElement;
  const tip = document.getElementById("tip");
  const REACH = 26; // CSS pixels from a point at which it still counts as meant
  let shown = null;

  function place() {
    const at = shown.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const wide = root.clientWidth;
    const left = Math.min(Math.max(at.x + at.width / 2 - box.width / 2, 8), wide - box.width - 8);
    const above = at.y - box.height - 8;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${above > 8 ? above : at.bottom + 8}px`;
  }
  function show(spot) {
    if (shown) shown.classList.remove("on");
    shown = spot;
    tip.hidden = !spot;
    if (!spot) return;
    spot.classList.add("on");
    tip.textContent = spot.getAttribute("aria-label");
    place();
  }
  function focused() {
    return document.activeElement && document.activeElement.matches(".spots circle") ? document.activeElement : null;
  }
  function nearest(spots, event) {
    let best = null;
    let least = REACH * REACH;
    for (const spot of spots) {
      const at = spot.getBoundingClientRect();
      const x = at.x + at.width / 2 - event.clientX;
      const y = at.y + at.height / 2 - event.clientY;
      if (x * x + y * y < least) {
        least = x * x + y * y;
        best = spot;
      }
    }
    return best;
  }

  for (const group of document.querySelectorAll(".spots")) {
    const spots = [...group.children];
    const svg = group.ownerSVGElement;
    const frame = svg.parentElement; // an SVG element that listens for focus becomes a stop of the Tab key itself
    const lines = [...new Set(spots.map((spot) => spot.dataset.path))].map((path) =>
      spots.filter((spot) => spot.dataset.path === path)
    );
    for (const spot of spots) {
      spot.setAttribute("aria-label", spot.textContent);
      spot.setAttribute("role", "img");
      spot.setAttribute("tabindex", spot === spots[0] ? "0" : "-1");
      spot.replaceChildren(); // the browser's own tooltip would stand beside ours
    }
    function go(spot) {
      for (const other of spots) other.setAttribute("tabindex", other === spot ? "0" : "-1");
      spot.focus({ preventScroll: true });
      show(spot);
    }
    frame.addEventListener("focusin", (event) => show(event.target));
    frame.addEventListener("focusout", () => show(null));
    frame.addEventListener("keydown", (event) => {
      const spot = event.target;
      const line = lines.findIndex((own) => own.includes(spot));
      const column = lines[line].indexOf(spot);
      const number = spots.indexOf(spot);
      const beside = (step) => {
        const own = lines[(line + step + lines.length) % lines.length];
        return own[Math.min(column, own.length - 1)];
      };
      const next = {
        ArrowRight: () => spots[(number + 1) % spots.length],
        ArrowLeft: () => spots[(number - 1 + spots.length) % spots.length],
        ArrowDown: () => beside(1),
        ArrowUp: () => beside(-1),
        Home: () => spots[0],
        End: () => spots[spots.length - 1],
      }[event.key];
      if (event.key === "Escape") show(null);
      if (!next) return;
      event.preventDefault();
      go(next());
    });
    svg.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") show(nearest(spots, event) || focused());
    });
    svg.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") show(focused());
    });
    svg.addEventListener("click", (event) => {
      const spot = nearest(spots, event);
      if (spot) go(spot);
    });
  }
  addEventListener("scroll", () => shown && place(), { passive: true, capture: true });
  addEventListener("resize", () => show(null));

  const button = document.querySelector(".theme");
  const themes = ["auto", "light", "dark"];
  let theme = "auto";
  try {
    theme = localStorage.getItem("bezoar-theme") || "auto"; // a file opened from disk may have no storage
  } catch {}
  function use(name) {
    theme = themes.includes(name) ? name : "auto";
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.textContent = { auto: "Theme: automatic", light: "Theme: light", dark: "Theme: dark" }[theme];
  }
  use(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    use(themes[(themes.indexOf(theme) + 1) % themes.length]);
    try {
      localStorage.setItem("bezoar-theme", theme);
    } catch {}
  });
})();
