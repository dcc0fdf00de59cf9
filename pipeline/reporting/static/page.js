// All that can be read can be read without this. With it, the list of clients follows as one types,
// and a file can be dropped onto the page.
"use strict";

const PAUSE = 200; // milliseconds after the last key
const SILENT = "The server does not answer. Try again in a moment.";

// The part of a page that the server answers with, or why it does not; null if it says nothing.
async function fetched(mark, url, asked = {}) {
  try {
    const answer = await fetch(url, { ...asked, headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return page.querySelector(mark) ?? page.querySelector("[data-result]");
  } catch {
    return null; // it is gone, or the line is
  }
}

// --- the list of clients ---

const clients = document.querySelector("[data-clients]");
const form = clients?.querySelector("form");

let asked = 0; // answers that come after a later one's are not shown
let shown = location.search;

async function show(query) {
  const mine = ++asked;
  const found = await fetched("[data-clients]", `clients${query}`);
  if (mine !== asked) return false;
  const listed = Boolean(found?.matches("[data-clients]"));
  if (listed) replace(found);
  else clients.querySelector(".found").textContent = found?.textContent ?? SILENT;
  shown = query;
  return listed;
}

function replace(found) {
  const focused = document.activeElement;
  const within = focused.closest(".scroll, .pages") && clients.contains(focused);
  for (const name of [".found", ".these", ".scroll", ".pages"]) {
    const [before, now] = [clients.querySelector(name), found.querySelector(name)];
    if (before && now) before.replaceChildren(...now.childNodes);
    else if (before) before.remove();
    else if (now) clients.append(now);
  }
  if (within && !focused.isConnected) {
    const again = [...clients.querySelectorAll("thead a, .pages a")];
    const same = again.find((link) => link.textContent === focused.textContent);
    (same ?? clients.querySelector(".scroll"))?.focus({ preventScroll: true });
  }
}

function wanted() {
  const given = [...new FormData(form)].filter(
    ([name, value]) => value && !(name === "sort" && value === "risk"),
  );
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function address(query) {
  return `${query || location.pathname}#clients`;
}

function fillForm(query) {
  const asked = new URLSearchParams(query);
  for (const field of form.querySelectorAll("select, [type=search]")) {
    field.value = asked.get(field.name) ?? { sort: "risk", contact: "yes" }[field.name] ?? "";
  }
}

if (clients) {
  let waiting;
  const search = () => {
    clearTimeout(waiting);
    const query = wanted();
    history.replaceState(null, "", address(query));
    show(query);
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, PAUSE);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  clients.addEventListener("click", async (event) => {
    const link = event.target.closest("thead a, .pages a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    clearTimeout(waiting);
    const query = new URL(link.href).search;
    history.pushState(null, "", address(query));
    fillForm(query);
    if (await show(query)) clients.querySelector("h2").scrollIntoView();
  });
  addEventListener("popstate", () => {
    if (location.search === shown) return; // only to another part of the page
    fillForm(location.search);
    show(location.search);
  });
}

// --- a file to score ---

const drop = document.querySelector("[data-drop]");

let scored = 0;

async function score() {
  const mine = ++scored;
  const place = document.querySelector("[data-scored]");
  place.textContent = "Scoring …";
  const sent = { method: "POST", body: new FormData(drop) };
  const result = await fetched("[data-result]", drop.action, sent);
  if (mine !== scored) return; // of a file chosen before
  place.replaceChildren(result ?? SILENT);
  drop.closest("section").scrollIntoView(); // there is room for it only now
}

if (drop) {
  drop.addEventListener("submit", (event) => {
    if (event.submitter?.value === "csv") return; // the browser's own download
    event.preventDefault();
    score();
  });
  // anywhere on the page: beside the frame, the browser would leave it to show the file
  for (const name of ["dragover", "dragleave", "drop"]) {
    addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
    });
  }
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    drop.elements.file.files = event.dataTransfer.files;
    score();
  });
}
