() => {
  // Keyboard shortcuts: click the control that does the thing, unless a text is being composed (IME).
  const press = (id) => {
    const target = document.querySelector(`#${id} button, button#${id}`);
    if (target) target.click();
  };
  // On a narrow screen the sidebar covers the page, so it begins closed and closes when a conversation is chosen.
  const narrow = () => window.innerWidth < 768;
  const closeSidebar = () => document.querySelector("#qf-sidebar.open .toggle-button")?.click();
  if (narrow()) setTimeout(closeSidebar, 300);
  document.addEventListener("click", (event) => {
    if (narrow() && event.target.closest("#new-chat, #chat-list label")) setTimeout(closeSidebar, 300);
  });
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
