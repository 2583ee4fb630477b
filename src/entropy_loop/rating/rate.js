"use strict";
// The server sends the rater's current task as `state`. This file shows it and sends the answers.
const $ = (id) => document.getElementById(id);
const SECTIONS = ["join", "look", "pick", "paused", "done"];
const SMALL = 256; // pixels: smaller images are scaled up without smoothing
let state = JSON.parse(document.body.dataset.state);
let busy = false;

// The link's secret is in the fragment, which browsers never send, so it is in no server log.
const link = location.hash.slice(1);
if (link) history.replaceState(null, "", "/");

async function send(path, body) {
  const response = await fetch(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(data.error || "The server refused this request.");
  return data;
}

async function ask(path, body) {
  if (busy) return;
  busy = true;
  try {
    show(await send(path, body));
  } catch (error) {
    say(error instanceof TypeError ? "No connection. Your saved answers are safe. Try again." : error.message);
  } finally {
    busy = false;
  }
}

function say(text) {
  $("say").textContent = text;
  clearTimeout(say.timer);
  if (text) say.timer = setTimeout(() => say(""), 6000);
}

function reveal(name) {
  say("");
  for (const section of SECTIONS) $(section).hidden = section !== name;
  $("pause").hidden = !["look", "pick"].includes(name);
}

function show(next) {
  state = next;
  reveal(state.task);
  $("progress").textContent = "answered" in state ? `${state.answered} answered, ${state.left} to go` : "";
  if (state.task === "look") look();
  if (state.task === "pick") pick();
  if (state.task === "done") {
    $("undo-last").hidden = !state.answered;
    $("done-title").focus();
  }
}

function picture(img, item, alt) {
  img.classList.remove("small");
  img.onload = () => img.classList.toggle("small", Math.max(img.naturalWidth, img.naturalHeight) < SMALL);
  img.onerror = () => say("This picture cannot be shown. Choose “Can’t tell”.");
  img.src = `/image/${item}`;
  img.alt = alt;
}

// ---- what do you recognise? -------------------------------------------------------------------------

const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const pressed = (button) => button.getAttribute("aria-pressed") === "true";
const toggles = () => [...$("concepts").children];

function look() {
  const number = state.answered + 1;
  picture($("picture"), state.item, `Picture ${number}`);
  const questions = "questions" in state;
  $("look").classList.toggle("by-question", questions);
  $("by-concept").hidden = questions;
  $("questions").hidden = !questions;
  if (questions) $("questions").replaceChildren(...state.questions.map(question));
  else concepts();
  $("undo").disabled = !state.answered;
  $("look-title").textContent = `Picture ${number}. What do you recognise?`;
  $("look-title").focus();
  mark();
}

function concepts() {
  $("concepts").replaceChildren(...state.concepts.map((concept, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(hint(i + 1), spoken(concept));
    button.dataset.concept = concept;
    press(button, (state.said || []).includes(concept));
    button.onclick = () => toggle(button);
    return button;
  }));
  press($("none"), state.said !== undefined && !state.said.length);
  press($("unsure"), false);
}

const spoken = (name) => name.replaceAll("_", " ");

function hint(key) {
  const kbd = document.createElement("kbd");
  kbd.textContent = key;
  return kbd;
}

function toggle(button) {
  press(button, !pressed(button));
  press($("none"), false);
  press($("unsure"), false);
}

function only(button) {
  const on = !pressed(button);
  for (const other of [...toggles(), $("none"), $("unsure")]) press(other, false);
  press(button, on);
}

function next() {
  if ("questions" in state) return answer();
  const seen = toggles().filter(pressed).map((button) => button.dataset.concept);
  if (!seen.length && !pressed($("none")) && !pressed($("unsure"))) {
    say("Choose what you recognise, or “none of these”.");
    return;
  }
  ask("/answer", { ask: state.ask, seen: pressed($("unsure")) ? null : seen });
}

// ---- one answer to each question --------------------------------------------------------------------

const KEYS = "123456789ABDEFGHIJKLMNOPQRSTVWXYZ"; // of options; C is can't tell, U undo
const fields = () => [...$("questions").children];
const chosen = (field) => field.querySelector("input:checked");
const unanswered = () => fields().find((field) => !chosen(field));

// The last two answers of each question are "none" and "can't tell".
function question([name, answers]) {
  const field = document.createElement("fieldset");
  field.tabIndex = -1; // the field takes the focus, so that no option looks preselected
  const legend = document.createElement("legend");
  legend.textContent = spoken(name);
  field.append(legend, ...answers.map((answer, i) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = name;
    input.value = answer;
    input.checked = state.said?.[name] === answer;
    input.dataset.key = { 2: "0", 1: "C" }[answers.length - i] || KEYS[i];
    const key = hint(input.dataset.key);
    key.ariaHidden = "true";
    label.append(input, key, spoken(answer));
    return label;
  }));
  return field;
}

