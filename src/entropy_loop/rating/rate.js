"use strict";
// One page, whatever is asked: the server says what comes next (`state`), this file shows it and sends what is said.
const $ = (id) => document.getElementById(id);
const SECTIONS = ["join", "look", "pick", "paused", "done"];
const SMALL = 256; // pixels: images below it are shown pixel by pixel
let state = JSON.parse(document.body.dataset.state);
let busy = false;

// The link's secret stands behind the #, which no server and no log gets to see.
const link = location.hash.slice(1);
if (link) history.replaceState(null, "", "/");

async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error || (answer.status === 429 ? "Too fast for us; once more, please." : "That was refused."));
  return told;
}

async function ask(path, body) {
  if (busy) return;
  busy = true;
  try {
    show(await send(path, body));
  } catch (error) {
    say(error instanceof TypeError ? "No connection. Nothing that was kept is lost; try again." : error.message);
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
  img.onerror = () => say("This picture cannot be shown. Choose “can’t tell”.");
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

// A question's last two answers are none and can't tell: the server says which words these are.
function question([name, answers]) {
  const field = document.createElement("fieldset");
  field.tabIndex = -1; // has the focus itself, so that no option looks as if it were proposed
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

// Keys belong to the question that has the focus; where none has it, to the first that is not answered.
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
  const open = unanswered();
  if (open) {
    open.focus();
    say(`Choose one answer for “${open.querySelector("legend").textContent}”.`);
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

// One choice is sent after the other, so that the last one counts; until all are kept nothing is counted or finished.
let sent = Promise.resolve(), unkept = 0;

function choose(button) {
  const on = !pressed(button);
  press(button, on);
  $("finish").disabled = true;
  unkept += 1;
  sent = sent.then(() => send("/pick", { item: button.dataset.item, picked: on })).catch((error) => {
    press(button, !on);
    say(error instanceof TypeError ? "No connection; this choice was not kept." : error.message);
  }).then(() => {
    unkept -= 1;
    if (!unkept) count();
  });
}

function move(step) {
  const all = [...$("grid").children];
  const here = Math.max(0, all.indexOf(document.activeElement));
  const across = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const to = all[here + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[step]];
  if (!to) return;
  for (const button of all) button.tabIndex = button === to ? 0 : -1;
  to.focus();
}

// ---- keys and buttons -------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const withControl = event.ctrlKey || event.metaKey;
  if (event.altKey || (withControl && event.key.toLowerCase() !== "z")) return;
  const act = keys(event.key, withControl);
  if (act) {
    event.preventDefault();
    act();
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
if (state.task === "join" && !link) say("This page is opened with a link of your own; ask for one.");
