() => {
  // Keyboard shortcuts: click the control that does the thing, unless a text is being composed (IME).
  const press = (id) => {
    const target = document.querySelector(`#${id} button, button#${id}`);
    if (target) target.click();
  };
  const tab = (name) => [...document.querySelectorAll('[role="tab"]')].find((t) => t.textContent.trim() === name)?.click();
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const ctrl = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (key === "escape") press("chat-stop");
    else if (ctrl && !event.shiftKey && key === "k") document.querySelector("#chat-search input, #chat-search textarea")?.focus();
    else if (ctrl && event.shiftKey && key === "o") press("new-chat");
    else if (ctrl && event.shiftKey && key === "l") tab("Teach");
    else if (ctrl && key === "/") press("help-button");
    else return;
    if (key !== "escape") event.preventDefault();
  });
}