// Keys go to the question with the focus, or else to the first without an answer.
function current() {
  return document.activeElement?.closest("#questions > *") || unanswered() || fields().at(-1);
}

function mark() {
  for (const field of fields()) field.classList.toggle("current", field === current());
}

function take(input) {
  input.checked = true;
  (unanswered() || input.closest("fieldset")).focus();
}

function answer() {
  const field = unanswered();
  if (field) {
    field.focus();
    say(`Choose one answer for “${field.querySelector("legend").textContent}”.`);
    return;
  }
  const seen = Object.fromEntries(fields().map(chosen).map((input) => [input.name, input.value]));
  ask("/answer", { ask: state.ask, seen });
}

// ---- pick the best ----------------------------------------------------------------------------------

function pick() {
  $("k").textContent = state.k;
  $("grid").replaceChildren(...state.candidates.map(({ item, picked }, i) => {
    const button = document.createElement("button");
    const img = document.createElement("img");
    button.type = "button";
    button.dataset.item = item;
    button.tabIndex = i ? -1 : 0;
    picture(img, item, `Picture ${i + 1}`);
    img.loading = "lazy";
    button.append(img);
    press(button, picked);
    button.onclick = () => choose(button);
    button.onfocus = button.onmouseenter = () => picture($("large"), item, "");
    return button;
  }));
  picture($("large"), state.candidates[0].item, "");
  count();
  $("pick-title").focus();
}

function count() {
  const n = [...$("grid").children].filter(pressed).length;
  $("picked").textContent = `${n} of ${state.k} picked`;
  $("finish").disabled = n !== state.k;
}

// Choices are sent one after the other, so that the last one counts. "Done" waits until all are saved.
let queue = Promise.resolve(), pending = 0;

function choose(button) {
  const on = !pressed(button);
  press(button, on);
  $("finish").disabled = true;
  pending += 1;
  queue = queue.then(() => send("/pick", { item: button.dataset.item, picked: on })).catch((error) => {
    press(button, !on);
    say(error instanceof TypeError ? "No connection. This choice was not saved." : error.message);
  }).then(() => {
    pending -= 1;
    if (!pending) count();
  });
}

function move(step) {
  const all = [...$("grid").children];
  const current = Math.max(0, all.indexOf(document.activeElement));
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const target = all[current + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[step]];
  if (!target) return;
  for (const button of all) button.tabIndex = button === target ? 0 : -1;
  target.focus();
}

// ---- keys and buttons -------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const withControl = event.ctrlKey || event.metaKey;
  if (event.altKey || (withControl && event.key.toLowerCase() !== "z")) return;
  const action = keys(event.key, withControl);
  if (action) {
    event.preventDefault();
    action();
  }
});

function keys(key, withControl) {
  if (!$("pick").hidden && key.startsWith("Arrow")) return () => move(key);
  if ($("look").hidden) return null;
  const choice = withControl ? null : choiceOf(key === "?" ? "C" : key.toUpperCase());
  if (choice) return choice;
  const onButton = document.activeElement?.tagName === "BUTTON" && document.activeElement.id !== "next";
  if (key === "Enter" && !onButton) return next;
  if (withControl || key === "Backspace" || key.toLowerCase() === "u") return () => ask("/undo", {});
  return null;
}

function choiceOf(key) {
  if ("questions" in state) {
    const input = current().querySelector(`[data-key="${CSS.escape(key)}"]`);
    return input && (() => take(input));
  }
  const button = toggles()[Number(key) - 1];
  if (button) return () => toggle(button);
  return { 0: () => only($("none")), C: () => only($("unsure")) }[key];
}

$("questions").addEventListener("change", mark);
document.addEventListener("focusin", mark);
$("begin").onclick = () => ask("/join", { link });
$("none").onclick = () => only($("none"));
$("unsure").onclick = () => only($("unsure"));
$("next").onclick = next;
$("undo").onclick = $("undo-last").onclick = () => ask("/undo", {});
$("finish").onclick = () => ask("/finish", { pool: state.pool });
$("pause").onclick = () => { reveal("paused"); $("paused-title").focus(); };
$("resume").onclick = () => location.reload();

show(state);
if (state.task === "join" && !link) say("You need a personal link to open this page. Ask for one.");
