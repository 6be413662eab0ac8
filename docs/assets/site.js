// Tables that are wider than the page scroll; who uses the keyboard must be able to reach them to do so.
document$.subscribe(() => requestAnimationFrame(() => {
  for (const [index, wrap] of document.querySelectorAll(".md-typeset__scrollwrap").entries()) {
    if (wrap.scrollWidth > wrap.clientWidth) {
      wrap.tabIndex = 0;
      wrap.setAttribute("role", "region");
      wrap.setAttribute("aria-label", `Table ${index + 1}`);
    }
  }
}));
