"use strict";

// The page of a run in progress is written again and again: load it again, unless the reader is busy with it.
const state = document.getElementById("running");
const QUIET = 4000; // milliseconds
const written = Date.parse(state.dataset.written);
let touched = Date.now() - QUIET / 2;
for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchmove", "input"]) {
  addEventListener(kind, () => { touched = Date.now(); }, { passive: true, capture: true });
}
setInterval(() => {
  const minutes = Math.floor((Date.now() - written) / 60000);
  if (minutes >= 2) {
    document.getElementById("age").textContent = `No news for ${minutes} minutes.`;
    document.getElementById("lost").hidden = false;
  }
  const isSelecting = String(getSelection()) !== "";
  if (!document.hidden && !isSelecting && Date.now() - touched >= QUIET) location.reload();
}, QUIET);
