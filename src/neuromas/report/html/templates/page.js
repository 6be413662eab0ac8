"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const store = {
    get(key) { try { return sessionStorage.getItem("neuromas " + key); } catch { return null; } },
    set(key, value) { try { sessionStorage.setItem("neuromas " + key, value); } catch { /* a browser that keeps nothing */ } },
  };
  const make = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // ---- theme
  const THEMES = ["system", "light", "dark"];
  const theme = byId("theme");
  const dress = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    theme.textContent = "Theme: " + name;
    store.set("theme", name);
  };
  let worn = THEMES.includes(store.get("theme")) ? store.get("theme") : "system";
  theme.hidden = false;
  theme.addEventListener("click", () => {
    worn = THEMES[(THEMES.indexOf(worn) + 1) % THEMES.length];
    dress(worn);
  });
  dress(worn);

  // ---- where in the page the reader is
  const links = () => [...document.querySelectorAll("#nav a")];
  const locate = () => {
    const near = window.innerHeight * 0.3;
    let here = null;
    for (const section of document.querySelectorAll("main > section")) {
      if (section.getBoundingClientRect().top <= near) here = section.id;
    }
    if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2) {
      here = links().at(-1)?.hash.slice(1) ?? here;
    }
    for (const link of links()) {
      if (link.hash === "#" + here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; locate(); });
  }, { passive: true });

  // ---- the trace viewer
  const chosen = { run: 0, source: "items", outcome: "", label: "", search: "", item: "", step: 1, all: false, left: "", right: "" };
  let data = null;
  let listed = [];

  const run = () => data.runs[chosen.run];
  const pool = () => (chosen.source === "items" ? run().items : run().episodes);
  const keyOf = (one) => (chosen.source === "items" ? one.id : one.step + " " + one.id + " " + one.n);
  const current = () => listed.find((one) => keyOf(one) === chosen.item);
  const percent = (value) => (value === null || value === undefined ? "none" : String(Math.round(value * 1000) / 1000));
  const outcomeOf = (one) => {
    if (one.o) return one.o;
    if (one.f) return "failed";
    return one.c === null ? "not asked" : one.c === 1 ? "right" : one.c === 0 ? "wrong" : "partly right";
  };

  const fill = (select, options, value) => {
    select.replaceChildren(...options.map(([key, text]) => {
      const made = make("option", "", text);
      made.value = key;
      return made;
    }));
    select.value = options.some(([key]) => key === value) ? value : options[0]?.[0] ?? "";
    return select.value;
  };

  const counted = (values) => {
    const found = new Map();
    for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
    return found;
  };

  const ORDER = ["won", "lost", "tied right", "tied wrong", "right", "wrong", "partly right", "failed", "not asked"];
  const shell = () => {
    fill(byId("trace-run"), data.runs.map((one, place) => [String(place), one.name]), String(chosen.run));
    byId("trace-run").parentElement.hidden = data.runs.length < 2;
    if (!run().items.length) chosen.source = "episodes";
    if (!run().episodes.length) chosen.source = "items";
    for (const option of byId("trace-source").options) option.disabled = !run()[option.value].length;
    byId("trace-source").value = chosen.source;
    const kinds = counted(pool().map(outcomeOf));
    const outcomes = ORDER.filter((kind) => kinds.has(kind)).map((kind) => [kind, kind + " (" + kinds.get(kind) + ")"]);
    chosen.outcome = fill(byId("trace-outcome"), [["", "all (" + pool().length + ")"], ...outcomes], chosen.outcome);
    const golds = [...counted(pool().map((one) => one.g)).entries()].sort((a, b) => b[1] - a[1]).slice(0, 200);
    const few = golds.length > 1 && golds.length < pool().length;
    chosen.label = fill(byId("trace-label"), [["", "all"], ...(few ? golds.map(([gold, n]) => [gold, gold.slice(0, 40) + " (" + n + ")"]) : [])], chosen.label);
    byId("trace-label").parentElement.hidden = !few;
    const sides = run().sides.map((side, place) => [String(place), side.title + (side.shape ? " (" + side.shape + ")" : "")]);
    const named = (name) => String(run().sides.findIndex((side) => side.name === name));
    const first = named("test-before") === "-1" ? "" : named("test-before");
    const last = named("test-after") === "-1" ? (sides.at(-1) ?? [""])[0] : named("test-after");
    const other = first === last ? "" : first;
    chosen.right = fill(byId("trace-right"), sides, chosen.right || last);
    chosen.left = fill(byId("trace-left"), [["none", "nothing"], ...sides], chosen.left || other || "none");
    byId("trace-left").closest(".sides").hidden = chosen.source !== "items" || sides.length < 2;
    for (const drawing of document.querySelectorAll(".trace-drawing")) drawing.hidden = drawing.dataset.run !== String(chosen.run);
  };

  const matches = (one) => {
    if (chosen.outcome && outcomeOf(one) !== chosen.outcome) return false;
    if (chosen.label && one.g !== chosen.label) return false;
    if (!chosen.search) return true;
    const said = one.s ? Object.values(one.s).flatMap((side) => [...side.m, side.a ?? ""]) : one.m;
    return [one.q, one.g, one.id, ...said].some((text) => text.toLowerCase().includes(chosen.search.toLowerCase()));
  };

  const list = () => {
    listed = pool().filter(matches);
    const box = byId("trace-list");
    box.replaceChildren(...listed.map((one, place) => {
      const row = make("li");
      row.id = "option-" + place;
      row.setAttribute("role", "option");
      row.dataset.place = place;
      const kind = outcomeOf(one);
      row.append(make("span", "tag " + kind.split(" ")[0], chosen.source === "items" ? kind : "step " + one.step + (kind === "right" ? " ✓" : "")));
      row.append(make("span", "", one.q));
      row.title = one.q.slice(0, 300);
      return row;
    }));
    const whole = chosen.source === "items" ? run().total : run().episodesTotal;
    const what = chosen.source === "items" ? " questions" : " episodes";
    byId("trace-count").textContent = listed.length + " of " + pool().length + what + (pool().length < whole ? " shown here (" + whole + " in all)" : "");
    if (!current()) chosen.item = listed.length ? keyOf(listed[0]) : "";
    pick(chosen.item, false);
  };

  // never `disabled`: a button that has the focus would lose it, and the keys with it
  const able = (id, yes) => byId(id).setAttribute("aria-disabled", String(!yes));

  const pick = (key, scroll = true) => {
    chosen.item = key;
    const box = byId("trace-list");
    box.removeAttribute("aria-activedescendant");
    for (const row of box.children) {
      const mine = keyOf(listed[row.dataset.place]) === key;
      row.setAttribute("aria-selected", String(mine));
      if (!mine) continue;
      box.setAttribute("aria-activedescendant", row.id);
      if (scroll) {
        const above = row.offsetTop - box.offsetTop;
        if (above < box.scrollTop) box.scrollTop = above;
        else if (above + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = above + row.offsetHeight - box.clientHeight;
      }
    }
    const place = listed.findIndex((one) => keyOf(one) === key);
    able("trace-prev", place > 0);
    able("trace-next", place >= 0 && place < listed.length - 1);
    show();
  };

  const move = (by) => {
    const place = listed.findIndex((one) => keyOf(one) === chosen.item) + by;
    if (place >= 0 && place < listed.length) pick(keyOf(listed[place]));
  };

  const steps = () => run().layers.length + 1;
  const step = (to) => {
    chosen.step = Math.max(0, Math.min(to, steps()));
    chosen.all = false;
    show();
  };

  const verdict = (text, value) => {
    const made = make("span", "", text + " ");
    made.append(make("b", "", value));
    return made;
  };

  const head = (one) => {
    const box = byId("trace-head");
    box.replaceChildren(make("p", "asked", one.q));
    const line = make("p", "verdict");
    line.append(verdict("gold", one.g || "–"), verdict("outcome", outcomeOf(one)));
    if (chosen.source === "episodes") {
      line.append(verdict("reward", percent(one.c)));
      if (one.w.length) line.append(verdict("rewards of its group", one.w.map(percent).join(", ")));
    } else {
      for (const place of [chosen.left, chosen.right]) {
        const side = one.s[place];
        if (side) line.append(verdict(run().sides[place].title, percent(side.c)));
      }
    }
    line.append(verdict("id", one.id));
    box.append(line);
    const failures = chosen.source === "episodes" ? [["", one.f]] : [chosen.left, chosen.right].map((place) => [run().sides[place]?.title + ": ", one.s[place]?.f]);
    for (const [when, failure] of failures) {
      if (failure) box.append(make("p", "note warn", when + "failed: " + failure));
    }
  };

  const fold = (key, title, text) => {
    const made = make("details");
    made.dataset.key = key;
    made.append(make("summary", "", title));
    const body = make("pre", "", text);
    body.tabIndex = 0;
    made.append(body);
    made.open = opened.has(key);
    made.addEventListener("toggle", () => (made.open ? opened.add(key) : opened.delete(key)));
    return made;
  };
  const opened = new Set();

  const said = (title, side, row, why, changed) => {
    const box = make("div", "said" + (changed ? " changed" : ""));
    const message = row === null || !side ? undefined : side.m[row];
    const counts = [];
    if (message !== undefined && side.t && typeof side.t[row] === "number") counts.push(side.t[row] + " tokens");
    if (message !== undefined && side.x && side.x[row]) counts.push("cut off at its budget");
    if (message !== undefined && side.v && typeof side.v[row] === "number") counts.push("advantage " + side.v[row].toFixed(3));
    box.append(make("p", "", [title, ...counts].join(" · ")));
    if (message === undefined) {
      box.append(make("p", "absent", why || (side ? "never spoke" : "not in this evaluation")));
      return box;
    }
    const body = make("pre", "message", message === "" ? "(an empty message)" : message);
    body.tabIndex = 0;
    box.append(body);
    if (side.u && side.u[row]) box.append(fold("output " + title, "What its program printed", side.u[row]));
    if (side.p && side.p[row]) box.append(fold("prompt " + title, "What it read", side.p[row]));
    return box;
  };

  const speaker = (one, row) => {
    const box = make("article", "speaker");
    const name = run().nodes[row];
    const layer = run().layers.findIndex((rows) => rows.includes(row)) + 1;
    const title = make("h3", "", name + " ");
    const reads = run().reads[row];
    title.append(make("span", "", "layer " + layer + " of " + run().layers.length + (reads.length ? ", reads " + reads.join(", ") : "")));
    box.append(title);
    const pair = make("div", "pair");
    if (chosen.source === "episodes") {
      pair.classList.add("one");
      pair.append(said("written in training, step " + one.step, one, one.m.length > row ? row : null, "the network had fewer nodes then, or it never spoke"));
      box.append(pair);
      return box;
    }
    const shown = [chosen.left, chosen.right].filter((place) => place !== "none");
    const texts = [];
    for (const place of shown) {
      const side = run().sides[place];
      const at = side.rows ? side.rows[row] : one.s[place]?.m.length === run().nodes.length ? row : null;
      texts.push(at === null ? null : one.s[place]?.m[at]);
    }
    shown.forEach((place, turn) => {
      const side = run().sides[place];
      const at = side.rows ? side.rows[row] : one.s[place]?.m.length === run().nodes.length ? row : null;
      const why = at === null ? (side.why[row] || "not known: the network of this evaluation was not kept") : "";
      pair.append(said(side.title, one.s[place], at, why, turn === 1 && texts[0] !== texts[1]));
    });
    if (shown.length < 2) pair.classList.add("one");
    box.append(pair);
    return box;
  };

  const ending = (one) => {
    const box = make("article", "speaker");
    box.append(make("h3", "", "answer"));
    const pair = make("div", "pair");
    const sides = chosen.source === "episodes" ? [["written in training", one]] : [chosen.left, chosen.right].filter((place) => place !== "none").map((place) => [run().sides[place].title, one.s[place]]);
    for (const [title, side] of sides) {
      const made = make("div", "said");
      made.append(make("p", "", title));
      if (!side) made.append(make("p", "absent", "not in this evaluation"));
      else {
        const parsed = side.a === undefined ? (side.m.at(-1) ?? "").trim() : side.a;
        made.append(make("pre", "", parsed === null ? "(nothing that could be understood)" : parsed));
        const rest = ["score " + percent(side.c), "gold " + (one.g || "–")];
        if (side.r !== null && side.r !== undefined) rest.push("reward " + percent(side.r));
        made.append(make("p", "", rest.join(" · ")));
        if (side.f) made.append(make("p", "note warn", "failed: " + side.f));
      }
      pair.append(made);
    }
    if (sides.length < 2) pair.classList.add("one");
    box.append(pair);
    return box;
  };

  // what a node wrote stands in its box once its layer has spoken; before, how long its messages are
  const written = (drawing) => {
    const one = current();
    const side = one && (chosen.source === "episodes" ? one : one.s[chosen.right]);
    const past = chosen.source === "episodes" ? null : run().sides[chosen.right]?.rows;
    run().layers.forEach((rows, layer) => rows.forEach((row) => {
      const line = drawing.querySelector('.box[data-row="' + row + '"] .note-line');
      if (!line) return;
      line.dataset.length ??= line.textContent;
      const at = past ? past[row] : row;
      const message = chosen.all || chosen.step > layer ? side?.m[at]?.trim() : undefined;
      const room = Math.floor(Number(line.parentElement.querySelector("rect").getAttribute("width")) / 6.5);
      line.textContent = message ? "“" + (message.length > room ? message.slice(0, room - 1) + "…" : message) + "”" : line.dataset.length;
    }));
  };

  const light = () => {
    const drawing = document.querySelector('.trace-drawing[data-run="' + chosen.run + '"] svg');
    if (!drawing) return;
    const layers = run().layers;
    const lit = chosen.step === 0 ? [-1] : chosen.step > layers.length ? [-2] : layers[chosen.step - 1];
    drawing.classList.toggle("stepping", !chosen.all);
    for (const box of drawing.querySelectorAll(".box")) box.classList.toggle("now", lit.includes(Number(box.dataset.row)));
    for (const edge of drawing.querySelectorAll(".edge")) {
      edge.classList.toggle("heard", edge.dataset.to !== "" && lit.includes(Number(edge.dataset.to)));
    }
    written(drawing);
    const wide = drawing.parentElement;
    const now = drawing.querySelector(".box.now");
    if (now && wide.scrollWidth > wide.clientWidth) {
      const [seen, at] = [wide.getBoundingClientRect(), now.getBoundingClientRect()];
      wide.scrollLeft += at.left - seen.left - (seen.width - at.width) / 2;
    }
  };

  const show = () => {
    const one = current();
    const box = byId("trace-exchange");
    able("step-back", chosen.step > 0 && !chosen.all);
    able("step-next", chosen.step < steps() && !chosen.all);
    byId("step-all").setAttribute("aria-pressed", String(chosen.all));
    chosen.step = Math.min(chosen.step, steps());
    const layers = run().layers;
    byId("step-now").textContent = chosen.all ? "all layers" : chosen.step === 0 ? "question" : chosen.step > layers.length ? "answer" : "layer " + chosen.step + " of " + layers.length;
    light();
    if (!one) {
      byId("trace-head").replaceChildren(make("p", "asked", listed.length ? "" : "No question matches."));
      box.replaceChildren();
      return;
    }
    head(one);
    if (chosen.all) box.replaceChildren(...layers.flat().map((row) => speaker(one, row)), ending(one));
    else if (chosen.step === 0) box.replaceChildren(make("p", "small", "Every node that reads the question is drawn with a dashed curve. Step forward to read what the first layer writes."));
    else if (chosen.step > layers.length) box.replaceChildren(ending(one));
    else box.replaceChildren(...layers[chosen.step - 1].map((row) => speaker(one, row)));
    store.set("chosen " + document.title, JSON.stringify(chosen));
  };

  const redraw = () => { shell(); list(); };
  const choose = (id, key, reset) => byId(id).addEventListener("input", (event) => {
    chosen[key] = key === "run" ? Number(event.target.value) : event.target.value;
    if (reset) Object.assign(chosen, { outcome: "", label: "", item: "", ...(key === "run" ? { left: "", right: "", step: 1 } : {}) });
    redraw();
  });

  const viewer = () => {
    const source = byId("trace-data");
    if (!source) return;
    data = JSON.parse(source.textContent);
    for (const one of data.runs) one.episodes.forEach((episode, place) => { episode.n = place; });
    if (chosen.run >= data.runs.length) chosen.run = 0;
    choose("trace-run", "run", true);
    choose("trace-source", "source", true);
    choose("trace-outcome", "outcome");
    choose("trace-label", "label");
    choose("trace-search", "search");
    choose("trace-left", "left");
    choose("trace-right", "right");
    byId("trace-search").value = chosen.search;
    byId("trace-list").addEventListener("click", (event) => {
      const row = event.target.closest("li");
      if (row) pick(keyOf(listed[row.dataset.place]));
    });
    byId("trace-prev").addEventListener("click", () => move(-1));
    byId("trace-next").addEventListener("click", () => move(1));
    byId("step-back").addEventListener("click", () => { if (!chosen.all) step(chosen.step - 1); });
    byId("step-next").addEventListener("click", () => { if (!chosen.all) step(chosen.step + 1); });
    byId("step-all").addEventListener("click", () => { chosen.all = !chosen.all; show(); });
    byId("viewer").addEventListener("keydown", keys);
    byId("viewer").hidden = false;
    redraw();
  };

  const keys = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(SELECT|INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
    const scrolls = event.target.tagName === "PRE" || event.target.classList.contains("wide");
    const jump = { Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "ArrowLeft" && !scrolls) step(chosen.step - 1);
    else if (event.key === "ArrowRight" && !scrolls) step(chosen.step + 1);
    else if (event.key === "ArrowUp" && !scrolls) move(-1);
    else if (event.key === "ArrowDown" && !scrolls) move(1);
    else if (jump !== undefined && event.target.id === "trace-list" && listed.length) pick(keyOf(jump < 0 ? listed[0] : listed.at(-1)));
    else return;
    event.preventDefault();
  };

  // ---- a page that is served while a run is written
  const swap = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const main = byId("main");
    const focused = document.activeElement?.id;
    const open = new Set([...document.querySelectorAll("details[open][id]")].map((one) => one.id));
    const scrolled = byId("trace-list")?.scrollTop ?? 0;
    // what stands at the top of the window stays there, however much changes above it
    const anchor = [...main.children].find((part) => part.getBoundingClientRect().bottom > 0)?.id;
    const offset = anchor ? byId(anchor).getBoundingClientRect().top : 0;
    let changed = false;
    let traces = false;
    let last = main.querySelector(":scope > noscript");
    const names = new Set();
    for (const part of fresh.querySelectorAll("#main > [data-part]")) {
      names.add(part.id);
      let there = byId(part.id);
      if (!there || there.dataset.part !== part.dataset.part) {
        const put = document.adoptNode(part);
        if (there) there.replaceWith(put);
        else last.after(put);
        for (const one of put.querySelectorAll("details[id]")) one.open = open.has(one.id);
        traces ||= put.id === "traces";
        changed = true;
        there = put;
      }
      last = there;
    }
    for (const part of main.querySelectorAll(":scope > [data-part]")) {
      if (!names.has(part.id)) { part.remove(); changed = true; }
    }
    if (!changed) return;
    byId("nav").replaceChildren(...fresh.getElementById("nav").childNodes);
    for (const name of ["h1", ".subtitle"]) document.querySelector(name).textContent = fresh.querySelector(name).textContent;
    if (traces) {
      viewer();
      if (byId("trace-list")) byId("trace-list").scrollTop = scrolled;
    }
    if (anchor && byId(anchor)) window.scrollBy({ top: byId(anchor).getBoundingClientRect().top - offset, behavior: "instant" });
    if (focused && document.activeElement?.id !== focused) byId(focused)?.focus({ preventScroll: true });
    locate();
  };

  const watch = () => {
    const sign = byId("live");
    let mark = null;
    const ask = async () => {
      if (!document.hidden) {
        try {
          const answer = await fetch(location.pathname, { cache: "no-store", headers: mark ? { "If-None-Match": mark } : {} });
          if (answer.status === 200) {
            mark = answer.headers.get("ETag");
            swap(await answer.text());
          } else if (answer.status !== 304) throw new Error(String(answer.status));
          sign.textContent = "live";
          sign.classList.remove("lost");
        } catch {
          sign.textContent = "no longer served";
          sign.classList.add("lost");
        }
      }
      setTimeout(ask, 2000);
    };
    setTimeout(ask, 2000);
  };

  // ---- on paper everything is open, and the chosen question is told whole
  let folded = [];
  let alone = false;
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")].filter((one) => !one.closest("#trace-exchange"));
    for (const one of folded) one.open = true;
    if (!data || !current()) return;
    alone = !chosen.all;
    chosen.all = true;
    show();
    const place = listed.findIndex((one) => keyOf(one) === chosen.item) + 1;
    byId("trace-head").prepend(make("p", "small", "Printed: number " + place + " of " + listed.length + " listed."));
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
    if (!data || !current()) return;
    chosen.all = !alone;
    show();
  });

  try { Object.assign(chosen, JSON.parse(store.get("chosen " + document.title) ?? "{}")); } catch { /* of another page */ }
  viewer();
  locate();
  if (document.documentElement.dataset.live) watch();
})();
