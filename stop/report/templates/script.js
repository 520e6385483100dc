// The tree of programs, the panel next to it, and the coloured changes of the story. Texts are
// hostile: they become text nodes, never markup. Numbers, words and colours come ready from Python
// (packing.py); without this script the page tells the same story in lists and plain texts.
(() => {
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const nodes = new Map(data.nodes.map((node) => [node.id, node]));
const texts = new Map(Object.entries(data.texts)); // by program id, the numbers of its lines
const tree = document.getElementById("tree");
const panel = document.getElementById("panel");
const CHUNK = 200;

// `about` is a class, "" for none, or attributes by their names.
function make(name, about, ...children) {
  const element = document.createElement(name);
  const attributes = typeof about === "string" ? { class: about } : about;
  for (const [key, value] of Object.entries(attributes)) if (value !== "") element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const short = (id) => id.slice(0, 10);
const badge = (level) => level ? make("span", "badge level-" + level, data.levels[level]) : null;

// A program's short id; a link where the program is in this file.
function link(id) {
  if (!nodes.has(id)) return short(id);
  return make("a", { class: "id", href: "#p-" + short(id), "data-program": id }, short(id));
}

// --- the tree: items are made when their branch is opened

const children = new Map();
const grouped = new Set(data.groups.flatMap((group) => group.members));
for (const node of data.nodes) {
  if (node.parent && nodes.has(node.parent) && !grouped.has(node.id)) {
    if (!children.has(node.parent)) children.set(node.parent, []);
    children.get(node.parent).push(node.id);
  }
}
const groups = new Map();
for (const group of data.groups) {
  const owner = group.owner || "";
  if (!groups.has(owner)) groups.set(owner, []);
  groups.get(owner).push(group);
}
const state = new WeakMap(); // treeitem -> {id, branch, opened}
const items = new Map(); // program id -> treeitem
let current = null; // the item that has the focus, or would get it
let chosen = null; // the program in the panel
let pinned = null; // compared with
let tab = "text";

function branchOf(id) {
  const made = (children.get(id) || []).map((child) => ({ id: child }));
  return made.concat((groups.get(id) || []).map((group) => ({ group })));
}

function item(what, level) {
  const branch = what.group ? what.group.members.map((id) => ({ id, inside: true }))
    : what.inside ? [] : branchOf(what.id);
  const row = make("div", "row", make("span", "twist"));
  const element = make("li", { role: "treeitem", "aria-level": level, tabindex: -1 }, row);
  if (what.group) {
    const { label, count, members } = what.group;
    const shown = members.length < count ? members.length + " of " + count.toLocaleString("en") : String(count);
    row.append(make("span", ""), make("span", "what", label), make("span", "score", shown));
  } else {
    fillRow(row, nodes.get(what.id));
    element.setAttribute("aria-selected", String(what.id === chosen));
    if (!items.has(what.id)) items.set(what.id, element);
  }
  if (branch.length) element.setAttribute("aria-expanded", "false");
  state.set(element, { id: what.id || null, branch, level, opened: false });
  return element;
}

function fillRow(row, node) {
  const failed = node.status && node.status !== "ok";
  const [sign, name] = failed ? ["×", "failed"] : node.accepted ? ["●", "accepted"] : ["○", "tried"];
  const glyph = make("span", { class: "glyph " + name, role: "img", "aria-label": name }, sign);
  const label = make("span", "", make("span", "id", short(node.id)), " ");
  if (node.best) label.append(make("span", "star", "best"), " ");
  if (node.label) label.append(make("span", "what", node.label), " ");
  if (failed) label.append(make("span", "what", node.status), " ");
  if (node.level) label.append(badge(node.level));
  row.append(glyph, label, make("span", "score", node.score));
}

function grow(list, branch, level, from) {
  for (const what of branch.slice(from, from + CHUNK)) list.append(item(what, level));
  const left = branch.length - from - CHUNK;
  if (left <= 0) return;
  const more = item({ group: { label: "show " + Math.min(CHUNK, left) + " more", members: [], count: left } }, level);
  more.addEventListener("more", () => {
    more.remove();
    const before = list.children.length;
    grow(list, branch, level, from + CHUNK);
    focusItem(list.children[before]);
  });
  list.append(more);
}

function open(element, whether) {
  const known = state.get(element);
  if (!known.branch.length) return;
  if (whether && !known.opened) {
    known.opened = true;
    const list = make("ul", { role: "group" });
    grow(list, known.branch, known.level + 1, 0);
    element.append(list);
  }
  element.setAttribute("aria-expanded", String(whether));
  const list = element.querySelector(":scope > [role=group]");
  if (list) list.hidden = !whether;
}

const isOpen = (element) => element.getAttribute("aria-expanded") === "true";
const shown = () => [...tree.querySelectorAll("[role=treeitem]")].filter((each) => !each.closest("[hidden]"));

function focusItem(element) {
  if (!element) return;
  if (current) current.tabIndex = -1;
  current = element;
  element.tabIndex = 0;
  element.focus();
}

function act(element, byPointer) {
  const known = state.get(element);
  if (known.id) {
    choose(known.id);
    if (byPointer && matchMedia("(max-width: 46rem)").matches) panel.scrollIntoView();
  } else if (known.branch.length) {
    open(element, !isOpen(element));
  } else {
    element.dispatchEvent(new Event("more"));
  }
}

tree.addEventListener("click", (event) => {
  const element = event.target.closest("[role=treeitem]");
  if (!element) return;
  focusItem(element);
  if (event.target.closest(".twist") && state.get(element).branch.length) open(element, !isOpen(element));
  else act(element, true);
});

tree.addEventListener("keydown", (event) => {
  const element = event.target.closest("[role=treeitem]");
  if (!element || event.ctrlKey || event.altKey || event.metaKey) return;
  const move = (by) => {
    const all = shown();
    focusItem(all[Math.max(0, Math.min(all.length - 1, all.indexOf(element) + by))]);
  };
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Home: () => focusItem(shown()[0]),
    End: () => focusItem(shown().at(-1)),
    ArrowRight: () => {
      if (!state.get(element).branch.length) return;
      if (isOpen(element)) move(1);
      else open(element, true);
    },
    ArrowLeft: () => {
      if (isOpen(element)) open(element, false);
      else focusItem(element.parentElement.closest("[role=treeitem]"));
    },
    Enter: () => act(element),
    " ": () => act(element),
  };
  if (!(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});

// Open every branch on the way to a program, so that its item exists.
function reveal(id) {
  const way = [];
  const seen = new Set();
  for (let at = id; at && nodes.has(at) && !seen.has(at); at = grouped.has(at) ? nodes.get(at).maker : nodes.get(at).parent) {
    way.unshift(at);
    seen.add(at);
  }
  for (const each of way.slice(0, -1)) if (items.has(each)) open(items.get(each), true);
  if (!items.has(id)) {
    for (const element of shown()) {
      const known = state.get(element);
      if (!known.id && known.branch.some((what) => what.id === id)) open(element, true);
    }
  }
  return items.get(id);
}

// --- the panel

function choose(id) {
  chosen = id;
  for (const each of tree.querySelectorAll("[aria-selected]")) each.setAttribute("aria-selected", String(state.get(each).id === id));
  show();
}

function fact(name, ...value) {
  return make("div", "", make("dt", "", name), make("dd", "", ...value));
}

function show(focusTab) {
  const node = nodes.get(chosen);
  const title = make("h3", { "aria-live": "polite" }, node.kind === "improver" ? "Improver " : "Solution ", make("span", "id", short(node.id)));
  if (node.best) title.append(" ", make("span", "star", "best"));
  if (node.level) title.append(" ", badge(node.level));
  const facts = make("dl", "facts");
  if (node.label) facts.append(fact("What", node.label));
  if (node.score) {
    const ends = node.interval ? " (" + node.interval + ")" : "";
    facts.append(fact(node.kind === "improver" ? "Meta-utility" : "Score", node.score + ends));
  }
  if (node.status && node.status !== "ok") facts.append(fact("Status", node.status));
  if (node.task) facts.append(fact("Task", node.task));
  if (node.parent) facts.append(fact("Made from", link(node.parent)));
  if (node.maker && node.maker !== node.parent) facts.append(fact("By improver", link(node.maker)));
  if (node.maker && node.maker === node.parent) facts.append(fact("By", "itself: this improver was applied to itself"));
  if (node.origin) facts.append(fact("Where its text is from", node.origin));
  if (node.fate) facts.append(fact("Outcome", node.fate));

  const tabs = make("div", { class: "tabs", role: "tablist", "aria-label": "About this program" });
  const parts = [["text", "Text", textOf], ["diff", "What changed", diffOf], ["scores", "Scores", scoresOf]];
  if (node.evidence.length) parts.push(["security", "Security", securityOf]);
  if (!parts.some(([name]) => name === tab)) tab = "text";
  for (const [name, label] of parts) {
    const button = make("button", {
      type: "button", id: "tab-" + name, role: "tab", "aria-selected": name === tab,
      "aria-controls": "tab-panel", tabindex: name === tab ? 0 : -1,
    }, label);
    button.addEventListener("click", () => { tab = name; show(true); });
    tabs.append(button);
  }
  tabs.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const at = parts.findIndex(([name]) => name === tab);
    tab = parts[(at + by + parts.length) % parts.length][0];
    show(true);
  });
  const body = make("div", { id: "tab-panel", role: "tabpanel", "aria-labelledby": "tab-" + tab },
    ...parts.find(([name]) => name === tab)[2](node));
  panel.replaceChildren(title, facts, tabs, body);
  if (focusTab) document.getElementById("tab-" + tab).focus();
}

function scrolling(classes, label, content) {
  return make("div", { class: classes, tabindex: 0, role: "region", "aria-label": label }, content);
}

// A line with its colours, which are letters with numbers of characters: "p4k6".
function coloured(number) {
  const characters = [...data.lines[number]];
  const made = [];
  for (const [, letter, size] of data.marks[number].matchAll(/([a-z])(\d+)/g)) {
    const part = characters.splice(0, Number(size)).join("");
    made.push(letter === "p" ? part : make("span", "h-" + letter, part));
  }
  return [...made, characters.join("")];
}

function textOf(node) {
  if (!texts.has(node.id)) return [absent(node)];
  const list = make("ol", "text");
  for (const number of texts.get(node.id)) list.append(make("li", "", ...coloured(number)));
  return [scrolling("code", "Program text", list)];
}

function absent(node) {
  return make("p", "aside", "The text of this program is not in this file. To read it: stop show RUN " + short(node.id));
}

function diffOf(node) {
  const bar = make("div", "compare");
  const select = make("select", "");
  const options = [[node.parent, "the program it was made from"], [data.roots[0], "the first program"]];
  const best = data.nodes.find((each) => each.best);
  if (best) options.push([best.id, "the best program"]);
  if (pinned) options.push([pinned, "the one kept in mind"]);
  const seen = new Set([node.id]);
  const possible = options.filter(([id]) => id && nodes.has(id) && !seen.has(id) && seen.add(id));
  for (const [id, words] of possible) {
    select.append(make("option", { value: id }, words + " (" + short(id) + ")"));
  }
  const keep = make("button", { class: "button", type: "button" },
    pinned === node.id ? "Kept in mind" : "Compare others with this one");
  keep.addEventListener("click", () => {
    pinned = pinned === node.id ? null : node.id;
    show();
    panel.querySelector(".compare .button").focus();
  });
  const result = make("div", "");
  if (possible.length) {
    if (pinned && pinned !== node.id) select.value = pinned;
    select.addEventListener("change", () => result.replaceChildren(...compareTexts(select.value, node.id)));
    bar.append(make("label", "", "Compared with ", select));
    result.append(...compareTexts(select.value, node.id));
  } else {
    result.append(make("p", "aside", "There is nothing to compare it with: the run began with it. Keep it in mind, and choose another program."));
  }
  bar.append(keep);
  return [bar, result];
}

// What changed, as [sign, place in old, place in fresh]: by a longest common subsequence of lines.
// Texts have 3,000 lines at most, see text.py, so that the table of its lengths stays small.
function compare(old, fresh) {
  let low = 0;
  while (low < Math.min(old.length, fresh.length) && old[low] === fresh[low]) low += 1;
  let [m, n] = [old.length, fresh.length];
  while (m > low && n > low && old[m - 1] === fresh[n - 1]) [m, n] = [m - 1, n - 1];
  const width = n - low + 1;
  const lengths = new Uint16Array((m - low + 1) * width);
  const at = (i, j) => (i - low) * width + j - low;
  for (let i = m - 1; i >= low; i -= 1) {
    for (let j = n - 1; j >= low; j -= 1) {
      lengths[at(i, j)] = old[i] === fresh[j] ? lengths[at(i + 1, j + 1)] + 1
        : Math.max(lengths[at(i + 1, j)], lengths[at(i, j + 1)]);
    }
  }
  const changes = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    const outside = i < low || (i >= m && j >= n);
    if (outside || (i < m && j < n && old[i] === fresh[j])) changes.push([" ", i++, j++]);
    else if (j >= n || (i < m && lengths[at(i + 1, j)] >= lengths[at(i, j + 1)])) changes.push(["−", i++, j]);
    else changes.push(["+", i, j++]);
  }
  return changes;
}

function compareTexts(old, fresh) {
  for (const id of [old, fresh]) if (!texts.has(id)) return [absent(nodes.get(id))];
  const sides = [texts.get(old), texts.get(fresh)];
  const changes = compare(...sides.map((numbers) => numbers.map((number) => data.lines[number])));
  const count = (sign) => changes.filter(([each]) => each === sign).length;
  if (!count("+") && !count("−")) return [make("p", "", "The texts are the same.")];
  const body = make("tbody", "");
  let last = -1;
  changes.forEach(([sign, i, j], place) => {
    const near = changes.slice(Math.max(0, place - 3), place + 4).some(([each]) => each !== " ");
    if (!near) return;
    if (last >= 0 && place > last + 1) {
      body.append(make("tr", "gap", make("td", "n"), make("td", "n"), make("td", "sign"), make("td", "", "⋯")));
    }
    last = place;
    body.append(make("tr", { "+": "added", "−": "removed", " ": "same" }[sign],
      make("td", "n", sign === "+" ? "" : String(i + 1)),
      make("td", "n", sign === "−" ? "" : String(j + 1)),
      make("td", "sign", sign),
      make("td", "line", ...coloured(sign === "−" ? sides[0][i] : sides[1][j]))));
  });
  return [
    make("p", "", make("span", "plus", "+" + count("+")), " ", make("span", "minus", "−" + count("−")), " lines"),
    scrolling("code", "What changed", make("table", "diff", headOf(["old line", "new line", "sign", "text"], "visually-hidden"), body)),
  ];
}

function headOf(names, classes, numeric = []) {
  const cells = names.map((name) => make("th", { class: numeric.includes(name) ? "num" : "", scope: "col" }, name));
  return make("thead", classes, make("tr", "", ...cells));
}

function tableOf(names, numeric, rows) {
  const body = make("tbody", "", ...rows.map((cells) =>
    make("tr", "", ...cells.map((cell, i) => make("td", numeric.includes(names[i]) ? "num" : "", cell)))));
  return scrolling("scroll", "Scores", make("table", "plain", headOf(names, "", numeric), body));
}

function scoresOf(node) {
  if (node.kind === "improver" && node.made.length) {
    const rows = node.made.map((each) => [each.task, each.repetition,
      each.result ? link(each.result) : "none", each.score]);
    return [
      make("p", "", "Its meta-utility is the mean over tasks of the mean over repetitions of these scores, on meta instances."),
      tableOf(["task", "repetition", "program it made", "score"], ["score"], rows),
    ];
  }
  if (!node.scores.length) {
    return [make("p", "aside", node.kind === "improver"
      ? "An improver has no scores of its own: its meta-utility is the mean score of the programs that it makes."
      : "No score of it is on record.")];
  }
  const rows = node.scores.map((each) => {
    const status = make("span", "", each.status);
    if (each.detail) status.append(make("small", "", each.detail));
    if (each.output) status.append(make("details", "", make("summary", "", "output"), make("pre", "answer", each.output)));
    const place = each.task + (each.repetition === "1" ? "" : " " + each.repetition);
    return [place, each.split, each.score, String(each.instances), status];
  });
  return [tableOf(["task", "split", "score", "instances", "status"], ["score", "instances"], rows)];
}

function securityOf(node) {
  return node.evidence.map((each) => {
    const facts = make("dl", "facts");
    if (each.seen.length) facts.append(fact("Seen", ...each.seen.map((text) => make("code", "", text))));
    facts.append(fact("Effect", each.effect));
    if (each.text.length) facts.append(fact("Its text", ...each.text.map((text) => make("code", "", text))));
    const what = each.what.slice(0, 1).toUpperCase() + each.what.slice(1);
    return make("div", "", make("h4", "", badge(each.level), " ", what, " ", make("small", "", each.how)), facts);
  });
}

// --- beginning

for (const place of document.querySelectorAll("[data-from]")) {
  const { from, to } = place.dataset;
  if (texts.has(from) && texts.has(to)) place.replaceChildren(...compareTexts(from, to));
}
for (const place of document.querySelectorAll("[data-text]")) {
  if (texts.has(place.dataset.text)) place.replaceChildren(...textOf(nodes.get(place.dataset.text)));
}
for (const root of data.roots) tree.append(item({ id: root }, 1));
for (const group of groups.get("") || []) tree.append(item({ group }, 1));

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[data-program]");
  if (!anchor || !nodes.has(anchor.dataset.program)) return;
  event.preventDefault();
  const id = anchor.dataset.program;
  choose(id);
  const element = reveal(id);
  if (element) focusItem(element);
  document.getElementById("programs").scrollIntoView();
  if (matchMedia("(max-width: 46rem)").matches) panel.scrollIntoView();
});

addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});

if (nodes.size) {
  document.getElementById("browser").hidden = false;
  document.getElementById("list").hidden = true;
  for (const each of document.querySelectorAll(".needs-script")) each.hidden = false;
  if (data.focus && nodes.has(data.focus)) {
    choose(data.focus);
    reveal(data.focus);
  }
  if (data.nodes.filter((node) => node.kind === "improver").length <= 60) {
    for (const node of data.nodes) if (children.has(node.id) && items.has(node.id)) open(items.get(node.id), true);
  }
  current = items.get(data.focus) || tree.firstElementChild;
  current.tabIndex = 0;
}
})();
