"use strict";
(() => {
  const box = document.getElementById("filter");
  if (!box) return;
  box.parentElement.hidden = false;
  const rows = [...document.querySelectorAll("#list tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  const left = document.getElementById("left");
  const apply = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      const fits = words.every((word) => text.includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    left.textContent = words.length ? `${shown} of ${rows.length}` : "";
  };
  box.addEventListener("input", apply);
  for (const pill of document.querySelectorAll("#rules + .scroll tbody tr")) {
    pill.addEventListener("dblclick", () => {
      box.value = pill.querySelector("b").textContent;
      apply();
      document.getElementById("hits").scrollIntoView();
    });
  }
})();
