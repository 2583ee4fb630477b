// Opens the card of an image over the page. Without this script the same links lead to the same cards.
(() => {
  "use strict";
  const dialog = document.createElement("dialog");
  dialog.className = "card";
  document.body.append(dialog);
  let current = null; // the place on a sheet whose card is open

  const thumbs = () => [...current.closest("figure").querySelectorAll("a.thumb")];
  const along = (step) => thumbs()[thumbs().indexOf(current) + step];
  const across = (step) => {
    const here = current.getBoundingClientRect();
    const column = thumbs().filter((thumb) => {
      const there = thumb.getBoundingClientRect();
      return Math.abs(there.left - here.left) < here.width / 2 && (there.top - here.top) * step > here.height / 2;
    });
    return step > 0 ? column[0] : column.at(-1);
  };

  const show = (thumb) => {
    if (!thumb) return;
    current = thumb;
    const card = document.getElementById(thumb.hash.slice(1)).cloneNode(true);
    const heading = card.querySelector("h3");
    heading.id = "card";
    heading.tabIndex = -1;
    dialog.replaceChildren(...card.childNodes);
    dialog.setAttribute("aria-labelledby", heading.id);
    const steps = { prev: along(-1), next: along(1) };
    for (const [rel, there] of Object.entries(steps)) {
      const link = dialog.querySelector(`[rel=${rel}]`);
      if (link) link.hidden = !there;
    }
    if (!dialog.open) dialog.showModal();
    heading.focus();
  };

  const KEYS = {
    ArrowLeft: () => along(-1), ArrowRight: () => along(1), ArrowUp: () => across(-1), ArrowDown: () => across(1),
  };
  dialog.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(KEYS[event.key]());
  });
  dialog.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link && !link.matches("[rel], .close")) return dialog.close(); // on to another place of the page
    if (link) event.preventDefault();
    if (link && link.rel) return show(link.rel === "prev" ? along(-1) : along(1));
    if (link || event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => current.focus());

  document.addEventListener("click", (event) => {
    const thumb = event.target.closest("a.thumb");
    if (!thumb || event.button || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(thumb);
  });
  const linked = /^#i\d+$/.test(location.hash) && document.querySelector(`a.thumb[href="${location.hash}"]`);
  if (linked) {
    location.hash = linked.id;
    show(linked);
  }
})();
