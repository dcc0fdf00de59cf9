// All that can be read can be read without this. With it, the list of clients follows as one types,
// and a file can be dropped onto the page.
"use strict";

const PAUSE = 200; // milliseconds after the last key

function part(text, mark) {
  return new DOMParser().parseFromString(text, "text/html").querySelector(mark);
}

// --- the list of clients ---

const clients = document.querySelector("[data-clients]");

let asked = 0; // answers that come after a later one's are not shown

async function show(query) {
  const mine = ++asked;
  const answer = await fetch(`clients${query}`, { headers: { Accept: "text/html" } });
  const found = answer.ok ? part(await answer.text(), "[data-clients]") : null;
  if (!found || mine !== asked) return;
  for (const name of [".found", ".scroll", ".pages"]) {
    const [before, now] = [clients.querySelector(name), found.querySelector(name)];
    if (before && now) before.replaceChildren(...now.childNodes);
    else if (before) before.remove();
    else if (now) clients.append(now);
  }
  history.replaceState(null, "", `${query || location.pathname}#clients`);
}

function wanted() {
  const given = [...new FormData(clients.querySelector("form"))].filter(
    ([name, value]) => value && !(name === "sort" && value === "risk"),
  );
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

if (clients) {
  const form = clients.querySelector("form");
  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => show(wanted()), PAUSE);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    show(wanted());
  });
  clients.addEventListener("click", (event) => {
    const link = event.target.closest("thead a, .pages a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const query = new URL(link.href).search;
    form.elements.sort.value = new URLSearchParams(query).get("sort") || "risk";
    show(query).then(() => clients.querySelector("h2").scrollIntoView());
  });
}

// --- a file to score ---

const drop = document.querySelector("[data-drop]");

async function score(form) {
  const place = document.querySelector("[data-scored]");
  place.textContent = "Scoring …";
  const answer = await fetch(form.action, {
    method: "POST",
    body: new FormData(form),
    headers: { Accept: "text/html" },
  });
  const told = part(await answer.text(), "[data-result]");
  place.replaceChildren(told ?? "The server gave no answer that can be shown.");
}

if (drop) {
  drop.addEventListener("submit", (event) => {
    if (event.submitter?.value === "csv") return; // the browser's own download
    event.preventDefault();
    score(drop);
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    drop.elements.file.files = event.dataTransfer.files;
    score(drop);
  });
}
